"""Whether an operator has seen what he is about to do: a run in earnest names the dry run that said it.

Here: the decision. Not here: the runs it is about (jobs.py reads them from Dagster). A run's id can be known by looking only,
so no request that is sent blindly, in an operator's name or by mistake, changes anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

# What the UI shows of a run's id.
SHORT = 8
VALID_FOR = timedelta(days=1)


@dataclass(frozen=True)
class Intent:
    """What a run was or is to do. decided: what it is told beside the campaigns, accept_fewer_rows for one."""

    campaigns: frozenset[UUID]
    decided: Mapping[str, object]

    @staticmethod
    def of(campaigns: Iterable[UUID], config: Mapping[str, object]) -> Intent:
        """config: the run's, of which campaigns, dry_run and confirm are none of what is decided."""
        return Intent(
            frozenset(campaigns),
            {
                name: value
                for name, value in config.items()
                if name not in ("campaigns", "dry_run", "confirm")
            },
        )

    def covers(self, other: Intent) -> bool:
        """Whether who saw this one saw all of the other."""
        return other.campaigns <= self.campaigns and other.decided == self.decided


def confirm_refused(confirm: str, intent: Intent, dry_runs: Sequence[tuple[str, Intent]]) -> str | None:
    """Why the word given does not confirm it; None if it does.

    Args:
        confirm: the id of a dry run, or its first letters.
        dry_runs: those of the same job that succeeded within `VALID_FOR`: id and intent.
    """
    word = confirm.strip().lower()
    how = (
        f"launch it with dry_run: true, look at the result, and then give the first {SHORT} letters of that run's id as confirm, "
        "beside dry_run: false; nothing was done"
    )
    if not word:
        return f"what changes campaigns is to be seen before: {how}"
    named = [seen for run_id, seen in dry_runs if len(word) >= SHORT and run_id.startswith(word)]
    if not named:
        return f"confirm is not the id of a dry run of this job within the last {VALID_FOR.days * 24} hours: {how}"
    if not any(seen.covers(intent) for seen in named):
        return f"the dry run that confirm names was about other campaigns, or another decision: {how}"
    return None
