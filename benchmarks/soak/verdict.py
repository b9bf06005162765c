"""The verdict on a run: recounts everything on the idle database, and says in sentences what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from benchmarks.soak.samples import BOUNDED_TABLES, Sample
from tests.campaign_stats.oracle import COUNTERS, Stats, documents, live, recompute, stored

MOST_MEMORY_GROWTH = 1.3
# A table may be larger than after VACUUM FULL by this factor, because autovacuum lags behind. Small tables, and the
# log's empty partitions, may have this many bytes whatever they hold.
MOST_BLOAT = 4.0
SMALL_TABLE = 4_000_000
MOST_BYTES_A_CHANGE = 400


@dataclass(frozen=True)
class Findings:
    """What was found after all changes were applied.

    Attributes:
        rows: number of rows of counters by the independent recompute, one for each campaign and template.
        wrong: the counters that differ, as sentences, for each way of storing or computing them.
        messages, outcomes: queue rows of existing unfrozen campaigns, and stored outcomes.
        changes: rows in the change log; `change_log`: its bytes.
        sizes, compact: bytes of each bounded table after the run, and after VACUUM FULL.
        memory: bytes of the worker that was never killed: after warming up, and at the end.
    """

    rows: int
    wrong: Mapping[str, Sequence[str]]
    messages: int
    outcomes: int
    dead_letters: int
    default_partition: int
    pending: int
    changes: int
    change_log: int
    sizes: Mapping[str, int]
    compact: Mapping[str, int]
    memory: tuple[int, int]


def find(connection: psycopg.Connection[Any], samples: Sequence[Sample]) -> Findings:
    """Recounts everything, and rewrites the bounded tables to see how small they could be. Needs autocommit and an idle database.

    Raises:
        psycopg.Error: the database does not answer, or its state cannot be read.
    """

    def number(statement: str) -> int:
        row = connection.execute(statement.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def size(name: str) -> int:
        return number(f"SELECT pg_total_relation_size('headrace.{name}')")

    expected = recompute(connection)
    wrong = {
        "the stored counters": differences(expected, stored(connection)),
        "the documents": differences(expected, documents(connection)),
        "the live view": differences(expected, live(connection)),
    }
    sizes = {name: size(name) for name in BOUNDED_TABLES}
    for name in BOUNDED_TABLES:
        connection.execute(f"VACUUM (FULL) headrace.{name}".encode())
    return Findings(
        rows=len(expected),
        wrong=wrong,
        messages=number(
            "SELECT count(*) FROM send_queue q WHERE EXISTS (SELECT FROM campaigns c WHERE c.id = q.campaign_id)"
            " AND NOT EXISTS (SELECT FROM headrace.campaign k WHERE k.campaign_id = q.campaign_id AND k.state IN ('frozen', 'amended'))"
        ),
        outcomes=number("SELECT count(*) FROM headrace.message_outcome"),
        dead_letters=number("SELECT count(*) FROM headrace.dead_letter"),
        default_partition=number("SELECT count(*) FROM headrace.change_log_default"),
        pending=number(
            "SELECT count(*) FROM headrace.campaign WHERE rebuild_requested_at IS NOT NULL OR rebuild_error IS NOT NULL"
        ),
        changes=number("SELECT count(*) FROM headrace.change_log"),
        change_log=number(
            "SELECT sum(pg_total_relation_size(p.relid)) FROM pg_partition_tree('headrace.change_log') p"
        ),
        sizes=sizes,
        compact={name: size(name) for name in BOUNDED_TABLES},
        memory=memory(samples),
    )


def memory(samples: Sequence[Sample]) -> tuple[int, int]:
    """Bytes of the worker that was never killed: the maximum in the second tenth of the run, and at the end."""
    end = samples[-1].at
    warm = [sample.memory for sample in samples if end * 0.1 <= sample.at <= end * 0.2] or [samples[0].memory]
    return max(warm), samples[-1].memory


def differences(expected: Stats, found: Stats) -> list[str]:
    """The differences between the two, as sentences."""
    said = []
    for key in sorted(expected.keys() | found.keys(), key=str):
        if expected.get(key) != found.get(key):
            named = [
                "none"
                if stats is None
                else ", ".join(f"{c} {n}" for c, n in zip(COUNTERS, stats, strict=True))
                for stats in (found.get(key), expected.get(key))
            ]
            said.append(f"campaign {key[0]}, template {key[1]}: {named[0]}; recomputed: {named[1]}")
    return said


def judge(found: Findings) -> list[str]:
    """What is wrong, as sentences; empty if nothing is."""
    said = []
    if found.rows == 0:
        said.append("There was nothing to count.")
    for what, wrong in found.wrong.items():
        if wrong:
            said.append(f"{len(wrong)} of {what} differ from the recompute, the first: {wrong[0]}.")
    if found.outcomes != found.messages:
        said.append(f"There are {found.outcomes:,} outcomes for {found.messages:,} messages.")
    if found.dead_letters:
        said.append(f"There are {found.dead_letters:,} dead letters.")
    if found.default_partition:
        said.append(f"The DEFAULT partition of the change log holds {found.default_partition:,} rows.")
    if found.pending:
        said.append(f"{found.pending:,} campaigns still wait to be rebuilt, or cannot be.")
    if found.change_log > SMALL_TABLE + MOST_BYTES_A_CHANGE * found.changes:
        said.append(
            f"The change log has {found.change_log / 1e6:.1f} MB for {found.changes:,} changes: "
            f"more than {MOST_BYTES_A_CHANGE} bytes each."
        )
    for name, size in found.sizes.items():
        if size > max(MOST_BLOAT * found.compact[name], SMALL_TABLE):
            said.append(
                f"Table {name} has {size / 1e6:.1f} MB, written anew {found.compact[name] / 1e6:.1f}: "
                f"more than {MOST_BLOAT:g} times as much."
            )
    warm, end = found.memory
    if end > MOST_MEMORY_GROWTH * warm:
        said.append(
            f"The worker had {warm / 1e6:.0f} MB after its warm-up and {end / 1e6:.0f} MB at the end: "
            f"more than {MOST_MEMORY_GROWTH:g} times as much."
        )
    return said
