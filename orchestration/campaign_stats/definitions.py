"""What this domain gives to Dagster."""

from __future__ import annotations

import dagster as dg

from orchestration.campaign_stats.assets import DOMAIN, campaign_computed_stats, campaign_template_stats
from orchestration.campaign_stats.checks import checks, hourly
from orchestration.campaign_stats.jobs import jobs
from orchestration.campaign_stats.sensors import completed_campaigns
from orchestration.campaign_stats.sensors import kept as kept
from orchestration.dagster_kit.assets import source_assets

definitions = dg.Definitions(
    assets=[*source_assets(DOMAIN), campaign_template_stats, campaign_computed_stats],
    asset_checks=checks,
    jobs=jobs,
    sensors=[completed_campaigns],
    schedules=[hourly],
)
