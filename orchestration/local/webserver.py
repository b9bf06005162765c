"""Dagster's webserver behind the front door: a process of `headrace up`, which gives it a port, a socket and the run's name.

Does what `dagster-webserver` does, whose command has no place for a middleware.
"""

from __future__ import annotations

from pathlib import Path

import click
import uvicorn
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__

from orchestration.local.front_door import Door, FrontDoor, Keys
from orchestration.local.home import HOST, LOCATION, read_key
from orchestration.settings import read_settings

# The same values as dagster-webserver's.
_STATEMENT_TIMEOUT_MS, _POOL_RECYCLE_SECONDS, _POOL_OVERFLOW, _POLL_MS = 15_000, 3_600, 20, 2_000
# Open pages hold their connections for ever.
_ENDING_SECONDS = 2


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), required=True)
@click.option("--code", type=click.Path(path_type=Path), required=True, help="Socket of the code server.")
@click.option("--run", required=True, help="What this run's link is told apart by.")
def serve(port: int, code: Path, run: str) -> None:
    """Serve Dagster's UI on loopback, to whoever has the key in HEADRACE_HOME."""
    settings = read_settings()
    door = Door(Keys(read_key(settings.home), run), port, settings.ui_hosts)
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(_STATEMENT_TIMEOUT_MS, _POOL_RECYCLE_SECONDS, _POOL_OVERFLOW)
        target = GrpcServerTarget(host="localhost", port=None, socket=str(code), location_name=LOCATION)
        with WorkspaceProcessContext(instance, target, version=__version__) as context:
            app = create_app_from_workspace_process_context(context, live_data_poll_rate=_POLL_MS)
            uvicorn.run(
                FrontDoor(app, door),
                host=HOST,
                port=port,
                log_level="warning",
                access_log=False,  # a link's token is part of its first request
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=_ENDING_SECONDS,
            )


if __name__ == "__main__":
    serve()
