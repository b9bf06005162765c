"""What Dagster loads: the domains' definitions, merged with what they all share.

Runs execute in one process: starting another for each step costs seconds.
"""

from __future__ import annotations

import importlib

import dagster as dg

from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.dagster_kit.sensors import stream_backlog
from orchestration.install.contract import read_contract

# In the order of sources.yml: in stream_backlog's cursor the first domain keeps the place that installed versions gave it.
_rooms = [importlib.import_module(f"orchestration.{domain}.definitions") for domain in read_contract()]

# The only Definitions object with a name here: Dagster refuses to choose between several.
defs = dg.Definitions.merge(
    *(room.definitions for room in _rooms),
    dg.Definitions(
        sensors=[stream_backlog([room.kept for room in _rooms])],
        executor=dg.in_process_executor,
        # Assets exchange data only through the database. Dagster's default IO manager writes files, into a folder that a run
        # config may name, even through an environment variable.
        resources={"database": ApplicationDatabase(), "io_manager": dg.mem_io_manager},
    ),
)
