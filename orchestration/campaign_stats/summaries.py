"""Summaries of what is stored for campaigns: row counts, counters, and tables of counters, templates and campaigns.

Here: reading, and the tables. Not here: bringing the statistics up to date (recompute.py), the picture (funnel.py),
and Dagster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from orchestration.campaign_stats.counters import (
    ASIDE,
    COUNTERS,
    STEPS,
    Counters,
    bar_text,
    count_text,
    percent_text,
)
from orchestration.campaign_stats.recompute import Window
from orchestration.database.statements import statement
from orchestration.text import LONGEST_NAME, markdown_text, name_text

TEMPLATE_STATS = "campaign_template_stats"
COMPUTED_STATS = "campaign_computed_stats"
ASSETS = (TEMPLATE_STATS, COMPUTED_STATS)

# A table in the UI must stay readable, and every event stores one.
MOST_LINES = 20
_ROWS = {
    TEMPLATE_STATS: "SELECT count(*) FROM headrace.campaign_template_stats",
    COMPUTED_STATS: "SELECT count(*) FROM headrace.campaign_computed_stats",
}
_BAR_LETTERS = 12
_NO_MESSAGES = Counters()


@dataclass(frozen=True)
class Line:
    """A line of the table: a template or a campaign. label: its columns before the counters."""

    label: Mapping[str, object]
    counters: Counters

    @property
    def name(self) -> str | None:
        """The first column: the template, or the campaign."""
        first = next(iter(self.label.values()))
        return None if first is None else str(first)


@dataclass(frozen=True)
class Summary:
    """What is stored for some campaigns.

    Attributes:
        campaigns: how many have rows.
        rows: their rows in the table.
        lines: the first ones: the templates with the most messages, or the newest campaigns.
        all_lines: how many lines there are in all.
    """

    campaigns: int = 0
    rows: int = 0
    counters: Counters = _NO_MESSAGES
    lines: tuple[Line, ...] = ()
    all_lines: int = 0


def table_rows(connection: sa.Connection, table: str) -> int:
    """The row count of the whole table."""
    return int(connection.exec_driver_sql(_ROWS[table]).scalar_one())


def of_days(connection: sa.Connection, table: str, window: Window) -> dict[date, Summary]:
    """What is stored for the window's campaigns, by the UTC day of their creation; days without rows are absent."""
    found = _summaries(connection, table, {"daily": True, **window.parameters})
    return {day: summary for day, summary in found.items() if day is not None}


def of_window(connection: sa.Connection, table: str, window: Window) -> Summary:
    """What is stored for all the window's campaigns together."""
    return _summaries(connection, table, {"daily": False, **window.parameters}).get(None, Summary())


def of_all(connection: sa.Connection, table: str) -> Summary:
    """What is stored for all campaigns."""
    return _summaries(connection, table, {"daily": False, "start": None, "end": None}).get(None, Summary())


def _summaries(
    connection: sa.Connection, table: str, parameters: Mapping[str, object]
) -> dict[date | None, Summary]:
    """Summaries by day; a summary of several days has the key None."""
    lines: dict[date | None, list[Line]] = {}
    found = connection.exec_driver_sql(
        statement("campaign_stats", f"{table}_lines"), {**parameters, "most": MOST_LINES}
    )
    for row in found.mappings():
        label = {name: value for name, value in row.items() if name not in ("day", "place", *COUNTERS)}
        lines.setdefault(row["day"], []).append(Line(label, _counters(row)))
    totals = connection.exec_driver_sql(statement("campaign_stats", f"{table}_totals"), dict(parameters))
    return {
        row["day"]: Summary(
            row["campaigns"], row["row_count"], _counters(row), tuple(lines.get(row["day"], ())), row["lines"]
        )
        for row in totals.mappings()
    }


def _counters(row: sa.RowMapping) -> Counters:
    return Counters(**{counter: row[counter] or 0 for counter in COUNTERS})


def markdown(lines: Sequence[Line], all_lines: int) -> str:
    """The lines as a markdown table with rates in percent, and how many more there are."""
    if not lines:
        return "No campaigns."
    # The import takes half a second, which not every process that loads this module should pay.
    import pandas as pd

    frame = pd.DataFrame(
        [
            {name: _cell(value) for name, value in line.label.items()}
            | {name: getattr(line.counters, name) for name in COUNTERS if name != "failed_queue"}
            for line in lines
        ]
    )
    for rate, part, whole in (
        ("delivered %", "delivered", "sent"),
        ("read %", "read", "delivered"),
        ("replied %", "replied", "delivered"),
    ):
        percent = (100 * frame[part] / frame[whole].where(frame[whole] > 0)).round(1)
        frame[rate] = percent.astype(object).where(percent.notna(), None)
    # A template may be called 1e5, and must be shown as that.
    names = list(range(len(lines[0].label)))
    text = str(
        frame.to_markdown(index=False, missingval="", intfmt=",", floatfmt=".1f", disable_numparse=names)
    )
    more = all_lines - len(lines)
    return text + (f"\n\n… and {more} more." if more > 0 else "")


def funnel_markdown(counters: Counters) -> str:
    """The counters as a markdown table with bars and shares, short enough for Dagster's UI to show it without a click."""
    import pandas as pd

    scale = max(counters.of(counter) for counter in (*STEPS, *ASIDE))
    frame = pd.DataFrame(
        [
            (
                counter,
                count_text(counters.of(counter)),
                percent_text(counters.percent(counter)).replace(" ", "\N{NO-BREAK SPACE}"),
                bar_text(counters.of(counter), scale, _BAR_LETTERS),
            )
            for counter in (*STEPS, *ASIDE)
        ],
        columns=["", "messages", "share", " "],
    )
    return str(
        frame.to_markdown(index=False, disable_numparse=True, colalign=("left", "right", "right", "left"))
    )


def _cell(value: object) -> object:
    """A value as a table cell. Names come from outside, and may contain anything that breaks a table."""
    if value is not None and not isinstance(value, str):
        return value
    return markdown_text(name_text(value), LONGEST_NAME)
