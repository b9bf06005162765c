"""Jobs for the operator, to be started in the launchpad: freeze, reopen and amend campaigns.

Here: their config and what Dagster shows of them. Not here: what is done (lifecycle.py).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

import dagster as dg
from pydantic import Field

from orchestration.campaign_stats import lifecycle
from orchestration.campaign_stats.assets import GROUP
from orchestration.campaign_stats.ids import read_ids
from orchestration.campaign_stats.lifecycle import MOST_CAMPAIGNS, Outcome
from orchestration.dagster_kit.confirmation import SHORT, VALID_FOR, Intent, confirm_refused
from orchestration.dagster_kit.findings import short
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.dagster_kit.run_config import Flag, Text
from orchestration.errors import HeadraceError
from orchestration.text import log_text

_RUNS_LOOKED_AT = 500


class CampaignsConfig(dg.Config):
    """Which campaigns, and whether in earnest."""

    # Empty by default, which is refused: so the launchpad shows where the ids go.
    campaigns: list[Text] = Field(
        default=[],
        description=f"Ids of campaigns (UUIDs), at least one and at most {MOST_CAMPAIGNS}. "
        "If one is wrong it is named, and nothing is done.",
    )
    dry_run: Flag = Field(
        default=True, description="Only say what would be done. To do it set it to false, and confirm."
    )
    confirm: Text = Field(
        default="",
        description=f"With dry_run: false, the first {SHORT} letters of the id of a dry run of these campaigns, not older than a "
        "day. Its page shows what would be done.",
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


@dg.op(name="freeze", out=dg.Out(dg.Nothing), tags={"domain": GROUP})
def freeze_op(context: dg.OpExecutionContext, config: CampaignsConfig, database: ApplicationDatabase) -> None:
    """Freezes campaigns now, whatever their status: recomputed once more, they change only by amendments from then on."""
    campaigns = lifecycle.read_campaigns(config.campaigns)
    with _told():
        _require_confirmation(context, config, campaigns)
        done = lifecycle.freeze(database.engine(), campaigns, dry_run=config.dry_run, log=_log(context))
    _show(context, done, config.dry_run)


@dg.op(name="reopen", out=dg.Out(dg.Nothing), tags={"domain": GROUP})
def reopen_op(context: dg.OpExecutionContext, config: ReopenConfig, database: ApplicationDatabase) -> None:
    """Makes frozen campaigns live again, with the frozen version on record; a completed one settles once more."""
    campaigns = lifecycle.read_campaigns(config.campaigns)
    with _told():
        _require_confirmation(context, config, campaigns)
        done = lifecycle.reopen(
            database.engine(),
            campaigns,
            accept_fewer_rows=config.accept_fewer_rows,
            dry_run=config.dry_run,
            log=_log(context),
        )
    _show(context, done, config.dry_run)


@dg.op(name="amend", out=dg.Out(dg.Nothing), tags={"domain": GROUP})
def amend_op(context: dg.OpExecutionContext, config: AmendConfig, database: ApplicationDatabase) -> None:
    """Decides amendments that wait because the source has fewer rows: the check amendments_pending names them."""
    campaigns = lifecycle.read_campaigns(config.campaigns)
    with _told():
        _require_confirmation(context, config, campaigns)
        done = lifecycle.amend(
            database.engine(),
            campaigns,
            accept_fewer_rows=config.accept_fewer_rows,
            dry_run=config.dry_run,
            log=_log(context),
        )
    _show(context, done, config.dry_run)


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong as the run's failure, whose words the run's page begins with; of other errors it shows the stack first."""
    try:
        yield
    except HeadraceError as error:
        raise dg.Failure(log_text(str(error))) from error


def _log(context: dg.OpExecutionContext) -> Callable[[str], None]:
    return lambda told: context.log.info(log_text(told))


def _require_confirmation(
    context: dg.OpExecutionContext, config: CampaignsConfig, campaigns: Sequence[UUID]
) -> None:
    """Raises HeadraceError where a run in earnest names no dry run of the same."""
    if config.dry_run:
        return
    since = datetime.now(UTC) - VALID_FOR
    wanted = dg.RunsFilter(
        job_name=context.job_name, statuses=[dg.DagsterRunStatus.SUCCESS], created_after=since
    )
    dry_runs = []
    for run in context.instance.get_runs(wanted, limit=_RUNS_LOOKED_AT):
        try:
            told = type(config).model_validate(dict(run.run_config))
            if told.dry_run:
                dry_runs.append((run.run_id, Intent.of(read_ids(told.campaigns), told.model_dump())))
        except (HeadraceError, ValueError, TypeError):
            continue  # of a version whose config was another one
    if why := confirm_refused(config.confirm, Intent.of(campaigns, config.model_dump()), dry_runs):
        raise HeadraceError(why)


def _show(context: dg.OpExecutionContext, outcomes: Sequence[Outcome], dry_run: bool) -> None:
    changed = sum(outcome.before != outcome.after for outcome in outcomes)
    confirm = context.run_id[:SHORT]
    if dry_run:
        context.log.info(f"a dry run: nothing was changed; to do it: dry_run: false, confirm: {confirm}")
    columns = {
        "campaign": "string",
        "name": "string",
        "state before": "string",
        "version before": "int",
        "state after": "string",
        "version after": "int",
        "result": "string",
    }
    records = [
        dg.TableRecord(
            dict(
                zip(
                    columns,
                    (
                        str(outcome.before.id),
                        None if outcome.before.name is None else short(outcome.before.name),
                        outcome.before.state,
                        outcome.before.version,
                        outcome.after.state,
                        outcome.after.version,
                        outcome.said,
                    ),
                    strict=True,
                )
            )
        )
        for outcome in outcomes
    ]
    context.add_output_metadata(
        {
            "dry_run": dry_run,
            "campaigns": len(outcomes),
            "changed": changed,
            **({"confirm": confirm} if dry_run else {}),
            "results": dg.MetadataValue.table(
                records, dg.TableSchema([dg.TableColumn(name, type) for name, type in columns.items()])
            ),
        }
    )


def _checked(op: str, config: CampaignsConfig) -> dict[str, object]:
    """The run config with what a person wrote as the op's. Dagster asks for it before it starts a run: wrong ids start none."""
    lifecycle.read_campaigns(config.campaigns)
    return {"ops": {op: {"config": config.model_dump()}}}


@dg.config_mapping
def freeze_config(config: CampaignsConfig) -> dict[str, object]:
    return _checked("freeze", config)


@dg.job(executor_def=dg.in_process_executor, config=freeze_config, tags={"domain": GROUP})
def freeze_campaigns() -> None:
    """Freezes campaigns now, whatever their status and however long they have settled."""
    freeze_op()


@dg.config_mapping
def reopen_config(config: ReopenConfig) -> dict[str, object]:
    return _checked("reopen", config)


@dg.job(executor_def=dg.in_process_executor, config=reopen_config, tags={"domain": GROUP})
def reopen_campaigns() -> None:
    """Makes frozen campaigns live again; the frozen version is kept on record."""
    reopen_op()


@dg.config_mapping
def amend_config(config: AmendConfig) -> dict[str, object]:
    return _checked("amend", config)


@dg.job(executor_def=dg.in_process_executor, config=amend_config, tags={"domain": GROUP})
def amend_campaigns() -> None:
    """Decides amendments of frozen campaigns that wait because the source has fewer rows than it had."""
    amend_op()


jobs = [freeze_campaigns, reopen_campaigns, amend_campaigns]
