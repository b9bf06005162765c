"""Jobs that an operator starts in the launchpad: freeze, reopen and amend campaigns.

Here: their config, and what Dagster shows of them. Not here: the work itself (lifecycle.py).
"""

from collections.abc import Sequence

import dagster as dg
from pydantic import Field

from orchestration.campaign_stats.assets import DOMAIN
from orchestration.campaign_stats.lifecycle import (
    ACTS,
    MOST_CAMPAIGNS,
    Act,
    Outcome,
    carry_out,
    read_campaigns,
    read_ids,
)
from orchestration.dagster_kit.checks import listing_value
from orchestration.dagster_kit.confirmation import SHORT
from orchestration.dagster_kit.findings import Listing, short
from orchestration.dagster_kit.jobs import ConfirmedConfig, require_confirmation
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.dagster_kit.run_config import Flag, Text
from orchestration.errors import HeadraceError
from orchestration.text import log_text


class CampaignsConfig(ConfirmedConfig):
    """Which campaigns, and whether in earnest."""

    # The default is empty, and refused. It is there so that the launchpad shows where the ids go.
    campaigns: list[Text] = Field(
        default=[],
        description=f"Ids of campaigns (UUIDs), at least one and at most {MOST_CAMPAIGNS}. "
        "If one is wrong it is named, and nothing is done.",
    )


class ReopenConfig(CampaignsConfig):
    """Which campaigns, whether with what is left of them, and whether in earnest."""

    accept_fewer_rows: Flag = Field(
        default=False,
        description="Reopen also where the source has fewer rows than when it was frozen: the numbers will lack them.",
    )


class AmendConfig(CampaignsConfig):
    """Which campaigns, what is decided, and whether in earnest."""

    accept_fewer_rows: Flag = Field(
        description="true: count again from the rows that are left, and keep the earlier version on record; "
        "false: the frozen numbers stand, and the amendment is given up.",
    )


def _job(act: Act, config: type[CampaignsConfig], does: str, told: str) -> dg.JobDefinition:
    """The job of an act, with one op named like the act. does: the op's description; told: the job's."""

    def op(context: dg.OpExecutionContext, config: CampaignsConfig, database: ApplicationDatabase) -> None:
        campaigns = read_campaigns(config.campaigns)
        try:
            require_confirmation(context, config, campaigns, read_ids)
            done = carry_out(
                database.engine(),
                act,
                campaigns,
                accept_fewer_rows=getattr(config, "accept_fewer_rows", False),
                dry_run=config.dry_run,
                log=lambda told: context.log.info(log_text(told)),
            )
        except HeadraceError as error:
            # The run's page begins with a Failure's message. For other errors it shows the stack trace first.
            raise dg.Failure(log_text(str(error))) from error
        _show(context, done, config.dry_run)

    def checked(config: CampaignsConfig) -> dict[str, object]:
        # Dagster calls this before it starts a run, so wrong ids start none.
        read_campaigns(config.campaigns)
        return {"ops": {act.name: {"config": config.model_dump()}}}

    op.__annotations__["config"] = checked.__annotations__["config"] = config
    made = dg.op(name=act.name, out=dg.Out(dg.Nothing), tags={"domain": DOMAIN}, description=does)(op)

    @dg.job(
        name=f"{act.name}_campaigns",
        executor_def=dg.in_process_executor,
        config=dg.config_mapping(checked),
        tags={"domain": DOMAIN},
        description=told,
    )
    def job() -> None:
        made()

    return job


def _show(context: dg.OpExecutionContext, outcomes: Sequence[Outcome], dry_run: bool) -> None:
    confirm = context.run_id[:SHORT]
    if dry_run:
        context.log.info(f"a dry run: nothing was changed; to do it: dry_run: false, confirm: {confirm}")
    names = ("campaign", "name", "state before", "version before", "state after", "version after", "result")
    columns = {name: "int" if name.startswith("version") else "string" for name in names}
    rows = [
        (
            str(outcome.before.id),
            None if outcome.before.name is None else short(outcome.before.name),
            outcome.before.state,
            outcome.before.version,
            outcome.after.state,
            outcome.after.version,
            outcome.said,
        )
        for outcome in outcomes
    ]
    context.add_output_metadata(
        {
            "dry_run": dry_run,
            "campaigns": len(outcomes),
            "changed": sum(outcome.before != outcome.after for outcome in outcomes),
            **({"confirm": confirm} if dry_run else {}),
            "results": listing_value(Listing(columns, rows, len(rows))),
        }
    )


jobs = [
    _job(
        ACTS["freeze"],
        CampaignsConfig,
        "Freezes campaigns now, whatever their status: recomputed once more, they change only by amendments from then on.",
        "Freezes campaigns now, whatever their status and however long they have settled.",
    ),
    _job(
        ACTS["reopen"],
        ReopenConfig,
        "Makes frozen campaigns live again, with the frozen version on record; a completed one settles once more.",
        "Makes frozen campaigns live again; the frozen version is kept on record.",
    ),
    _job(
        ACTS["amend"],
        AmendConfig,
        "Decides amendments that wait because the source has fewer rows: the check amendments_pending names them.",
        "Decides amendments of frozen campaigns that wait because the source has fewer rows than it had.",
    ),
]
