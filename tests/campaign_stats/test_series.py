"""The hourly series of a campaign: how it changes, how it is packed when it freezes, how it is read by campaign."""

from __future__ import annotations

import json
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.campaign_stats.oracle import (
    assert_all_agree,
    drain,
    medians,
    outcomes,
    series,
    stored_medians,
    stored_series,
)
from tests.rows import a_history

Connection = psycopg.Connection[Any]


@pytest.fixture
def app(database: str) -> Connection:
    return psycopg.connect(database, autocommit=True)


def rows(app: Connection, table: str, campaign: uuid.UUID) -> int:
    row = app.execute(
        f"SELECT count(*) FROM headrace.{table} WHERE campaign_id = %s".encode(), [campaign]
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_series_is_the_same_before_and_after_freezing_amending_and_reopening(app: Connection) -> None:
    live, campaign = a_history(app)
    drain(app)
    expected = series(outcomes(app))
    assert len(expected) > 20
    hours = sum(1 for of, _ in expected if of == campaign)
    assert stored_series(app) == expected
    assert (rows(app, "campaign_hour", campaign), rows(app, "campaign_frozen_hours", campaign)) == (hours, 0)

    app.execute("SELECT headrace.freeze_campaigns(ARRAY[%s])", [campaign])
    assert stored_series(app) == expected
    assert (rows(app, "campaign_hour", campaign), rows(app, "campaign_frozen_hours", campaign)) == (0, 1)

    app.execute(
        "INSERT INTO message_status_logs (whatsapp_message_id, status, created_at)"
        " SELECT whatsapp_message_id, 'read', '2026-03-02 07:30+00' FROM send_queue WHERE campaign_id = %s",
        [campaign],
    )
    drain(app)
    amended = series(outcomes(app))
    assert amended != expected
    assert stored_series(app) == amended
    assert rows(app, "campaign_frozen_hours", campaign) == 1

    app.execute("SELECT headrace.reopen_campaigns(ARRAY[%s])", [campaign])
    assert stored_series(app) == amended
    assert rows(app, "campaign_frozen_hours", campaign) == 0
    assert rows(app, "campaign_hour", live) > 0


def test_a_new_count_of_a_frozen_campaign_finds_only_what_is_wrong(app: Connection) -> None:
    _, campaign = a_history(app)
    drain(app)
    expected = series(outcomes(app))
    app.execute("SELECT headrace.freeze_campaigns(ARRAY[%s])", [campaign])
    app.execute(
        "UPDATE headrace.campaign_frozen_hours SET sent[1] = sent[1] + 1, replied[2] = replied[2] + 1 WHERE campaign_id = %s",
        [campaign],
    )
    assert stored_series(app) != expected
    app.execute("SELECT headrace.rebuild_campaign_stats(ARRAY[%s])", [campaign])
    assert stored_series(app) == expected
    app.execute("SELECT pg_stat_force_next_flush()")  # keeps earlier counts out of the next transaction
    with app.transaction(force_rollback=True):
        hours = rows(app, "campaign_hourly_stats", campaign)
        app.execute("SELECT headrace.store_counts(ARRAY[%s], true)", [campaign])
        assert rows(app, "campaign_hour", campaign) == hours
        touched = app.execute(
            "SELECT pg_stat_get_xact_tuples_updated('headrace.campaign_hour'::regclass)"
        ).fetchone()
        assert touched == (0,)


def test_a_campaign_without_any_time_has_no_series_frozen_or_not(app: Connection) -> None:
    row = app.execute("INSERT INTO campaigns (status) VALUES ('running') RETURNING id").fetchone()
    assert row is not None
    drain(app)
    app.execute("SELECT headrace.freeze_campaigns(ARRAY[%s])", row)
    assert stored_series(app) == {}


def test_the_series_of_one_campaign_is_read_by_key(app: Connection) -> None:
    app.execute(
        "INSERT INTO headrace.campaign_hour SELECT md5(n::text)::uuid, hour, 1, 1, 1, 1"
        " FROM generate_series(1, 300) n, generate_series('2026-03-01'::timestamptz, '2026-03-02', '1 hour') hour;"
        "INSERT INTO headrace.campaign_frozen_hours SELECT gen_random_uuid(), '{2026-03-01}', '{1}', '{1}', '{1}', '{1}'"
        " FROM generate_series(1, 3000);"
        "ANALYZE headrace.campaign_hour; ANALYZE headrace.campaign_frozen_hours"
    )
    plan = app.execute(
        "EXPLAIN (FORMAT json) SELECT * FROM headrace.campaign_hourly_stats WHERE campaign_id = %s",
        [uuid.uuid4()],
    ).fetchone()
    assert plan is not None
    text = json.dumps(plan[0])
    assert "campaign_hour_pkey" in text
    assert "campaign_frozen_hours_pkey" in text
    assert "Seq Scan" not in text


def test_times_at_the_ends_of_time_are_counted_and_no_poison(app: Connection) -> None:
    row = app.execute("INSERT INTO campaigns (status) VALUES ('running') RETURNING id").fetchone()
    assert row is not None
    app.execute(
        "INSERT INTO send_queue (campaign_id, template_name, status, whatsapp_message_id, sent_at)"
        " VALUES (%s, 't', 'sent', 'm', '4713-01-01 BC')",
        row,
    )
    app.execute(
        "INSERT INTO message_status_logs (whatsapp_message_id, status, created_at)"
        " VALUES ('m', 'read', '294276-12-31 UTC'), ('m', 'delivered', 'infinity')"
    )
    drain(app)
    read = "SELECT totals FROM headrace.campaign_computed_stats"
    stored = app.execute(read.encode()).fetchone()
    assert stored == app.execute("SELECT headrace.live_stats(%s) -> 'totals'", row).fetchone()
    assert stored is not None
    assert (stored[0]["read"], stored[0]["median_seconds_to_read"]) == (1, 2_147_483_647)
    app.execute("SELECT headrace.freeze_campaigns(ARRAY[%s])", row)
    assert app.execute(read.encode()).fetchone() == stored
    assert app.execute("SELECT count(*) FROM headrace.dead_letter").fetchone() == (0,)


def test_the_series_of_a_message_moves_with_it(app: Connection) -> None:
    live, other = a_history(app)
    drain(app)
    app.execute(
        "UPDATE send_queue SET campaign_id = %s WHERE campaign_id = %s AND template_name = 'template 1'",
        [other, live],
    )
    app.execute("SELECT headrace.stream_step('campaign_stats', 0, 5000)")
    assert stored_series(app) == series(outcomes(app))


def test_medians_are_exact_to_the_second_however_long_it_took_and_whatever_comes_and_goes(
    app: Connection,
) -> None:
    rng = random.Random(5)
    sent = datetime(2026, 3, 1, 9, 59, 59, 999_999, UTC)
    row = app.execute("INSERT INTO campaigns (status) VALUES ('running') RETURNING id").fetchone()
    assert row is not None
    app.execute(
        "INSERT INTO send_queue (campaign_id, template_name, status, whatsapp_message_id, sent_at)"
        " SELECT %s, 't', 'sent', 'm' || n, %s FROM generate_series(1, 60) n",
        [row[0], sent],
    )
    seen = set()
    for most in (59, 3_599, 3_601, 86_399, 86_401, 30 * 86_400, 100 * 365 * 86_400):
        app.execute("DELETE FROM message_status_logs WHERE id %% 7 <> %s", [rng.randint(0, 6)])
        with app.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO message_status_logs (whatsapp_message_id, status, created_at) VALUES (%s, %s, %s)",
                [
                    (f"m{rng.randint(1, 60)}", status, sent + timedelta(seconds=rng.uniform(0, most)))
                    for status in ("delivered", "read")
                    for _ in range(20)
                ],
            )
        drain(app, limit=15)
        assert_all_agree(app)
        found = medians(outcomes(app))
        assert app.execute(
            "SELECT (d -> 'median_seconds_to_delivered')::numeric, (d -> 'median_seconds_to_read')::numeric"
            " FROM (SELECT headrace.live_stats(%s) -> 'totals' AS d) x",
            row,
        ).fetchone() == tuple(found[row[0]])
        seen.add(stored_medians(app)[row[0]])
    assert len(seen) == 7
    assert any(
        seconds % 60 != 0 and seconds > 86_400 for pair in seen for seconds in pair if seconds is not None
    )
    app.execute("SELECT headrace.freeze_campaigns(ARRAY[%s])", row)
    assert_all_agree(app)
    app.execute("SELECT headrace.reopen_campaigns(ARRAY[%s])", row)
    app.execute("DELETE FROM message_status_logs")
    drain(app)
    assert stored_medians(app) == medians(outcomes(app)) == {}
