"""Samples of a run in progress: lag, sizes, dead rows, memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import psycopg

# Headrace's tables whose size depends on messages, campaigns or streams, but not on how long it runs.
BOUNDED_TABLES = (
    "message_outcome",
    "campaign_template_stats",
    "campaign_computed_stats",
    "campaign",
    "stream_cursor",
    "activity",
    "worker",
)

_SAMPLE = """
    SELECT
        (SELECT coalesce(max(rows_behind), 0) FROM headrace.stream_lag),
        (SELECT coalesce(max(seconds_behind), 0) FROM headrace.stream_lag),
        (SELECT sum(changes_applied) FROM headrace.stream_cursor),
        (SELECT sum(pg_total_relation_size(p.relid)) FROM pg_partition_tree('headrace.change_log') p),
        (SELECT jsonb_object_agg(t, pg_total_relation_size(('headrace.' || t)::regclass)) FROM unnest(%(tables)s::text[]) t),
        (
            SELECT jsonb_object_agg(s.relname, s.n_dead_tup) FROM pg_stat_user_tables s
            WHERE s.schemaname = 'headrace' AND s.relname = ANY (%(tables)s)
        )
"""


@dataclass(frozen=True)
class Sample:
    """One sample. `at`: seconds from the start; sizes and memory in bytes; `memory`: of the worker that is never killed."""

    at: float
    rows_behind: int
    seconds_behind: float
    changes_applied: int
    change_log: int
    tables: dict[str, int]
    dead_rows: dict[str, int]
    memory: int


def take(connection: psycopg.Connection[Any], at: float, worker: int) -> Sample:
    """Raises psycopg.Error, psutil.Error."""
    row = connection.execute(_SAMPLE, {"tables": list(BOUNDED_TABLES)}).fetchone()
    assert row is not None
    behind, seconds, applied, change_log, tables, dead = row
    memory = psutil.Process(worker).memory_info().rss
    return Sample(at, int(behind), float(seconds), int(applied), int(change_log), tables, dead, memory)


def table(samples: Sequence[Sample], lines: int = 12) -> list[str]:
    """The samples, thinned to about that number of lines, as Markdown."""
    step = max(len(samples) // lines, 1)
    shown = list(samples[::step])
    if samples and shown[-1] is not samples[-1]:
        shown.append(samples[-1])
    head = (
        "| s | behind, changes | behind, s | changes applied | change_log, MB | message_outcome, MB "
        "| other tables, MB | dead rows | worker, MB |"
    )
    return [head, "|" + "---:|" * 9] + [
        f"| {s.at:.0f} | {s.rows_behind:,} | {s.seconds_behind:.2f} | {s.changes_applied:,} "
        f"| {s.change_log / 1e6:.1f} | {s.tables['message_outcome'] / 1e6:.1f} "
        f"| {sum(size for name, size in s.tables.items() if name != 'message_outcome') / 1e6:.1f} "
        f"| {sum(s.dead_rows.values()):,} | {s.memory / 1e6:.0f} |"
        for s in shown
    ]
