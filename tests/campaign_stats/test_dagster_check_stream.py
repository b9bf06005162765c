"""The checks of what stands between the rows and the statistics: lag, dead letters, stray changes, capture."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import dagster as dg
import psycopg
from psycopg import sql

from orchestration.campaign_stats.checks import (
    capture_triggers,
    change_log_default_empty,
    no_dead_letters,
    stream_lag,
)
from orchestration.engine.housekeeping import housekeep_once
from orchestration.engine.stream import drain
from orchestration.install.doctor import diagnose
from orchestration.settings import Settings
from tests.campaign_stats.conftest import Application, run_check, the_check
from tests.sessions import open_transaction

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
CAMPAIGN = UUID("00000000-0000-4000-8000-00000000000a")


# --- lag -----------------------------------------------------------------------------------------------------------


def test_a_stream_that_keeps_up_passes(counted: Application) -> None:
    found = the_check(stream_lag)
    assert found.passed
    assert found.sentence == (
        "stream campaign_stats is 0 changes and 0 s behind, 0 campaigns wait for their rebuild"
    )
    assert (found.told["rows_behind"], found.told["seconds_behind"], found.told["workers"]) == (0, 0.0, 0)


def test_changes_that_wait_too_long_fail_and_say_that_no_worker_runs(counted: Application) -> None:
    counted.rows("UPDATE send_queue SET status = 'failed' WHERE id IN (SELECT id FROM send_queue LIMIT 3)")
    assert the_check(stream_lag).passed
    counted.rows("UPDATE headrace.change_log SET changed_at = changed_at - interval '90 seconds'")
    found = the_check(stream_lag)
    assert not found.passed
    assert found.severity is ERROR
    assert found.told["rows_behind"] == 3
    assert 90 <= found.told["seconds_behind"] < 110
    assert "stream campaign_stats is 3 changes and 9" in found.sentence
    assert "no worker is running: headrace worker" in found.sentence
    counted.rows("SELECT headrace.worker_heartbeat('w', 'host', 1, 'running', '{campaign_stats}', 0, NULL)")
    found = the_check(stream_lag)
    assert not found.passed
    assert "no worker" not in found.sentence
    assert the_check(stream_lag, most_seconds=300).passed


def test_a_stream_that_lost_its_place_fails_with_what_to_run(counted: Application) -> None:
    for harm, words in (
        ("state = 'lost'", "lost its place in the change log"),
        ("state = 'active', database_name = 'another'", "stands in another cluster"),
        ("database_name = current_database(), prev = '999999999:999999999:'", "or in the future"),
    ):
        counted.rows(f"UPDATE headrace.stream_cursor SET {harm}")
        found = the_check(stream_lag)
        assert not found.passed
        assert found.severity is ERROR
        assert words in found.sentence
        assert "run: headrace streams rebase campaign_stats" in found.sentence


def test_a_stream_that_is_not_there_fails(counted: Application) -> None:
    counted.rows("DELETE FROM headrace.stream")
    assert the_check(stream_lag).sentence == "stream campaign_stats is not there: headrace migrate"


def test_an_old_writer_warns_with_pid_name_and_role(counted: Application) -> None:
    with open_transaction(
        counted.url,
        "SET application_name = 'nightly import'; INSERT INTO campaigns (name) VALUES ('open')",
    ) as writer:
        ((role,),) = counted.rows("SELECT current_user")
        found = the_check(stream_lag, writer_seconds=0)
        assert not found.passed
        assert found.severity is WARN
        assert (
            f"pid {writer.info.backend_pid} (nightly import, role {role}) has been writing" in found.sentence
        )
        assert found.told["oldest_writer_seconds"] > 0
        assert the_check(stream_lag).passed
    # More than once, because autovacuum may be writing at that moment.
    assert any(the_check(stream_lag, writer_seconds=0).passed for _ in range(5))


def test_campaigns_that_wait_for_their_rebuild_too_long_warn(counted: Application) -> None:
    counted.rows("SELECT headrace.request_rebuild()")
    assert the_check(stream_lag).passed
    counted.rows("UPDATE headrace.campaign SET rebuild_requested_at = now() - interval '3 hours'")
    found = the_check(stream_lag)
    assert not found.passed
    assert found.severity is WARN
    assert f"{len(counted.campaigns)} campaigns wait for their rebuild, the longest for 3 h" in found.sentence
    assert found.told["rebuilds_waiting"] == len(counted.campaigns)


def test_a_campaign_that_cannot_be_rebuilt_fails_by_name_with_its_error(counted: Application) -> None:
    campaign = counted.campaigns[2].id
    counted.rows(
        "UPDATE headrace.campaign SET rebuild_requested_at = now(), rebuild_failures = 4,"
        " rebuild_error = '22003 bigint out of range' WHERE campaign_id = %s",
        [campaign],
    )
    found = the_check(stream_lag)
    assert not found.passed
    assert found.severity is ERROR
    assert (
        f"1 campaigns cannot be rebuilt: campaign {campaign} (22003 bigint out of range; 4 tries)"
        in found.sentence
    )
    assert found.told["failed_rebuild_table"] == [(str(campaign), 4, None, "22003 bigint out of range")]
    assert found.told["rebuilds_waiting"] == 0


# --- dead letters --------------------------------------------------------------------------------------------------


def poison(application: Application) -> UUID:
    """Logs a change with an invalid campaign id, which the handler always refuses."""
    application.rows(
        "INSERT INTO headrace.change_log (source, op, entity_id) VALUES ('campaigns', 'I', 'no uuid at all')"
    )
    application.drain()
    return CAMPAIGN


def test_without_dead_letters_it_passes(counted: Application) -> None:
    found = the_check(no_dead_letters)
    assert found.passed
    assert found.sentence == "stream campaign_stats has no dead letters"


def test_a_dead_letter_fails_with_stream_count_age_and_error(counted: Application) -> None:
    poison(counted)
    found = the_check(no_dead_letters)
    assert not found.passed
    assert found.severity is ERROR
    ((since,),) = counted.rows("SELECT first_failed_at FROM headrace.dead_letter")
    assert (
        f"stream campaign_stats has 1 dead letters, the oldest since {since:%Y-%m-%d %H:%M:%S}"
        in found.sentence
    )
    assert "campaigns no uuid at all: 22P02 invalid input syntax for type uuid" in found.sentence
    assert "headrace dead-letters retry" in found.sentence
    (row,) = found.told["letter_table"]
    assert row[1:6] == ("campaigns", "I", "no uuid at all", "failed", 1)
    counted.rows("SELECT headrace.dead_letter_discard(ARRAY(SELECT id FROM headrace.dead_letter))")
    assert the_check(no_dead_letters).passed


def test_dead_letters_of_another_stream_are_that_streams_business(counted: Application) -> None:
    poison(counted)
    counted.rows("UPDATE headrace.dead_letter SET stream = 'another'")
    assert the_check(no_dead_letters).passed


# --- the DEFAULT partition -----------------------------------------------------------------------------------------


def without_todays_partition(application: Application) -> date:
    """As after a day on which no partitions were made."""
    today = datetime.now(UTC).date()
    with psycopg.connect(application.url, autocommit=True) as connection:
        for day in (today, today + timedelta(days=1)):
            name = sql.Identifier("headrace", f"change_log_{day:%Y%m%d}")
            connection.execute(sql.SQL("DROP TABLE {}").format(name))
    return today


def test_changes_in_the_partitions_of_their_days_pass(counted: Application) -> None:
    counted.rows("UPDATE send_queue SET status = 'failed'")
    assert the_check(change_log_default_empty).passed


def test_changes_in_the_default_partition_warn_with_days_and_counts(
    counted: Application, settings: Settings
) -> None:
    today = without_todays_partition(counted)
    counted.rows("INSERT INTO campaigns (name) SELECT 'c' FROM generate_series(1, 3)")
    counted.rows("INSERT INTO messages (direction) VALUES ('incoming')")
    counted.rows(
        "UPDATE headrace.change_log SET changed_at = %s WHERE source = 'messages'",
        [datetime(2020, 2, 29, 23, 59, tzinfo=UTC)],
    )
    found = the_check(change_log_default_empty)
    assert not found.passed
    assert found.severity is WARN
    assert f"without a partition: 2020-02-29 (1); {today} (3). " in found.sentence
    assert found.told["day_table"] == [("2020-02-29", 1, "messages"), (str(today), 3, "campaigns")]
    assert (found.told["changes"], found.told["days"]) == (4, 2)


def test_changes_in_default_are_applied_and_expire_as_the_sentence_says(
    counted: Application, settings: Settings
) -> None:
    today = without_todays_partition(counted)
    counted.rows("INSERT INTO campaigns (name) VALUES ('c')")
    assert not the_check(change_log_default_empty).passed
    assert asyncio.run(drain(counted.url)).changes == 1
    asyncio.run(housekeep_once(counted.url, settings.change_retention, settings.stream_lost_after))
    ahead = f"change_log_{today + timedelta(days=1):%Y%m%d}"
    assert counted.rows("SELECT to_regclass('headrace.' || %s) IS NOT NULL", [ahead]) == [(True,)]
    assert not the_check(change_log_default_empty).passed
    counted.rows("UPDATE headrace.change_log_default SET changed_at = changed_at - interval '10 days'")
    asyncio.run(housekeep_once(counted.url, settings.change_retention, settings.stream_lost_after))
    assert the_check(change_log_default_empty).passed


# --- capture -------------------------------------------------------------------------------------------------------

CAPTURED = {f"app/{table}" for table in ("campaigns", "send_queue", "message_status_logs", "messages")}


def test_capture_as_migrate_made_it_passes_on_every_captured_table(counted: Application) -> None:
    found = run_check(capture_triggers)
    assert set(found) == CAPTURED
    assert all(item.passed and item.severity is ERROR for item in found.values())
    assert found["app/messages"].sentence == (
        "triggers and functions of table messages are as migrate made them and fit its columns and partitions"
    )


def test_a_fault_fails_on_its_table_alone_in_doctors_words(counted: Application, settings: Settings) -> None:
    counted.rows('ALTER TABLE send_queue DISABLE TRIGGER "!headrace_insert"')
    counted.rows("ALTER TABLE send_queue RENAME user_phone TO phone")
    found = run_check(capture_triggers)
    assert {asset for asset, item in found.items() if not item.passed} == {"app/send_queue"}
    broken = found["app/send_queue"]
    assert broken.severity is ERROR
    said = [(p.what, p.remedy) for p in diagnose(counted.url, settings).errors]
    assert len(said) == 2
    assert set(broken.told["problem_table"]) == set(said)
    for what, remedy in said:
        assert what in broken.sentence
        assert f"To do: {remedy}" in broken.sentence


def test_one_tables_capture_can_be_checked_alone(counted: Application) -> None:
    (key,) = [key for key in capture_triggers.check_keys if key.asset_key.path[-1] == "messages"]
    with dg.DagsterInstance.ephemeral() as instance:
        from orchestration.dagster_kit.resources import ApplicationDatabase

        result = dg.materialize(
            [capture_triggers],
            selection=dg.AssetSelection.checks(key),
            resources={"database": ApplicationDatabase()},
            instance=instance,
        )
    assert [found.asset_check_key for found in result.get_asset_check_evaluations()] == [key]
