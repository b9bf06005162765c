"""The schedule that runs the checks, so that they are current without anybody asking.

A run costs seconds before its first check, and one of them recomputes: hourly, and all in one run.
"""

import dagster as dg

from orchestration.campaign_stats.assets import GROUP
from orchestration.campaign_stats.checks import checks
from orchestration.campaign_stats.progress import look
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.database.transactions import snapshot

# Below what Dagster gives a tick (60 s): then the tick fails with the database's words.
_READ_TIMEOUT_SECONDS = 20


campaign_stats_checks_job = dg.define_asset_job(
    "campaign_stats_checks",
    selection=dg.AssetSelection.checks(*checks),
    description="Runs every check of campaign statistics, in one run.",
    tags={"domain": GROUP},
)


@dg.schedule(
    name="campaign_stats_checks",
    job=campaign_stats_checks_job,
    cron_schedule="20 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    tags={"domain": GROUP},
)
def campaign_stats_checks(
    context: dg.ScheduleEvaluationContext, database: ApplicationDatabase
) -> dg.RunRequest | dg.SkipReason:
    """Runs every check of campaign statistics once an hour, in one run.

    Raises:
        HeadraceError: the database could not be read: the tick fails.
    """
    with snapshot(database.engine(), timeout_seconds=_READ_TIMEOUT_SECONDS) as connection:
        if look(connection) is None:
            return dg.SkipReason(
                "campaign statistics are not active in this database; "
                "once the application's tables are there, run: headrace migrate"
            )
    return dg.RunRequest()
