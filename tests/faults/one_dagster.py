"""One Dagster for fault tests: the daemon's own code ticks sensors on a real instance, and runs execute in the same process.

As a program, it kills itself with SIGKILL at a point that the daemon's code marks, or is killed by the test.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.remote_representation.external import RemoteSensor
from dagster._core.scheduler.instigation import SensorInstigatorData
from dagster._core.test_utils import (
    InProcessTestWorkspaceLoadTarget,
    create_test_daemon_workspace_context,
    freeze_time,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._daemon.sensor import execute_sensor_iteration

SENSOR = "completed_campaigns"
HOME = """
run_launcher:
  module: dagster._core.launcher.sync_in_memory_run_launcher
  class: SyncInMemoryRunLauncher
run_coordinator:
  module: dagster._core.run_coordinator
  class: DefaultRunCoordinator
telemetry:
  enabled: false
"""


def make_home(folder: Path) -> Path:
    """A DAGSTER_HOME whose runs execute in the process that requests them."""
    (folder / "dagster.yaml").write_text(HOME)
    return folder


@contextmanager
def opened(home: Path) -> Iterator[WorkspaceProcessContext]:
    """The instance of this home, with this repository's definitions loaded into the process."""
    target = InProcessTestWorkspaceLoadTarget(
        InProcessCodeLocationOrigin(
            LoadableTargetOrigin(executable_path=sys.executable, module_name="orchestration.definitions"),
            location_name="headrace",
        )
    )
    with (
        dg.DagsterInstance.from_config(str(home)) as instance,
        create_test_daemon_workspace_context(target, instance) as context,
    ):
        yield context


def sensors(context: WorkspaceProcessContext) -> dict[str, RemoteSensor]:
    (repository,) = context.create_request_context().get_code_location("headrace").get_repositories().values()
    return {sensor.name: sensor for sensor in repository.get_sensors()}


def tick(home: Path, later: timedelta, mark: str | None = None) -> None:
    """One tick of the sensor completed_campaigns, and the run that it requests.

    Args:
        later: how far Dagster's clock is ahead: ticks must be some seconds apart.
        mark: the point at which the process kills itself.
    """
    crash = {SENSOR: {mark: signal.SIGKILL}} if mark else None
    with opened(home) as context, freeze_time(datetime.now(UTC) + later):
        for name, sensor in sensors(context).items():
            if name != SENSOR:
                context.instance.stop_sensor(sensor.get_remote_origin_id(), sensor.selector_id, sensor)
        logger = logging.getLogger("one_dagster")
        for error in execute_sensor_iteration(context, logger, None, None, debug_crash_flags=crash):
            assert error is None, error


def stored_cursor(home: Path) -> str | None:
    """The sensor's cursor as Dagster stores it."""
    with opened(home) as context:
        sensor = sensors(context)[SENSOR]
        state = context.instance.get_instigator_state(sensor.get_remote_origin_id(), sensor.selector_id)
    data = state.instigator_data if state else None
    return data.cursor if isinstance(data, SensorInstigatorData) else None


if __name__ == "__main__":
    tick(Path(sys.argv[1]), timedelta(minutes=float(sys.argv[2])), *sys.argv[3:])
