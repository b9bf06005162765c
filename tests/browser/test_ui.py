"""Dagster's UI over a real `headrace up`, in a real browser: it shows what the database says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from orchestration.campaign_stats.funnel import WIDTH
from orchestration.campaign_stats.summaries import COMPUTED_STATS, TEMPLATE_STATS
from tests.browser import live as live_module
from tests.browser.live import Live, browser, find_chromium, headrace_up
from tests.browser.ui import Ui

MISSING = "no Chromium on the PATH; Debian, Ubuntu: apt install chromium"
COUNTERS = ("messages", "sent", "delivered", "read", "replied", "failed")
# Recounted from the application's rows.
OF_DAY = (
    "SELECT sum(s.total), sum(s.sent), sum(s.delivered), sum(s.read), sum(s.replied), sum(s.failed)"
    " FROM headrace.campaign_template_stats_live s JOIN campaigns c ON c.id = s.campaign_id"
    " WHERE (c.created_at AT TIME ZONE 'UTC')::date = %s"
)


def chromium() -> str:
    """Skips the test if there is no browser; but never in CI, where nobody would notice."""
    if found := find_chromium():
        return found
    if os.environ.get("CI"):
        pytest.fail(MISSING)
    pytest.skip(MISSING)


def test_a_person_materializes_both_assets_and_reads_the_numbers_of_the_database(tmp_path: Path) -> None:
    executable = chromium()
    with headrace_up(scale=0.02) as live, browser(executable) as opened:
        ui = Ui(opened, live.ui.link)
        try:
            materializes_and_reads(ui, live)
            sees_the_sensor_tick(ui)
        except BaseException:
            ui.page.screenshot(path=tmp_path / "failed.png")
            print(f"what was shown: {tmp_path / 'failed.png'}; up said:\n{live.log.read_text()[-3000:]}")  # noqa: T201
            raise
        assert ui.problems == []


def materializes_and_reads(ui: Ui, live: Live) -> None:
    ((campaign, day),) = live.rows(
        "SELECT id, (created_at AT TIME ZONE 'UTC')::date::text FROM campaigns ORDER BY created_at LIMIT 1"
    )
    (before,) = live.rows(OF_DAY, [day])
    # Everything sent is now read: the numbers differ from those of the first materialization.
    live.rows(
        "INSERT INTO message_status_logs (whatsapp_message_id, status)"
        " SELECT whatsapp_message_id, 'read' FROM send_queue"
        " WHERE campaign_id = %s AND whatsapp_message_id IS NOT NULL",
        [campaign],
    )
    ui.open_graph()
    ui.materialize_all(day)
    assert ui.wait_for_run() == "Success"

    (expected,) = live.rows(OF_DAY, [day])
    assert expected != before
    for asset in (TEMPLATE_STATS, COMPUTED_STATS):
        ui.open_partition(asset, day)
        shown = ui.metadata()
        assert tuple(int(shown[counter]) for counter in COUNTERS) == expected
        assert f"{expected[3]:,}" in shown["funnel"]
        assert ui.open_picture().evaluate("image => image.naturalWidth") == WIDTH
    ui.open_checks(TEMPLATE_STATS)
    expect(ui.page.get_by_text("Passed", exact=True)).to_be_visible()


def sees_the_sensor_tick(ui: Ui) -> None:
    ui.open_sensor()
    first = ui.latest_tick().inner_text()
    expect(ui.latest_tick()).not_to_have_text(first, use_inner_text=True)
    expect(ui.latest_tick()).to_contain_text("requested")


def test_without_a_browser_the_test_is_skipped_by_name_but_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_module, "CHROMIUM", ("no-such-browser",))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt install chromium"):
        chromium()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt install chromium"):
        chromium()
