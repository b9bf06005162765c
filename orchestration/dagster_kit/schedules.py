"""The schedule that runs a domain's checks, so that their results are current without anyone asking.

A run takes seconds before its first check, and some checks recompute. So all checks of a domain share one run, once an hour.
"""

from collections.abc import Sequence

import dagster as dg

from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.dagster_kit.sensors import READ_TIMEOUT_SECONDS, not_active
from orchestration.database.transactions import snapshot
from orchestration.engine.backlog import is_registered


def hourly_checks(
    domain: str, stream: str, noun: str, checks: Sequence[dg.AssetChecksDefinition], *, minute: int
) -> dg.ScheduleDefinition:
    """Runs the checks once an hour, at this minute; skips them if the stream is not registered.

    Args:
        noun: what the domain keeps, in words: "campaign statistics".
    """
    name = f"{domain}_checks"
    job = dg.define_asset_job(
        name,
        selection=dg.AssetSelection.checks(*checks),
        description=f"Runs every check of {noun}, in one run.",
        tags={"domain": domain},
    )

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=f"{minute} * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Runs every check of {noun} once an hour, in one run.",
        tags={"domain": domain},
    )
    def tick(
        context: dg.ScheduleEvaluationContext, database: ApplicationDatabase
    ) -> dg.RunRequest | dg.SkipReason:
        with snapshot(database.engine(), timeout_seconds=READ_TIMEOUT_SECONDS) as connection:
            there = is_registered(connection, stream)
        return dg.RunRequest() if there else dg.SkipReason(not_active(noun))

    return tick
