"""Each role may call what it needs and nothing else, and no argument makes a function do more than its work.

Every function of schema headrace is listed here, with its users: the first test fails for a new one until it is listed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import psycopg
import pytest

from orchestration.database.connections import engine
from orchestration.engine.stream import drain
from orchestration.install.rights import misplaced
from tests.campaign_stats.oracle import assert_all_agree
from tests.rows import a_history
from tests.sessions import as_role


def named(names: str) -> frozenset[str]:
    return frozenset(names.split())


# For readers: dashboards, applications, workers.
SERVING = named("""
    campaign_contact_distribution campaign_stats get_campaign_template_stats list_campaign_stats
    live_counters source_campaign_ids template_stats
""")
# How far behind the streams are.
WATCHING = named("""
    changes_behind oldest_writer stream_rebuilds
""")
# For input from an application.
TAKING_IN = named("""
    ingest_whatsapp_webhook ingest_whatsapp_webhook_text
""")
# For an operator's decisions, through a worker's role: by command, or by a job in Dagster.
DECIDING = named("""
    amend_campaigns dead_letter_retry freeze_campaigns rebuild_campaign_stats reopen_campaigns
    request_rebuild retry_webhook_rejects
""")
# For workers, checks and Dagster's runs.
WORKING = named("""
    add_change_log_partition campaigns_created campaigns_named capture_faults capture_fingerprint
    counters_json drop_change_log_partition expire_default_changes expired_change_log_days
    fence_change_log_default final_days forget_old_workers held_up missing_change_log_days missing_source_rows
    listed_template most_listed_templates note_altered_source orphaned_statuses rebuild_days rebuild_step
    refresh_unfrozen_documents remove_default_fence source_parts source_problems source_row_counts
    source_values stray_changes stream_poll stream_rebuild stream_rebuild_items stream_rebuild_pick
    stream_rebuild_put_off stream_step templates_json validate_default_fence
    worker_heartbeat
""")
# Only for other functions, migrate, and members of headrace_owner.
INTERNAL = named("""
    altered_sources amend_campaign apply_outcomes apply_times calendar_day campaign_stats_apply
    capture_spec capture_table capture_union change_width changes_that_fit check_frozen_rows clean_json count_messages count_straight
    dead_letter_discard dead_letter_next_try default_is_large discard_webhook_rejects document_json drop_capture enter_state
    first_fenceable_moment fold_messages freeze_campaign is_data_error is_other_webhook_field
    is_passing_error keep_before_fence keep_webhook_rejects latency_block latency_median
    latency_seconds lifecycle_state list_readable_campaigns live_stats lock_campaigns
    lock_webhook_buckets log_change_anew merge_counts message_bits message_outcome_live
    new_webhook_items note_source noted_interval outcomes_by_message pack_hours queue_new_campaigns raise_unreadable
    readable_campaigns rebase_stream rebuild_frozen rebuild_items rebuild_pick rebuild_put_off
    rebuild_unfrozen rebuilds_pending record_activity recount_large refresh_documents
    refuse_webhook_isolation register_stream reply_window request_amendments
    request_rebuild_of_unfrozen settle_anew settle_campaigns settle_window source_columns
    source_holds source_mark source_storage stats_differences status_bits stg_campaign_contacts
    stg_campaigns stg_incoming_messages stg_message_status_logs stg_send_queue store_counts
    store_webhook_items stream_read take_moved_messages take_webhook_items template_key template_md5 touch_day
    touched_messages unpack_hours unreadable webhook_items webhook_notice webhook_reject_body
    webhook_sender webhook_time_problem webhook_unknown_type webhook_value_items whole_template_name
""")

GRANTED = {
    "headrace_reader": {*SERVING, *WATCHING},
    "headrace_app": {*SERVING, *TAKING_IN},
    "headrace_worker": {*SERVING, *WATCHING, *TAKING_IN, *DECIDING, *WORKING},
    # Roles that act inside: the functions they own, and what these need.
    "headrace_capture": {"log_change_anew"},
    "headrace_ingest": {"store_webhook_items"},
    "headrace_monitor": {"oldest_writer", "held_up"},
}
_GENERATED = "p.proname !~ '^capture_.*_(insert|update|delete|truncate)$'"


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def of(admin: psycopg.Connection[Any], condition: str) -> set[str]:
    rows = admin.execute(
        f"SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'headrace'::regnamespace AND {_GENERATED} AND {condition}".encode()
    )
    return {name for (name,) in rows}


def test_every_function_is_granted_as_this_file_says_or_named_as_internal(
    admin: psycopg.Connection[Any],
) -> None:
    granted = {name for names in GRANTED.values() for name in names}
    assert of(admin, "true") == granted | INTERNAL
    assert {
        role: of(admin, f"has_function_privilege('{role}', p.oid, 'EXECUTE')") for role in GRANTED
    } == GRANTED
    # Functions generated by capture belong to the triggers.
    generated = admin.execute(f"""
        SELECT p.proowner::regrole::text, r FROM pg_proc p, unnest(%s::name[]) r
        WHERE p.pronamespace = 'headrace'::regnamespace AND NOT ({_GENERATED}) AND has_function_privilege(r, p.oid, 'EXECUTE')
    """.encode(), [list(GRANTED)])  # fmt: skip
    assert set(generated.fetchall()) == {("headrace_capture", "headrace_capture")}


def test_what_acts_as_its_owner_belongs_to_roles_that_are_nobody_special(
    admin: psycopg.Connection[Any],
) -> None:
    owners = admin.execute("""
        SELECT p.proowner::regrole::text, bool_or(
            r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolcanlogin OR r.rolreplication OR r.rolbypassrls)
        FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner
        WHERE p.pronamespace = 'headrace'::regnamespace AND p.prosecdef GROUP BY 1 ORDER BY 1
    """).fetchall()
    assert owners == [(f"headrace_{role}", False) for role in ("capture", "ingest", "monitor", "owner")]
    others = admin.execute("""
        SELECT c.oid::regclass FROM pg_class c
        WHERE c.relnamespace = 'headrace'::regnamespace AND c.relowner <> 'headrace_owner'::regrole
    """).fetchall()
    assert others == []
    members = admin.execute("""
        SELECT m.member::regrole::text, m.roleid::regrole::text FROM pg_auth_members m
        WHERE m.member::regrole::text LIKE 'headrace\\_%'
    """).fetchall()
    assert members == [("headrace_monitor", "pg_read_all_stats")]


RIGHTS = """
    SELECT x.grantee::regrole::text, t.place, string_agg(x.privilege_type, ' ' ORDER BY x.privilege_type)
    FROM (
        SELECT c.oid::regclass::text AS place, c.relacl AS acl, c.relnamespace FROM pg_class c
        UNION ALL SELECT n.nspname, n.nspacl, n.oid FROM pg_namespace n
        UNION ALL SELECT d.datname, d.datacl, 0 FROM pg_database d WHERE d.datname = current_database()
    ) t
    CROSS JOIN LATERAL aclexplode(t.acl) x
    WHERE x.grantee = ANY (ARRAY['headrace_owner', 'headrace_capture', 'headrace_ingest', 'headrace_monitor']::regrole[])
        AND (x.grantee <> 'headrace_owner'::regrole OR t.relnamespace <> 'headrace'::regnamespace)
    GROUP BY 1, 2 ORDER BY 1, 2
"""


def test_the_roles_that_act_inside_have_these_rights_and_no_others(admin: psycopg.Connection[Any]) -> None:
    read = ("campaign_contacts", "campaigns", "message_status_logs", "messages", "send_queue")
    assert admin.execute(RIGHTS.encode()).fetchall() == [
        ("headrace_capture", "headrace", "USAGE"),
        ("headrace_capture", "headrace.change_log", "INSERT"),
        ("headrace_ingest", "message_status_logs", "INSERT"),
        ("headrace_ingest", "messages", "INSERT"),
        *(("headrace_owner", table, "SELECT") for table in read),
    ]


# --- hostile arguments -------------------------------------------------------------------------------------------------

_INJECTION = "'); DROP SCHEMA headrace CASCADE; --"
HOSTILE: dict[str, Sequence[str]] = {
    "integer": ("NULL", "0", "-1", "2147483647", "-2147483648"),
    "smallint": ("NULL", "0", "-1"),
    "bigint": ("NULL", "0", "-1", "9223372036854775807"),
    "double precision": ("NULL", "-1", "'infinity'", "'nan'", "1e308"),
    "boolean": ("true", "false", "NULL"),
    "oid": ("0", "'headrace.campaign'::regclass", "4294967295"),
    "text": (
        "NULL",
        "''",
        "$$" + _INJECTION + "$$",
        "repeat('x', 100000)",
        "'pg_catalog.pg_sleep'",
        "'campaign_stats'",
        "'messages'",
    ),
    "text[]": (
        "NULL",
        "'{}'",
        "ARRAY[$$" + _INJECTION + "$$, NULL]",
        "array_fill('x'::text, ARRAY[5000])",
        "'{campaign_stats}'",
    ),
    "date": (
        "NULL",
        "'-infinity'",
        "'infinity'",
        "'4713-01-01 BC'",
        "current_date",
        "current_date + 1",
        "current_date - 1",
        "current_date + 400",
    ),
    "interval": ("NULL", "'-1 day'", "'0'", "'1 microsecond'", "'-1000 years'", "'100000 years'"),
    "timestamp with time zone": ("NULL", "'-infinity'", "'infinity'", "now()"),
    "uuid": ("NULL", "gen_random_uuid()", "$frozen"),
    "uuid[]": ("NULL", "'{}'", "ARRAY[gen_random_uuid(), NULL]", "ARRAY[$frozen]"),
    "bigint[]": ("NULL", "'{}'", "'{-1}'"),
    "jsonb": ("NULL", "'null'", "'[]'", "'{}'", "'{\"entry\": 5}'", '\'{"messages_from": "x"}\''),
}
# What no role may change, whatever it calls, except where that is its work.
HELD = {
    "frozen documents": "SELECT campaign_id, version, totals, template_stats, state FROM headrace.campaign_computed_stats"
    " WHERE state IN ('frozen', 'amended')",
    "amendments": "SELECT * FROM headrace.campaign_stats_amendment",
    "settings": "SELECT name, value FROM headrace.installation ORDER BY 1",
    "streams": "SELECT * FROM headrace.stream",
    "cursors": "SELECT stream, shard, state FROM headrace.stream_cursor",
    "the log": "SELECT pos, xid, source, op, entity_id FROM headrace.change_log ORDER BY 1",
    "days of the log": "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = 'headrace.change_log'::regclass AND c.relname <= 'change_log_'"
    " || to_char((now() AT TIME ZONE 'UTC') + interval '14 days', 'YYYYMMDD') ORDER BY 1",
    "the application's rows": "SELECT (SELECT count(*) FROM campaigns), (SELECT count(*) FROM send_queue),"
    " (SELECT count(*) FROM message_status_logs), (SELECT count(*) FROM messages)",
    "functions": "SELECT oid::regprocedure::text, proowner, prosrc, prosecdef, proconfig, proacl::text FROM pg_proc"
    " WHERE pronamespace = 'headrace'::regnamespace ORDER BY 1",
    "roles": "SELECT rolname, rolsuper, rolcreaterole, rolcanlogin FROM pg_roles WHERE rolname LIKE 'headrace\\_%' ORDER BY 1",
}


def calls(admin: psycopg.Connection[Any], name: str, frozen: str) -> Iterator[str]:
    """Calls of a function, with each hostile value once in each place; calls of an operator name no existing campaign."""
    (arguments,) = admin.execute(
        "SELECT ARRAY(SELECT format_type(t, NULL) FROM unnest(proargtypes) WITH ORDINALITY u (t, n) ORDER BY n)"
        " FROM pg_proc WHERE pronamespace = 'headrace'::regnamespace AND proname = %s",
        [name],
    ).fetchall()[0]
    values = [[v for v in HOSTILE[kind] if name not in DECIDING or "$frozen" not in v] for kind in arguments]
    for turn in count():
        if turn and all(turn >= len(of_one) for of_one in values):
            return
        # all values of the longest list, while the others repeat
        passed = [of_one[(turn + shift) % len(of_one)] for shift, of_one in enumerate(values)]
        typed = [
            f"{value}::{kind}".replace("$frozen", f"'{frozen}'")
            for value, kind in zip(passed, arguments, strict=True)
        ]
        yield f"SELECT * FROM headrace.{name}({', '.join(typed)})"


@pytest.mark.parametrize("role", ["headrace_reader", "headrace_app", "headrace_worker"])
def test_whatever_is_passed_to_a_function_it_does_only_its_work(
    role: str, database: str, admin: psycopg.Connection[Any]
) -> None:
    frozen, _ = a_history(admin)
    asyncio.run(drain(database))
    admin.execute("SELECT headrace.freeze_campaigns(ARRAY[%s])", [frozen])
    # Changes that wait, in a log that no stream has read yet.
    admin.execute("UPDATE message_status_logs SET status = 'read' WHERE whatsapp_message_id LIKE 'wamid.1.%'")
    before = {what: admin.execute(query.encode()).fetchall() for what, query in HELD.items()}
    states: dict[str, set[str]] = {}
    with psycopg.connect(as_role(database, role), autocommit=True) as session:
        session.execute("SET statement_timeout = '20s'")
        for name in sorted(GRANTED[role]):
            for call in calls(admin, name, str(frozen)):
                try:
                    session.execute(call.encode())
                except psycopg.Error as error:
                    states.setdefault(error.sqlstate or "", set()).add(f"{call[:150]}: {error}")
    # no wrongly built statement, no internal error of the server, no time-out
    assert not {state: states[state] for state in states if state[:2] in ("XX", "57") or state == "42601"}
    for what, query in HELD.items():
        assert admin.execute(query.encode()).fetchall() == before[what], what
    days = admin.execute(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'headrace.change_log'::regclass"
    ).fetchall()
    assert days[0][0] <= len(before["days of the log"]) + 17
    with engine(database).connect() as connection:
        assert misplaced(connection) == []
    asyncio.run(drain(database))
    assert_all_agree(admin)


def test_a_worker_neither_writes_a_frozen_document_nor_drops_the_log_nor_makes_it_long(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    """Each of these calls once did."""
    frozen, _ = a_history(admin)
    asyncio.run(drain(database))
    admin.execute("SELECT headrace.freeze_campaigns(ARRAY[%s])", [frozen])
    before = {what: admin.execute(query.encode()).fetchall() for what, query in HELD.items()}
    with psycopg.connect(as_role(database, "headrace_worker"), autocommit=True) as worker:
        for call, state in (
            (f"headrace.refresh_documents(ARRAY['{frozen}'::uuid], true)", "42501"),
            ("headrace.add_change_log_partition(date '2100-01-01')", "22023"),
            ("headrace.rebase_stream('campaign_stats')", "42501"),
            ("headrace.dead_letter_discard('{1}')", "42501"),
        ):
            with pytest.raises(psycopg.Error) as caught:
                worker.execute(f"SELECT {call}".encode())
            assert caught.value.sqlstate == state, call
        kept = worker.execute(
            "SELECT headrace.drop_change_log_partition((now() AT TIME ZONE 'UTC')::date, '-1 day')"
        )
        assert kept.fetchone() == ("needed",)
        assert worker.execute(
            "SELECT headrace.refresh_unfrozen_documents(ARRAY[%s])", [frozen]
        ).fetchone() == (0,)
    assert {what: admin.execute(query.encode()).fetchall() for what, query in HELD.items()} == before
