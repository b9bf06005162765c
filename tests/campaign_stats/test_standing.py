"""The standing of campaigns: the view agrees with the functions that pick by index."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

from tests.campaign_stats.lives import Connection, frozen_campaign, value

STATES = ("pending", "live", "settling", "frozen", "amended", "deleted")
TIMES = (None, "-1 hour", "1 hour")  # from now


def every_campaign(app: Connection) -> None:
    """One campaign for each combination of state, requested, postponed, settled and failed."""
    rows = itertools.product(STATES, (None, "-1 minute"), TIMES, TIMES, (None, "22012 division by zero"))
    with app.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO headrace.campaign"
            " (campaign_id, state, rebuild_requested_at, rebuild_not_before, settles_until, rebuild_error)"
            " SELECT gen_random_uuid(), %s, now() + %s::interval, now() + %s::interval, now() + %s::interval, %s",
            [row for row in rows if row[1] is not None or (row[2] is None and row[4] is None)],
        )


def test_what_the_view_says_is_due_is_what_the_index_finds(app: Connection) -> None:
    every_campaign(app)
    due = value(app, "SELECT count(*) FROM headrace.campaign_standing WHERE due AND NOT put_off")
    assert due == value(app, "SELECT headrace.rebuilds_pending(true)")
    assert value(app, "SELECT campaigns FROM headrace.rebuild_days()") == due
    found = value(app, "SELECT count(*) FROM headrace.campaign_standing WHERE due")
    failed = "SELECT count(*) FROM headrace.campaign_standing s JOIN headrace.campaign k USING (campaign_id)"
    put_off_by_errors = value(app, f"{failed} WHERE s.put_off AND k.rebuild_error IS NOT NULL")
    # A drain on request waits for campaigns postponed to gather changes, and not for those that failed.
    assert value(app, "SELECT headrace.rebuilds_pending(false)") == found - put_off_by_errors
    app.execute("BEGIN")
    picked = value(app, "SELECT headrace.rebuild_pick(5000, true)")
    wrong = "SELECT count(*) FROM headrace.campaign_standing WHERE campaign_id = ANY (%s::uuid[]) AND NOT (due AND NOT put_off)"
    assert picked
    assert value(app, wrong, picked) == 0
    app.execute("ROLLBACK")


def test_it_says_how_large_a_campaign_is_and_what_waits_for_a_decision(app: Connection) -> None:
    campaign = frozen_campaign(app)
    row = app.execute(
        "SELECT state, final, counted, due, put_off, messages, version, frozen_at < %s, amendment_waits, source_rows_now"
        " FROM headrace.campaign_standing WHERE campaign_id = %s",
        [datetime.now(UTC), campaign],
    ).fetchone()
    assert row == ("frozen", True, True, False, False, 3, 1, True, False, None)


def test_what_is_not_asked_for_is_not_read(app: Connection) -> None:
    lines = app.execute("EXPLAIN SELECT campaign_id FROM headrace.campaign_standing WHERE NOT final AND due")
    plan = "\n".join(line for (line,) in lines)
    assert "campaign_computed_stats" not in plan
    assert "campaign_template_stats" not in plan
    assert "pending_amendment" not in plan
