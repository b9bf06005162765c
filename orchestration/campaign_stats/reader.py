"""A cache of campaign statistics in a Python service's memory, in front of headrace.campaign_stats().

Here: what is kept, for how long, and who loads it. Not here: connections (the service has them), and what the numbers mean.
"""

from __future__ import annotations

import json
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from cachetools import TLRUCache
from psycopg.rows import tuple_row

Connections = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]
Document = dict[str, Any]
Id = TypeVar("Id", UUID, str)

# Answers are matched to ids by order, because the service's connections decide what type an id is read as.
_LOAD = (
    "SELECT headrace.campaign_stats(id)::text"
    " FROM pg_catalog.unnest(%s::uuid[]) WITH ORDINALITY AS wanted (id, place) ORDER BY place"
)


@dataclass(frozen=True)
class _Kept:
    """A document as it was loaded. It is kept as text, so each caller gets its own object. text None: no such campaign."""

    text: str | None
    version: int | None
    frozen: bool
    loaded_at: float

    def document(self, now: float) -> Document | None:
        if self.text is None:
            return None
        document: Document = json.loads(self.text)
        if document["age_seconds"] is not None:
            document["age_seconds"] = round(document["age_seconds"] + now - self.loaded_at, 3)
        return document


class CampaignStatsReader:
    """Statistics of campaigns by id, from memory or from the database. Threads may share it.

    A frozen or amended document is kept for a day, or until `invalidate` reports a newer one. Everything else is kept for one refresh
    interval: other documents, those with `paused`, and the answer that there is no such campaign. If several threads want a campaign
    that is not kept, one asks the database and the others wait for its answer. An error reaches all of them, and is not kept.
    A forked process starts with an empty cache: the threads it would wait for do not exist there.
    """

    def __init__(
        self,
        connections: Connections,
        *,
        most_campaigns: int = 10_000,
        frozen_seconds: float = 86_400,
        refresh_seconds: float = 5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            connections: called for each query, gives a connection to use in a `with`: `pool.connection` of a psycopg_pool,
                or `lambda: psycopg.connect(…)`. Its role needs headrace_app or headrace_reader.
            most_campaigns: how many are kept, some KB each; the least recently read goes first.

        Raises:
            ValueError: most_campaigns is less than one.
        """
        if most_campaigns < 1:
            raise ValueError(f"most_campaigns is {most_campaigns}, but a cache keeps at least one")
        self._connections = connections
        self._clock = clock

        def until(_: UUID, kept: _Kept, now: float) -> float:
            return now + (frozen_seconds if kept.frozen else refresh_seconds)

        def begin() -> None:
            self._lock = threading.Lock()
            self._loads: dict[UUID, Future[_Kept]] = {}  # queries in flight
            self._cache: TLRUCache[UUID, _Kept] = TLRUCache(most_campaigns, until, clock)

        self._begin = begin
        begin()
        _readers.add(self)

    def get(self, campaign_id: UUID | str) -> Document | None:
        """The document of `headrace.campaign_stats()`, with its current age; None if there is no such campaign.

        Raises:
            ValueError: the text is not a UUID.
            psycopg.Error: it had to be read from the database, and that failed.
        """
        identity = _uuid(campaign_id)
        return self.get_many([identity])[identity]

    def get_many(self, campaign_ids: Iterable[Id]) -> dict[Id, Document | None]:
        """The same for many campaigns, keyed by the ids as given, with one query for all that are not kept.

        Raises:
            ValueError, psycopg.Error: as `get`.
        """
        kept: dict[UUID, _Kept] = {}
        others: dict[UUID, Future[_Kept]] = {}
        mine: dict[UUID, Future[_Kept]] = {}
        wanted = {given: _uuid(given) for given in campaign_ids}
        with self._lock:
            for campaign_id in dict.fromkeys(wanted.values()):
                if (found := self._cache.get(campaign_id)) is not None:
                    kept[campaign_id] = found
                elif (load := self._loads.get(campaign_id)) is not None:
                    others[campaign_id] = load
                else:
                    mine[campaign_id] = self._loads[campaign_id] = Future()
        if mine:
            kept |= self._load(mine)
        # Only now that our own loads are answered: two threads must never wait for each other.
        kept |= {campaign_id: load.result() for campaign_id, load in others.items()}
        now = self._clock()
        return {given: kept[campaign_id].document(now) for given, campaign_id in wanted.items()}

    def invalidate(self, campaign_id: UUID | str, version: int | None = None) -> None:
        """Forgets what is kept of a campaign if it is older than this version, or has no version.

        Args:
            version: the newest that the caller knows of; None forgets any.

        Raises:
            ValueError: the text is not a UUID.
        """
        campaign_id = _uuid(campaign_id)
        newest = float("inf") if version is None else version
        with self._lock:
            kept = self._cache.get(campaign_id)
            if kept is not None and (kept.version is None or kept.version < newest):
                del self._cache[campaign_id]
            # A query in flight may have seen the older version: its answer is not kept, and the next caller asks again.
            self._loads.pop(campaign_id, None)

    def _load(self, loads: dict[UUID, Future[_Kept]]) -> dict[UUID, _Kept]:
        began = self._clock()
        try:
            with self._connections() as connection:
                found = connection.cursor(row_factory=tuple_row).execute(_LOAD, [list(loads)]).fetchall()
            answers = {
                campaign_id: _kept(text, began) for campaign_id, (text,) in zip(loads, found, strict=True)
            }
            self._end(loads, answers)
        except BaseException as error:
            self._end(loads)
            passed_on = (
                error if isinstance(error, Exception) else RuntimeError(f"the read was ended: {error!r}")
            )
            for load in loads.values():
                load.set_exception(passed_on)
            raise
        for campaign_id, load in loads.items():
            load.set_result(answers[campaign_id])
        return answers

    def _end(self, loads: dict[UUID, Future[_Kept]], answers: Mapping[UUID, _Kept] | None = None) -> None:
        with self._lock:
            for campaign_id, load in loads.items():
                if self._loads.get(campaign_id) is load:
                    del self._loads[campaign_id]
                    if answers is not None:
                        self._cache[campaign_id] = answers[campaign_id]


_readers: weakref.WeakSet[CampaignStatsReader] = weakref.WeakSet()


def _begin_anew() -> None:
    for reader in _readers:
        reader._begin()


os.register_at_fork(after_in_child=_begin_anew)


def _uuid(campaign_id: UUID | str) -> UUID:
    if isinstance(campaign_id, UUID):
        return campaign_id
    try:
        return UUID(campaign_id)
    except (ValueError, AttributeError, TypeError):
        raise ValueError(f"not the id of a campaign, which is a UUID: {campaign_id!r}") from None


def _kept(text: str | None, loaded_at: float) -> _Kept:
    if text is None:
        return _Kept(None, None, False, loaded_at)
    document = json.loads(text)
    frozen = document["source"] == "frozen" and "paused" not in document
    return _Kept(text, document["version"], frozen, loaded_at)
