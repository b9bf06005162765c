"""What Dagster loads: the domains' definitions, merged.

Runs execute in one process: starting another for each step costs seconds.
"""

from __future__ import annotations

import dagster as dg

from orchestration.campaign_stats import definitions as campaign_stats

# The only Definitions object here by name: Dagster refuses to choose.
defs = dg.Definitions.merge(
    campaign_stats.definitions,
    dg.Definitions(
        executor=dg.in_process_executor,
        # Assets hand each other nothing but through the database. Dagster's own keeper of outputs writes files, into a folder
        # that a run config may name, also by a variable of the environment.
        resources={"io_manager": dg.mem_io_manager},
    ),
)
