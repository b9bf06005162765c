"""Staging: functions that the planner inlines, and that depend on nothing in the source tables."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest

from orchestration.database.sql_files import sql_file_names
from orchestration.install.migrate import migrate
from orchestration.settings import Settings
from tests.databases import create_database, drop_database, with_database

INLINED = [*sql_file_names("campaign_stats", "staging"), "message_outcome_live"]

VARCHARS = """
    ALTER TABLE send_queue ALTER id TYPE varchar(36), ALTER user_phone TYPE varchar(40), ALTER whatsapp_number_id TYPE varchar,
        ALTER template_name TYPE varchar(200), ALTER status TYPE varchar(10), ALTER whatsapp_message_id TYPE varchar(200);
    ALTER TABLE messages ALTER id TYPE varchar(36), ALTER user_phone TYPE varchar(40), ALTER whatsapp_number_id TYPE varchar,
        ALTER direction TYPE varchar(10), ALTER context_message_id TYPE varchar(200);
    ALTER TABLE message_status_logs ALTER whatsapp_message_id TYPE varchar(200), ALTER status TYPE varchar(20);
    ALTER TABLE campaigns ALTER name TYPE varchar(100), ALTER status TYPE varchar(20);
    ALTER TABLE campaign_contacts ALTER template_name TYPE varchar(200);
"""


@pytest.fixture(scope="module", params=["", VARCHARS], ids=["as in the example", "varchar with lengths"])
def migrated(
    request: pytest.FixtureRequest, server_url: str, templates: dict[str, str], settings: Settings
) -> Iterator[str]:
    """One database for all tests, which only read it."""
    name = create_database(server_url, templates["app"])
    url = with_database(server_url, name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(request.param or b"SELECT 1")
    migrate(url, settings)
    yield url
    drop_database(server_url, name)


@pytest.mark.parametrize("function", INLINED)
def test_the_planner_sees_through_it(migrated: str, function: str) -> None:
    with psycopg.connect(migrated) as connection:
        plan = connection.execute(f"EXPLAIN (COSTS OFF) SELECT * FROM headrace.{function}()").fetchall()
    assert not [line for (line,) in plan if "Function Scan" in line]


def test_one_campaign_is_looked_up_by_indexes_wherever_staging_is_called(migrated: str) -> None:
    lookups = {
        "stg_campaigns() s WHERE s.campaign_id = (SELECT gen_random_uuid())": "campaigns_pkey",
        "stg_send_queue() s WHERE s.campaign_id = (SELECT gen_random_uuid())": "campaign",
        "stg_send_queue() s WHERE s.whatsapp_message_id = 'x'": "message",
        "stg_send_queue() s WHERE s.user_phone = 'x' AND s.whatsapp_number_id = 'y' AND s.at < now()": "conversation",
        "stg_message_status_logs() s WHERE s.whatsapp_message_id = 'x'": "message",
        "stg_incoming_messages() s WHERE s.user_phone = 'x' AND s.whatsapp_number_id = 'y'": "incoming",
    }
    with psycopg.connect(migrated) as connection:
        connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        for lookup, index in lookups.items():
            rows = connection.execute(f"EXPLAIN (COSTS OFF) SELECT * FROM headrace.{lookup}").fetchall()
            plan = "\n".join(line for (line,) in rows)
            assert re.search(rf"{index}.*Index Cond", plan, re.DOTALL), plan


def test_nothing_of_ours_but_triggers_depends_on_a_source_table(migrated: str) -> None:
    with psycopg.connect(migrated) as connection:
        found = connection.execute("""
            SELECT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend d
            WHERE d.refobjid = ANY ('{campaigns,send_queue,message_status_logs,messages,campaign_contacts}'::regclass[])
                AND d.classid = ANY ('{pg_rewrite,pg_proc,pg_type}'::regclass[])
                AND pg_describe_object(d.classid, d.objid, d.objsubid) ~ 'headrace'
                AND pg_describe_object(d.classid, d.objid, d.objsubid) !~ 'capture_'
        """).fetchall()
    assert found == []
