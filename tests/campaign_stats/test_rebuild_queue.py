"""Campaigns that wait to be counted: their order, the cost of each, and that a failing one never stops the others."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from orchestration.campaign_stats.recompute import Window, bring_up_to_date
from orchestration.database.connections import connect, engine
from orchestration.engine import stream as streams
from orchestration.engine.rebuilds import Suspects, rebuild_next
from orchestration.errors import HeadraceError
from tests.campaign_stats.lives import (
    LONG_AGO,
    SENT,
    Connection,
    a_campaign,
    document,
    frozen_campaign,
    reply,
    report,
    set_status,
    state,
    value,
)
from tests.campaign_stats.oracle import assert_all_agree, drain, recompute, stored
from tests.rows import a_history, insert

STREAM = "campaign_stats"
# Makes every rebuild of a campaign named "bad" fail, for the reason that the test puts in.
TRAP = """
    CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        IF EXISTS (SELECT FROM public.campaigns c WHERE c.id = NEW.campaign_id AND c.name = 'bad') THEN
            {what};
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER trap BEFORE INSERT ON headrace.campaign_template_stats FOR EACH ROW EXECUTE FUNCTION trap();
"""
FAILURES = {
    "22012": "PERFORM 1 / 0",
    "XX000": "RAISE EXCEPTION 'invalid memory alloc request size 1073741824' USING ERRCODE = 'XX000'",
    "53200": "RAISE EXCEPTION 'out of memory' USING ERRCODE = '53200'",
    "53100": "RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'",
    "57014": "PERFORM pg_cancel_backend(pg_backend_pid()); PERFORM pg_sleep(5)",
}


def many_campaigns(app: Connection, number: int, messages: int = 1, status: str = "running") -> None:
    """Inserts small campaigns in one statement: all messages delivered, every third one read, every other one without a template."""
    app.execute(
        """
        INSERT INTO campaigns (id, name, status, created_at, completed_at)
        SELECT md5('campaign ' || n)::uuid, 'c' || n, %(status)s, timestamptz '2026-03-01' + make_interval(hours => n),
            CASE %(status)s WHEN 'completed' THEN timestamptz '2026-04-01' END
        FROM generate_series(1, %(number)s) n
        """,
        {"number": number, "status": status},
    )
    app.execute(
        """
        INSERT INTO send_queue (campaign_id, user_phone, whatsapp_number_id, template_name, status, whatsapp_message_id, sent_at)
        SELECT md5('campaign ' || n)::uuid, 'phone ' || n %% 50, 'number', CASE WHEN (n + m) %% 2 = 0 THEN 't' || m END, 'sent',
            'wamid.' || n || '.' || m, timestamptz '2026-03-02' + make_interval(hours => n, mins => m)
        FROM generate_series(1, %(number)s) n, generate_series(1, %(messages)s) m
        """,
        {"number": number, "messages": messages},
    )
    app.execute(
        """
        INSERT INTO message_status_logs (whatsapp_message_id, status, created_at)
        SELECT q.whatsapp_message_id, s, q.sent_at + make_interval(secs => 90 + length(q.whatsapp_message_id))
        FROM send_queue q, unnest(
            CASE WHEN q.id < '55555555-5555-5555-5555-555555555555' THEN '{delivered,read}' ELSE '{delivered}' END::text[]) s
        """
    )
    reply(app, "phone 7", SENT)


def work(database: str, *, patient: bool = False, suspects: Suspects | None = None, rounds: int = 1) -> int:
    """Rebuilds as a worker does, this many rounds, and returns how many campaigns were tried."""

    async def run() -> int:
        connection = await connect(database, "test")
        known = suspects or Suspects()
        try:
            return sum(
                [await rebuild_next(connection, STREAM, known, patient=patient) for _ in range(rounds)]
            )
        finally:
            await connection.close()

    return asyncio.run(run())


def waiting(app: Connection) -> dict[str, tuple[int, str | None]]:
    """The waiting campaigns by name: how often each failed, and why."""
    found = app.execute(
        "SELECT c.name, k.rebuild_failures, left(k.rebuild_error, 5) FROM headrace.campaign k JOIN campaigns c ON c.id = k.campaign_id"
        " WHERE k.rebuild_requested_at IS NOT NULL"
    )
    return {row[0]: (row[1], row[2]) for row in found}


# --- together -----------------------------------------------------------------------------------------------------


def test_many_small_campaigns_are_counted_together_and_right(app: Connection, database: str) -> None:
    many_campaigns(app, 450, messages=2)
    changes = 0
    for found in app.execute(
        "SELECT stream, shard FROM headrace.stream_poll() WHERE work = 'change'"
    ).fetchall():
        changes = value(app, "SELECT changes FROM headrace.stream_step(%s, %s, 20000)", *found)
    assert changes > 450
    assert work(database) == 200
    assert work(database, rounds=5) == 250
    drain(app)
    assert len({campaign for campaign, _ in assert_all_agree(app)}) == 450
    # Again, with wrong counters, lost outcomes and one campaign gone: errors are repaired, the rest is left alone.
    app.execute(
        "DELETE FROM headrace.message_outcome WHERE message_id IN (SELECT message_id FROM headrace.message_outcome LIMIT 3)"
    )
    app.execute("UPDATE headrace.campaign_template_stats SET total = total + 1 WHERE template_name IS NULL")
    untouched = app.execute(
        "SELECT campaign_id, xmin FROM headrace.campaign_computed_stats ORDER BY 1 LIMIT 1"
    ).fetchall()
    app.execute("SELECT headrace.request_rebuild()")
    drain(app)
    assert len(assert_all_agree(app)) > 450
    assert (
        untouched
        == app.execute(
            "SELECT campaign_id, xmin FROM headrace.campaign_computed_stats ORDER BY 1 LIMIT 1"
        ).fetchall()
    )


def test_completed_campaigns_that_are_small_are_frozen_together(app: Connection) -> None:
    many_campaigns(app, 45, messages=3, status="completed")
    drain(app)
    assert app.execute("SELECT state, count(*) FROM headrace.campaign GROUP BY 1").fetchall() == [
        ("frozen", 45)
    ]
    assert stored(app) == recompute(app)
    assert value(app, "SELECT count(*) FROM headrace.message_outcome") == 0


def test_a_large_campaign_is_counted_by_a_pass_over_its_rows_as_its_messages_one_by_one(
    app: Connection,
) -> None:
    many_campaigns(app, 2, messages=700)
    drain(app)
    before = assert_all_agree(app)
    first, second = (row[0] for row in app.execute("SELECT id FROM campaigns ORDER BY id"))
    # Messages move, disappear and appear unnoticed, and outcomes are wrong: only the rebuild repairs that.
    app.execute(
        "UPDATE send_queue SET campaign_id = %s WHERE campaign_id = %s AND template_name IS NULL",
        [first, second],
    )
    app.execute(
        "DELETE FROM send_queue WHERE campaign_id = %s AND id < '44444444-4444-4444-4444-444444444444'",
        [second],
    )
    report(app, "wamid.1.5", "failed")
    app.execute("DELETE FROM headrace.change_log")
    app.execute("UPDATE headrace.message_outcome SET bits = 0, delivered_at = NULL WHERE message_id < '2'")
    app.execute("DELETE FROM headrace.message_outcome WHERE message_id > 'e'")
    assert value(app, "SELECT headrace.rebuild_campaign_stats(ARRAY[%s])", first) > 0
    app.execute("SELECT headrace.rebuild_campaign_stats(ARRAY[%s])", [second])
    assert assert_all_agree(app) != before
    assert value(app, "SELECT headrace.rebuild_campaign_stats(ARRAY[%s, %s])", first, second) == 0


# --- order --------------------------------------------------------------------------------------------------------


def test_what_is_put_off_is_neither_read_nor_sorted_when_the_next_is_picked(app: Connection) -> None:
    app.execute(
        "INSERT INTO headrace.campaign (campaign_id, rebuild_requested_at, rebuild_not_before, rebuild_error, state, settles_until)"
        " SELECT gen_random_uuid(), now() - interval '1 day', now() + interval '1 hour', CASE WHEN n % 2 = 0 THEN '22012' END, 'live', NULL"
        " FROM generate_series(1, 20000) n UNION ALL"
        " SELECT gen_random_uuid(), NULL, NULL, NULL, 'settling', now() + interval '1 day' FROM generate_series(1, 20000)"
    )
    due = insert(app, "campaigns", name="due", status="running")
    drain_changes = "SELECT headrace.stream_step('campaign_stats', 0, 100)"
    app.execute(drain_changes)
    app.execute("ANALYZE headrace.campaign")

    def read() -> int:
        app.execute("SELECT pg_stat_force_next_flush()")
        return int(
            value(
                app,
                "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables"
                " WHERE relid = 'headrace.campaign'::regclass",
            )
        )

    before = read()
    assert value(app, "SELECT headrace.rebuilds_pending(p_patient => true)") == 1
    assert value(app, "SELECT headrace.rebuild_pick(p_patient => true)") == [str(due)]
    assert read() - before < 50


def test_two_workers_take_different_campaigns_and_wait_for_none(app: Connection, database: str) -> None:
    a_campaign(app, "a")
    b = a_campaign(app, "b")
    app.execute("SELECT headrace.request_rebuild()")
    with psycopg.connect(database) as first, psycopg.connect(database) as second:
        taken = [c.execute("SELECT headrace.rebuild_pick(1)").fetchone() for c in (first, second)]
        second.execute("SET lock_timeout = '1s'")
        assert second.execute("SELECT headrace.rebuild_pick(1)").fetchone() is not None
    assert taken[0] != taken[1]
    assert [str(b)] in [row[0] for row in taken if row]


# --- one that fails -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", FAILURES)
def test_one_that_fails_is_put_off_with_its_error_whatever_it_is_and_the_others_are_counted(
    app: Connection, database: str, code: str
) -> None:
    names = ["a", "bad", "c", "d"]
    for name in names:
        campaign = insert(app, "campaigns", name=name, status="running")
        insert(app, "send_queue", campaign_id=campaign, template_name="t", status="sent")
    app.execute("SELECT headrace.stream_step('campaign_stats', 0, 100)")
    app.execute(TRAP.format(what=FAILURES[code]).encode())
    suspects = Suspects()
    assert work(database, suspects=suspects, rounds=4) >= 4
    assert waiting(app) == {"bad": (1, code)}
    assert value(app, "SELECT count(*) FROM headrace.campaign WHERE state = 'live'") == 3
    assert value(app, "SELECT headrace.rebuilds_pending()") == 0
    later = value(
        app, "SELECT rebuild_not_before - now() FROM headrace.campaign WHERE rebuild_error IS NOT NULL"
    )
    assert timedelta(seconds=30) < later <= timedelta(minutes=1)
    # Once it is due, it is tried again, alone. After the cause is repaired, it is tried at once on request.
    app.execute("UPDATE headrace.campaign SET rebuild_not_before = now() WHERE rebuild_error IS NOT NULL")
    assert work(database, suspects=suspects) == 1
    assert waiting(app) == {"bad": (2, code)}
    app.execute("DROP FUNCTION trap() CASCADE")
    app.execute("SELECT headrace.rebuild_campaign_stats(ARRAY(SELECT id FROM campaigns WHERE name = 'bad'))")
    assert waiting(app) == {}
    drain(app)
    assert_all_agree(app)


def test_a_statement_timeout_of_the_database_does_not_stop_rebuilds(app: Connection, database: str) -> None:
    name = value(app, "SELECT current_database()")
    campaign = insert(app, "campaigns", name="bad", status="running")
    insert(app, "send_queue", campaign_id=campaign, template_name="t", status="sent")
    app.execute("SELECT headrace.stream_step('campaign_stats', 0, 100)")
    app.execute(TRAP.format(what="PERFORM pg_sleep(0.5)").encode())
    app.execute(f'ALTER DATABASE "{name}" SET statement_timeout = 200'.encode())
    assert work(database) == 1
    assert waiting(app) == {}
    assert_all_agree(app)


def test_a_time_out_of_our_own_puts_the_campaign_off_for_ten_times_as_long(
    app: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.engine.rebuilds.REBUILD_TIMEOUT_SECONDS", 0.2)
    campaign = insert(app, "campaigns", name="bad", status="running")
    insert(app, "send_queue", campaign_id=campaign, template_name="t", status="sent")
    app.execute("SELECT headrace.stream_step('campaign_stats', 0, 100)")
    app.execute(TRAP.format(what="PERFORM pg_sleep(10)").encode())
    assert work(database) == 1
    assert waiting(app) == {"bad": (1, "57014")}
    app.execute("SELECT headrace.rebuild_put_off(ARRAY[%s], '57014', 'again', 3600)", [str(campaign)])
    later = value(app, "SELECT rebuild_not_before - now() FROM headrace.campaign")
    assert timedelta(hours=9) < later <= timedelta(hours=10)


def test_a_campaign_that_costs_the_connection_twice_is_put_off(app: Connection, database: str) -> None:
    for name in ("a", "bad"):
        campaign = insert(app, "campaigns", name=name, status="running")
        insert(app, "send_queue", campaign_id=campaign, template_name="t", status="sent")
    app.execute("SELECT headrace.stream_step('campaign_stats', 0, 100)")
    app.execute(
        TRAP.format(what="PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5)").encode()
    )
    suspects = Suspects()
    lost = 0
    for _ in range(4):
        try:
            work(database, suspects=suspects)
        except psycopg.OperationalError:
            lost += 1
    assert lost == 2
    assert waiting(app) == {"bad": (1, "08006")}


def test_a_conflict_is_no_failure_but_waits_behind_the_others(app: Connection, database: str) -> None:
    campaign = insert(app, "campaigns", name="bad", status="running")
    insert(app, "send_queue", campaign_id=campaign, template_name="t", status="sent")
    app.execute("SELECT headrace.stream_step('campaign_stats', 0, 100)")
    app.execute(TRAP.format(what="RAISE EXCEPTION 'moved' USING ERRCODE = 'serialization_failure'").encode())
    assert work(database) == 1
    assert waiting(app) == {"bad": (0, None)}
    assert value(app, "SELECT headrace.rebuilds_pending(p_patient => true), pg_sleep(0)") == 0
    app.execute("DROP FUNCTION trap() CASCADE")
    drain(app)
    assert_all_agree(app)


def test_rights_that_are_missing_are_nobodys_failure(app: Connection, database: str) -> None:
    a_campaign(app)
    app.execute("SELECT headrace.request_rebuild()")
    app.execute(
        TRAP.format(what="RAISE EXCEPTION 'no' USING ERRCODE = 'insufficient_privilege'")
        .replace("= 'bad'", "= 'c'")
        .encode()
    )
    app.execute("DELETE FROM headrace.campaign_template_stats")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        work(database)
    assert waiting(app) == {"c": (0, None)}


def test_draining_until_idle_ends_with_one_that_fails(app: Connection, database: str) -> None:
    many_campaigns(app, 5)
    app.execute("UPDATE campaigns SET name = 'bad' WHERE name = 'c3'")
    app.execute(TRAP.format(what="PERFORM 1 / 0").encode())
    done = asyncio.run(streams.drain(database, timeout_seconds=60))
    assert done.rebuilt >= 5
    assert waiting(app) == {"bad": (1, "22012")}


def test_a_run_recomputes_the_other_campaigns_of_its_days_and_names_the_one_that_failed(
    app: Connection, database: str
) -> None:
    many_campaigns(app, 8)
    drain(app)
    app.execute("UPDATE campaigns SET name = 'bad' WHERE name = 'c3'")
    app.execute("UPDATE headrace.campaign_template_stats SET total = total + 1")
    app.execute("DELETE FROM headrace.campaign_template_stats WHERE campaign_id = md5('campaign 3')::uuid")
    app.execute(TRAP.format(what="PERFORM 1 / 0").encode())
    with pytest.raises(HeadraceError, match=r"1 of 8 campaigns could not be recomputed.*division by zero"):
        bring_up_to_date(
            engine(database),
            database,
            Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)),
            rebuild=True,
            timeout_seconds=60,
            log=lambda text: None,
        )
    bad = value(app, "SELECT md5('campaign 3')::uuid")
    assert stored(app) == {key: numbers for key, numbers in recompute(app).items() if key[0] != bad}


# --- very many templates --------------------------------------------------------------------------------------------


def few_listed(app: Connection, most: int) -> None:
    app.execute(
        "CREATE OR REPLACE FUNCTION headrace.most_listed_templates() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE"
        f" AS 'SELECT {most}::bigint'".encode()
    )


def test_a_document_lists_the_largest_templates_and_says_how_many_there_are(app: Connection) -> None:
    few_listed(app, 3)
    campaign: UUID = insert(app, "campaigns", name="many", status="running")
    app.execute(
        "INSERT INTO send_queue (campaign_id, template_name, status) SELECT %s, nullif('t' || least(n, 10), 't1'), 'sent'"
        " FROM generate_series(1, 14) n",
        [campaign],
    )
    app.execute(
        "INSERT INTO send_queue (campaign_id, status) SELECT %s, 'failed' FROM generate_series(1, 3)",
        [campaign],
    )
    drain(app)
    assert stored(app) == recompute(app)
    said = document(app, campaign)
    totals = {name: said["totals"][name] for name in ("total", "failed", "templates", "templates_left_out")}
    assert totals == {"total": 17, "failed": 3, "templates": 10, "templates_left_out": 7}
    listed = {entry["template_name"]: entry["total"] for entry in said["template_stats"]}
    assert len(listed) == 3
    assert (listed["t10"], listed[None]) == (5, 4)
    assert value(app, "SELECT bool_and(agrees) FROM headrace.document_agreement")
    assert value(app, "SELECT count(*) FROM headrace.document_faults") == 0
    # Counting live gives the same.
    live = value(app, "SELECT headrace.live_stats(%s)", campaign)
    assert (live["totals"], live["template_stats"]) == (said["totals"], said["template_stats"])


def test_the_document_of_very_many_templates_is_put_off_and_written_when_due(app: Connection) -> None:
    few_listed(app, 3)
    campaign: UUID = insert(app, "campaigns", name="many", status="running")
    app.execute(
        "INSERT INTO send_queue (campaign_id, template_name, status) SELECT %s, 't' || n, 'sent' FROM generate_series(1, 9) n",
        [campaign],
    )
    drain(app)
    version = document(app, campaign)["version"]
    insert(app, "send_queue", campaign_id=campaign, template_name="t9", status="sent")
    app.execute("SELECT headrace.stream_step('campaign_stats', 0, 100)")
    assert stored(app) == recompute(app)
    assert document(app, campaign)["version"] == version
    assert value(app, "SELECT count(*) FROM headrace.document_faults") == 0
    assert value(app, "SELECT headrace.rebuilds_pending()") == 1
    drain(app)
    assert (document(app, campaign)["version"], document(app, campaign)["totals"]["total"]) == (
        version + 1,
        10,
    )
    assert value(app, "SELECT bool_and(agrees) FROM headrace.document_agreement")
    # With few templates again, it is like any other campaign.
    app.execute("DELETE FROM send_queue WHERE template_name > 't2'")
    drain(app)
    assert_all_agree(app)
    assert "templates" not in document(app, campaign)["totals"]


def test_names_of_any_length_are_counted_whole_and_written_into_documents_cut(
    app: Connection, database: str
) -> None:
    few_listed(app, 100)
    campaign: UUID = insert(app, "campaigns", name="long", status="running")
    app.execute("SELECT headrace.stream_step('campaign_stats', 0, 100)")
    app.execute("SELECT headrace.stream_rebuild('campaign_stats')")
    name = "x" * 1500
    names = [name + "1", name + "2", name + "2", "y" * 1000, "é" * 1200, None]
    for template in names:
        insert(app, "send_queue", campaign_id=campaign, template_name=template, status="sent")
    drain(app)
    assert stored(app) == recompute(app)
    said = {entry["template_name"]: entry["total"] for entry in document(app, campaign)["template_stats"]}
    assert len(said) == 5
    assert (said["y" * 1000], said[None]) == (1, 1)
    assert max(len(entry) for entry in said if entry) == 1035
    assert value(app, "SELECT bool_and(agrees) FROM headrace.document_agreement")
    assert value(app, "SELECT count(*) FROM headrace.document_faults") == 0
    # A template is renamed and renamed back; the campaign is rebuilt as a small and as a large one, live, frozen and amended.
    app.execute("UPDATE send_queue SET template_name = %s WHERE template_name = %s", [name + "3", name + "1"])
    drain(app)
    assert stored(app) == recompute(app)
    app.execute("DELETE FROM headrace.campaign_template_stats")
    app.execute("SELECT headrace.rebuild_campaign_stats(ARRAY[%s])", [campaign])
    assert stored(app) == recompute(app)
    app.execute("DELETE FROM headrace.campaign_template_stats; DELETE FROM headrace.message_outcome")
    assert value(app, "SELECT headrace.rebuild_unfrozen(ARRAY[%s], true)", campaign) == 6
    assert stored(app) == recompute(app)
    live = value(app, "SELECT headrace.live_stats(%s)", campaign)
    assert live["template_stats"] == document(app, campaign)["template_stats"]
    set_status(app, campaign, "completed", LONG_AGO)
    assert state(app, campaign) == "frozen"
    insert(app, "send_queue", campaign_id=campaign, template_name=name + "4", status="sent")
    drain(app)
    assert state(app, campaign) == "amended"
    assert stored(app) == recompute(app)


def test_thousands_of_templates_in_one_statement_are_found_by_key(app: Connection) -> None:
    campaign = insert(app, "campaigns", name="many", status="running")
    drain(app)
    for _ in range(2):
        app.execute(
            "INSERT INTO send_queue (campaign_id, template_name, status)"
            " SELECT %s, 'template ' || n, 'sent' FROM generate_series(1, 3000) n",
            [campaign],
        )
        app.execute("SELECT pg_stat_force_next_flush()")
        before = value(
            app,
            "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_user_tables WHERE relname = 'campaign_template_stats'",
        )
        drain(app)
        app.execute("SELECT pg_stat_force_next_flush()")
        after = value(
            app,
            "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_user_tables WHERE relname = 'campaign_template_stats'",
        )
        assert after - before < 60_000  # nested loops read 9,000,000
    assert stored(app) == recompute(app)


# --- all at once ----------------------------------------------------------------------------------------------------


def test_everything_queued_again_by_truncate_and_by_request_is_counted_once_each(app: Connection) -> None:
    a_history(app)
    frozen = frozen_campaign(app)
    drain(app)
    assert value(app, "SELECT headrace.request_rebuild()") == 3
    app.execute("TRUNCATE message_status_logs")
    drain(app)
    assert state(app, frozen) == "frozen"
    held: Any = {key: numbers for key, numbers in stored(app).items() if key[0] != frozen}
    assert held == {key: numbers for key, numbers in recompute(app).items() if key[0] != frozen}
