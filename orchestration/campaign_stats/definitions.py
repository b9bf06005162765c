"""What this domain gives to Dagster."""

from __future__ import annotations

import dagster as dg

from orchestration.campaign_stats.assets import campaign_computed_stats, campaign_template_stats, sources
from orchestration.campaign_stats.checks import checks
from orchestration.campaign_stats.jobs import jobs
from orchestration.campaign_stats.schedules import campaign_stats_checks
from orchestration.campaign_stats.sensors import completed_campaigns, stream_backlog
from orchestration.dagster_kit.resources import ApplicationDatabase

definitions = dg.Definitions(
    assets=[*sources, campaign_template_stats, campaign_computed_stats],
    asset_checks=checks,
    jobs=jobs,
    sensors=[stream_backlog, completed_campaigns],
    schedules=[campaign_stats_checks],
    resources={"database": ApplicationDatabase()},
)
