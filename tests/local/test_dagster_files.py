"""dagster.yaml and workspace.yaml: the installed Dagster understands them, and they say what `up` and `env` rely on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster_postgres import DagsterPostgresStorage

from orchestration.settings import with_driver
from tests.commands import REPOSITORY


def test_dagsters_instance_is_made_of_dagster_yaml_and_the_url_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Callable[[], str]
) -> None:
    monkeypatch.setenv("DAGSTER_PG_URL", with_driver(empty_database(), "psycopg2"))
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)

    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.get_ref().storage, DagsterPostgresStorage)
        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
        assert instance.run_coordinator.dequeue_interval_seconds == 1
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert not instance.telemetry_enabled
        assert instance.get_runs_count() == 0


def test_the_workspace_is_the_one_module_that_merges_the_domains() -> None:
    workspace = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())

    assert workspace == {"load_from": [{"python_module": "orchestration.definitions"}]}
