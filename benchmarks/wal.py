"""WAL bytes for a captured change, a folded status, and an idle poll."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from benchmarks.capture import write
from benchmarks.databases import Database, Databases
from benchmarks.folds import message_ids, statuses
from benchmarks.report import Section
from benchmarks.triggers import JSONB, NONE, OURS, counted_anew, install, only

ROWS = 10_000


def _bytes(database: Database, action: Callable[[], object]) -> int:
    """WAL bytes that the action wrote while nobody else wrote."""
    position = database.value("SELECT pg_current_wal_insert_lsn()")
    action()
    return int(database.value("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", [position]))


def _second(database: Database, action: Callable[[], object]) -> int:
    """The bytes of a second execution: the first writes full pages, as after each checkpoint."""
    action()
    return _bytes(database, action)


def run(databases: Databases) -> list[Section]:
    with databases.database(1) as database:
        install(database)
        # Nobody else may write: no vacuum, and no checkpoint in between.
        database.connection.execute("CHECKPOINT")
        for table in ("send_queue", "message_status_logs", "headrace.message_outcome"):
            database.connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())
        count = min(ROWS, int(ROWS * databases.scale) or ROWS)
        ids = database.column("SELECT id FROM send_queue ORDER BY id LIMIT %s", [count])
        written = {}
        for alternative in (NONE, OURS, JSONB):
            only(database, alternative)
            for kind in ("watched", "webhook"):
                again = partial(write, database, kind, "statement", ids)
                written[alternative, kind] = _second(database, again) / len(ids)
        counted_anew(database)
        chance = random.Random(3)
        messages = message_ids(database)
        folded = []
        for _ in range(2):
            statuses(database, messages, len(ids), chance)
            folded.append(_bytes(database, database.drain) / len(ids))
        database.assert_right()
        polled = min(
            _bytes(database, lambda: database.connection.execute("SELECT * FROM headrace.stream_poll()"))
            for _ in range(5)
        )

    def row(what: str, kind: str) -> tuple[str, ...]:
        ours, theirs = (written[name, kind] - written[NONE, kind] for name in (OURS, JSONB))
        without = written[NONE, kind]
        return (
            f"{what} ({without:.0f} bytes without)",
            f"+{ours:.0f} bytes",
            f"+{theirs:.0f} bytes, {JSONB}",
            f"{ours / theirs:.2f}",
            "",
        )

    return [
        Section(
            "WAL",
            [
                row("captured update of a queue row", "watched"),
                row("captured insert of a status", "webhook"),
                ("folded status, of 10,000 together", f"{folded[-1]:.0f} bytes", "", "", ""),
                ("idle poll", f"{polled} bytes", "", "", "0"),
            ],
            text="Bytes a row, between checkpoints (after one, the first change of a page writes the whole page).",
        )
    ]
