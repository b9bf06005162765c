"""What the domains' streams are asked for while migrating: to count what is new, to count everything, to look at a setting anew.

Each stream names the functions for it when it is registered (headrace.register_stream). Not here: when that is due (migrate.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from orchestration.install.change import execute


@dataclass(frozen=True)
class Stream:
    """A registered stream: whose it is, what it reads, and its functions, by name; None or no entry: it has none."""

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
    """Asks for rebuilds, of everything at most once a stream. queued: how much was asked for, by the streams' own units."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._whole: set[str] = set()
        self.queued: Counter[str] = Counter()

    def register(self, scripts: Mapping[str, str]) -> list[Stream]:
        """Registers streams, by their names; all that there are then. One that is new is asked for everything by that."""
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
        """What a table's change without a trigger may have changed, unless that is asked for already."""
        if left := [stream for stream in readers if stream.name not in self._whole]:
            self._queue(left[0], "headrace.note_altered_source", f"'{source}'")

    def _queue(self, stream: Stream, function: str, argument: str = "") -> None:
        self.queued[stream.unit] += int(execute(self._connection, f"SELECT {function}({argument})")[0][0])
