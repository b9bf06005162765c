"""What Dagster loads: the domains' definitions, merged, with what is there once for all of them.

Runs execute in one process: starting another for each step costs seconds.
"""

from __future__ import annotations

import importlib

import dagster as dg

from orchestration.dagster_kit.assets import contract
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.dagster_kit.sensors import stream_backlog

_rooms = [importlib.import_module(f"orchestration.{domain}.definitions") for domain in contract()]

# The only Definitions object here by name: Dagster refuses to choose.
defs = dg.Definitions.merge(
    *(room.definitions for room in _rooms),
    dg.Definitions(
        sensors=[stream_backlog([room.kept for room in _rooms])],
        executor=dg.in_process_executor,
        # Assets hand each other nothing but through the database. Dagster's own keeper of outputs writes files, into a folder
        # that a run config may name, also by a variable of the environment.
        resources={"database": ApplicationDatabase(), "io_manager": dg.mem_io_manager},
    ),
)
