"""Whether operators have seen what they are about to do: a real run must name the dry run that showed it.

Here: the decision. Not here: the runs it is about (jobs.py reads them from Dagster). Only a person who has looked at the dry
run knows its id. So a request that is sent blindly, in an operator's name or by mistake, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

# How many characters of a run's id the UI shows.
SHORT = 8
VALID_FOR = timedelta(days=1)


@dataclass(frozen=True)
class Intent:
    """What a run did or would do. decided: its other settings besides the campaigns, such as accept_fewer_rows."""

    campaigns: frozenset[UUID]
    decided: Mapping[str, object]

    @staticmethod
    def of(campaigns: Iterable[UUID], config: Mapping[str, object]) -> Intent:
        """config: the run's. Its fields campaigns, dry_run and confirm are not part of what is decided."""
        return Intent(
            frozenset(campaigns),
            {
                name: value
                for name, value in config.items()
                if name not in ("campaigns", "dry_run", "confirm")
            },
        )

    def covers(self, other: Intent) -> bool:
        """Whether a person who saw this one has seen everything that the other would do."""
        return other.campaigns <= self.campaigns and other.decided == self.decided


def confirm_refused(confirm: str, intent: Intent, dry_runs: Sequence[tuple[str, Intent]]) -> str | None:
    """Why `confirm` does not confirm the intent; None if it does.

    Args:
        confirm: the id of a dry run, or its first characters.
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
