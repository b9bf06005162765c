"""Jobs that change something for good: a real run must name the dry run that showed what it would do.

Here: the runs that Dagster knows. Not here: whether one of them confirms (confirmation.py), and the work itself (the domains).
"""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from uuid import UUID

import dagster as dg
from pydantic import Field

from orchestration.dagster_kit.confirmation import SHORT, VALID_FOR, Intent, confirm_refused
from orchestration.dagster_kit.run_config import Flag, Text
from orchestration.errors import HeadraceError

_RUNS_LOOKED_AT = 500


class ConfirmedConfig(dg.Config):
    """Which things, and whether in earnest. A job's own config says in `campaigns` how many there may be."""

    campaigns: list[Text] = Field(default=[])
    dry_run: Flag = Field(
        default=True, description="Only say what would be done. To do it set it to false, and confirm."
    )
    confirm: Text = Field(
        default="",
        description=f"With dry_run: false, the first {SHORT} letters of the id of a dry run of these campaigns, not older than a "
        "day. Its page shows what would be done.",
    )


def require_confirmation(
    context: dg.OpExecutionContext,
    config: ConfirmedConfig,
    campaigns: Collection[UUID],
    read_ids: Callable[[Sequence[str]], Collection[UUID]],
) -> None:
    """Looks for the dry run that the config of a real run names.

    Raises:
        HeadraceError: the same job has no such dry run with all these campaigns and the same decisions within `VALID_FOR`.
    """
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
            continue  # from a version with a different config
    if why := confirm_refused(config.confirm, Intent.of(campaigns, config.model_dump()), dry_runs):
        raise HeadraceError(why)
