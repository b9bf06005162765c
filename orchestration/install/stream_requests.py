"""What migrate asks of the domains' streams: to count what is new, to count everything, to react to a changed setting.

Each stream names its functions for this when it is registered (headrace.register_stream). Not here: when to ask (migrate.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from orchestration.install.change import execute


@dataclass(frozen=True)
class Stream:
    """A registered stream: its domain, its sources, and the names of its functions. None or no entry: it has no such function."""

    name: str
    domain: str | None
    sources: tuple[str, ...]
    rebuild_all: str | None
    rebuild_new: str | None
    on_setting: Mapping[str, str]
    unit: str


def read_streams(connection: sa.Connection) -> list[Stream]:
    rows = connection.exec_driver_sql(
        "SELECT stream, domain, sources, rebuild_all, rebuild_new, on_setting, coalesce(unit, 'things')"
        " FROM headrace.stream ORDER BY stream"
    )
    return [Stream(name, domain, tuple(sources), *functions) for name, domain, sources, *functions in rows]


class Requests:
    """Asks for rebuilds, of everything at most once per stream. queued: how many items were asked for, by the streams' units."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._whole: set[str] = set()
        self.queued: Counter[str] = Counter()

    def register(self, scripts: Mapping[str, str]) -> list[Stream]:
        """Registers streams by name; returns all streams that exist then. Registering a new stream asks for everything of it."""
        queued = {name: int(execute(self._connection, script)[0][0]) for name, script in scripts.items()}
        streams = read_streams(self._connection)
        for stream in streams:
            if queued.get(stream.name):
                self._whole.add(stream.name)
                self.queued[stream.unit] += queued[stream.name]
        return streams

    def everything(self, stream: Stream) -> None:
        if stream.rebuild_all is not None and stream.name not in self._whole:
            self._whole.add(stream.name)
            self._queue(stream, stream.rebuild_all)

    def what_is_new(self, stream: Stream) -> None:
        if stream.rebuild_new is not None:
            self._queue(stream, stream.rebuild_new)

    def altered(self, source: str, readers: Iterable[Stream]) -> None:
        """Asks for what a table's change without a trigger may have affected, unless everything is asked for already."""
        if left := [stream for stream in readers if stream.name not in self._whole]:
            self._queue(left[0], "headrace.note_altered_source", f"'{source}'")

    def _queue(self, stream: Stream, function: str, argument: str = "") -> None:
        self.queued[stream.unit] += int(execute(self._connection, f"SELECT {function}({argument})")[0][0])
