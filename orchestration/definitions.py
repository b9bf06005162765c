"""What Dagster loads: the domains' definitions, merged.

Runs execute in one process: starting another for each step costs seconds.
"""

from __future__ import annotations

import importlib

import dagster as dg

from orchestration.install.contract import read_contract

# The only Definitions object here by name: Dagster refuses to choose.
defs = dg.Definitions.merge(
    *(
        importlib.import_module(f"orchestration.{domain}.definitions").definitions
        for domain in read_contract()
    ),
    dg.Definitions(
        executor=dg.in_process_executor,
        # Assets hand each other nothing but through the database. Dagster's own keeper of outputs writes files, into a folder
        # that a run config may name, also by a variable of the environment.
        resources={"io_manager": dg.mem_io_manager},
    ),
)
