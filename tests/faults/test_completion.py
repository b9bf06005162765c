"""Dagster and workers under kill -9 while a campaign is completed and frozen: one final version, however many runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg
import psycopg
import pytest

from orchestration.campaign_stats.summaries import ASSETS, TEMPLATE_STATS
from orchestration.definitions import defs
from tests.campaign_stats.oracle import assert_all_agree, documents, drain, outcomes, recompute, series
from tests.faults.one_dagster import make_home, opened, stored_cursor, tick
from tests.rows import a_history

REPOSITORY = Path(__file__).parents[2]
MINUTE = timedelta(minutes=1)
# Longer than Dagster goes on resuming an interrupted tick.
THREE_DAYS = timedelta(days=3)
KILLED = -9
COMPLETE = (
    "UPDATE campaigns SET status = 'completed', completed_at = now() - interval '8 days' WHERE id = ANY (%s)"
)
FINAL = (
    "SELECT d.state, d.version, d.facts IS NOT NULL, k.state, k.source_rows IS NOT NULL,"
    " (SELECT count(*) FROM headrace.message_outcome o WHERE o.campaign_id = k.campaign_id),"
    " (SELECT count(*) FROM headrace.campaign_latency l WHERE l.campaign_id = k.campaign_id),"
    " (SELECT count(*) FROM headrace.campaign_stats_amendment a WHERE a.campaign_id = k.campaign_id)"
    " FROM headrace.campaign k LEFT JOIN headrace.campaign_computed_stats d ON d.campaign_id = k.campaign_id"
    " WHERE k.campaign_id = %s"
)
BLOCKED = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


class Application:
    """Two counted campaigns, an autocommit connection, and a DAGSTER_HOME that has ticked once."""

    def __init__(self, url: str, home: Path, connection: psycopg.Connection[Any]) -> None:
        self.url, self.home, self.connection = url, home, connection
        self.first, self.second = sorted(a_history(connection))
        drain(connection)

    def complete(self, *campaigns: UUID) -> None:
        """Completes them long enough ago to be frozen; the stream has noticed, but has not frozen them."""
        self.connection.execute(COMPLETE, [list(campaigns)])
        self.connection.execute("SELECT headrace.stream_step('campaign_stats', 0, 5000)")

    def state(self, campaign: UUID) -> tuple[Any, ...]:
        row = self.connection.execute(FINAL, [campaign]).fetchone()
        assert row is not None
        return row

    def assert_final(self, *campaigns: UUID, version: int) -> None:
        """Checks that they are frozen completely, once, with what the rows say."""
        for campaign in campaigns:
            assert self.state(campaign) == ("frozen", version, True, "frozen", True, 0, 0, 0)
        expected = recompute(self.connection)
        assert documents(self.connection) == expected
        hours = self.connection.execute(
            "SELECT campaign_id, hour, sent, delivered, read, replied FROM headrace.campaign_hourly_stats"
        ).fetchall()
        assert {row[:2]: row[2:] for row in hours} == series(outcomes(self.connection))

    def version(self, campaign: UUID) -> int:
        return int(self.state(campaign)[1])

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", *command],
            env={**os.environ, "HEADRACE_DATABASE_URL": self.url, "PYTHONPATH": str(REPOSITORY)},
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def dagster(self, later: timedelta, *mark: str) -> subprocess.Popen[bytes]:
        return self.start("-m", "tests.faults.one_dagster", str(self.home), str(later / MINUTE), *mark)

    def worker(self) -> subprocess.Popen[bytes]:
        return self.start("-m", "orchestration.cli", "worker", "--until-idle", "--timeout", "60")

    def runs(self) -> list[tuple[str, list[str]]]:
        """Each run for completed campaigns, oldest first: its status and the campaigns it names."""
        with opened(self.home) as context:
            runs = context.instance.get_runs(dg.RunsFilter(tags={"headrace/completed": "campaign_stats"}))
        return [
            (run.status.value, sorted(run.run_config["ops"][TEMPLATE_STATS]["config"]["campaigns"]))
            for run in reversed(runs)
        ]

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 90
        while not holds():
            assert time.monotonic() < deadline, f"never: {what}"
            time.sleep(0.02)

    def kill_when_freezing(self, process: subprocess.Popen[bytes], campaign: UUID) -> None:
        """Kills the process in its open transaction, when everything of the campaign but its outcomes is frozen."""
        with psycopg.connect(self.url) as other:
            # Deletes wait for this lock, reads and counts do not.
            other.execute(
                "SELECT FROM headrace.message_outcome WHERE campaign_id = %s ORDER BY message_id DESC LIMIT 1 FOR KEY SHARE",
                [campaign],
            )
            try:
                self.until("freezing", lambda: self.connection.execute(BLOCKED).fetchone() == (1,))
                assert process.poll() is None
            finally:
                process.kill()
            assert process.wait(20) == KILLED
        # The server notices only when it has something to send to the client.
        self.until("its transaction is gone", lambda: self.others() == 0)

    def others(self) -> int:
        row = self.connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
def application(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", database)
    with psycopg.connect(database, autocommit=True) as connection:
        yield Application(database, make_home(tmp_path), connection)


def test_completions_while_dagster_is_dead_get_one_run_when_it_is_back(application: Application) -> None:
    before = application.version(application.first)
    tick(application.home, timedelta())
    assert application.runs() == []
    dead = application.dagster(MINUTE, "TICK_CREATED")
    assert dead.wait(90) == KILLED
    application.complete(application.first)
    application.complete(application.second)
    tick(application.home, 2 * MINUTE)
    both = sorted(map(str, (application.first, application.second)))
    assert application.runs() == [("SUCCESS", both)]
    tick(application.home, 3 * MINUTE)
    assert application.runs() == [("SUCCESS", both)]
    application.assert_final(application.first, application.second, version=before)


@pytest.mark.parametrize(
    ("mark", "later"),
    [
        pytest.param("RUN_IDS_RESERVED", MINUTE, id="decided, and no run made"),
        pytest.param("RUN_CREATED", MINUTE, id="the run made, and not launched"),
        pytest.param("RUN_LAUNCHED", MINUTE, id="the run done, and the cursor not stored"),
        pytest.param("RUN_IDS_RESERVED", THREE_DAYS, id="decided, and back after days"),
        pytest.param("RUN_CREATED", THREE_DAYS, id="the run made, and back after days"),
        pytest.param("RUN_LAUNCHED", THREE_DAYS, id="the run done, and back after days"),
    ],
)
def test_dagster_killed_between_tick_and_run_leaves_no_campaign_out_and_runs_none_twice(
    application: Application, mark: str, later: timedelta
) -> None:
    before = application.version(application.first)
    tick(application.home, timedelta())
    began = stored_cursor(application.home)
    application.complete(application.first)
    killed = application.dagster(MINUTE, mark)
    assert killed.wait(90) == KILLED
    assert stored_cursor(application.home) == began
    # Meanwhile another one completes: the repeated tick must neither leave it out nor run the first one twice.
    application.complete(application.second)
    tick(application.home, 2 * MINUTE + later)
    tick(application.home, 3 * MINUTE + later)
    tick(application.home, 4 * MINUTE + later)
    runs = application.runs()
    assert {status for status, _ in runs} == {"SUCCESS"}
    named = [campaign for _, campaigns in runs for campaign in campaigns]
    assert sorted(named) == sorted(map(str, (application.first, application.second)))
    application.assert_final(application.first, application.second, version=before)


def test_dagster_killed_in_mid_run_freezes_nothing_by_half_and_others_finish(
    application: Application,
) -> None:
    before = application.version(application.first)
    tick(application.home, timedelta())
    application.complete(application.first)
    killed = application.dagster(MINUTE)
    application.kill_when_freezing(killed, application.first)
    ((status, campaigns),) = application.runs()
    assert (status, campaigns) == ("STARTED", [str(application.first)])
    assert application.state(application.first)[:2] == ("settling", before)
    assert_all_agree(application.connection)

    tick(application.home, 2 * MINUTE)
    assert len(application.runs()) == 1
    # Now everybody tries: workers at the same time, and the run once more.
    workers = [application.worker() for _ in range(2)]
    assert [worker.wait(90) for worker in workers] == [0, 0]
    application.assert_final(application.first, version=before)
    with opened(application.home) as context:
        (run,) = context.instance.get_runs()
        for _ in range(2):
            again = defs.resolve_implicit_global_asset_job_def().execute_in_process(
                instance=context.instance,
                run_config=run.run_config,
                asset_selection=[dg.AssetKey(asset) for asset in ASSETS],
                tags={
                    name: value
                    for name, value in run.tags.items()
                    if name.startswith("dagster/asset_partition")
                },
            )
            assert again.success
    application.assert_final(application.first, version=before)


def test_a_worker_killed_in_mid_freeze_leaves_the_campaign_whole_and_it_is_frozen_once(
    application: Application,
) -> None:
    before = application.version(application.first)
    application.complete(application.first, application.second)
    for _ in range(2):
        whole = application.state(application.first)
        assert whole[0] == whole[3] == "settling"
        assert whole[5] > 0
        killed = application.worker()
        application.kill_when_freezing(killed, application.first)
        assert application.state(application.first) == whole
    assert_all_agree(application.connection)
    workers = [application.worker() for _ in range(3)]
    assert [worker.wait(90) for worker in workers] == [0, 0, 0]
    application.assert_final(application.first, application.second, version=before)
