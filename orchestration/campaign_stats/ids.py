"""Campaigns as people and run configs name them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from orchestration.errors import HeadraceError

MOST_SAID = 10


def read_ids(texts: Sequence[str]) -> list[UUID]:
    """Campaign ids from text, each once, in the order given.

    Raises:
        HeadraceError: some are no UUIDs; it names them.
    """
    found: dict[UUID, None] = {}
    wrong = []
    for text in texts:
        try:
            found[UUID(text.strip())] = None
        except ValueError:
            wrong.append(text)
    if wrong:
        raise HeadraceError(
            f"not the id of a campaign, which is a UUID: {say(map(repr, wrong))}; nothing was done"
        )
    return list(found)


def say(items: Iterable[object]) -> str:
    """The first ones, and how many more there are."""
    texts = [str(item) for item in items]
    more = len(texts) - MOST_SAID
    return ", ".join(texts[:MOST_SAID]) + (f" and {more} more" if more > 0 else "")
