"""A set of counters, and how counts and rates are written in tables, in pictures and on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestration.text import name_text

if TYPE_CHECKING:
    from rich.console import Console

# The counters of a campaign's messages, in the order of the funnel.
COUNTERS = ("total", "sent", "delivered", "read", "replied", "failed", "failed_queue")
# Each is at most the one before. The other two stand apart: failed messages have left the funnel, and a message can get
# a reply without ever being reported as read.
STEPS = ("total", "sent", "delivered", "read")
ASIDE = ("replied", "failed")
# Each counter's rate is its share of this one.
SHARE_OF: Mapping[str, str] = {
    "sent": "total",
    "delivered": "sent",
    "read": "delivered",
    "replied": "delivered",
    "failed": "total",
}
_LONGEST_NUMBER = 10**9
_LONGEST_BAR, _SHORTEST_BAR = 60, 8
_SHORTEST_NAME = 24
_GAP = 2
_RATES = ("delivered", "read", "replied")
_COLORS = {**dict.fromkeys(STEPS, "cyan"), "replied": "green", "failed": "red"}

Parts = list[tuple[str | None, "Counters"]]


@dataclass(frozen=True)
class Counters:
    """Numbers of messages; dbt_like_sql/campaign_stats/models.yml describes each."""

    total: int = 0
    sent: int = 0
    delivered: int = 0
    read: int = 0
    replied: int = 0
    failed: int = 0
    failed_queue: int = 0

    def of(self, counter: str) -> int:
        """The counter of that name."""
        return int(getattr(self, counter))

    def percent(self, counter: str) -> float | None:
        """A counter's share of its whole (SHARE_OF), in percent; None if the whole is 0, and for the total."""
        whole = self.of(SHARE_OF[counter]) if counter in SHARE_OF else 0
        return 100 * self.of(counter) / whole if whole else None


def count_text(value: int) -> str:
    """1,234; from a billion on 1.234e+09, because columns have a fixed width."""
    return f"{value:,}" if abs(value) < _LONGEST_NUMBER else f"{value:.3e}"


def percent_text(value: float | None) -> str:
    """97.2 %; empty for None."""
    return "" if value is None else f"{value:.1f} %"


def bar_text(value: int, scale: int, letters: int, *, blocks: bool = True) -> str:
    """A bar of text, `letters` characters long at `scale`. Any value above 0 shows something.

    Args:
        blocks: draw eighths of a character; otherwise only #, for encodings that lack the block characters.
    """
    if value <= 0:
        return ""
    if not blocks:
        return "#" * max(1, round(letters * value / scale))
    whole, eighths = divmod(max(1, round(8 * letters * value / scale)), 8)
    return "█" * whole + " ▏▎▍▌▋▊▉"[eighths].strip()


def show_bars(counters: Counters, screen: Console) -> None:
    """Prints one line per counter, with its share, and with a bar if the screen is wide enough."""
    from rich.table import Table
    from rich.text import Text

    names = (*STEPS, *ASIDE)
    counts = [count_text(counters.of(counter)) for counter in names]
    shares = [_share(counters, counter) for counter in names]
    lines = list(zip(names, counts, shares, strict=True))
    if screen.width < _width(lines) + _SHORTEST_BAR:
        lines = [(*line[:2], line[2].partition(" of ")[0]) for line in lines]
    letters = min(screen.width - _width(lines), _LONGEST_BAR)
    scale = max(counters.of(counter) for counter in names)
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    if letters >= 0:
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True)
    for line in lines:
        bar = Text(style=_COLORS[line[0]])
        if letters >= _SHORTEST_BAR:
            value = counters.of(line[0])
            bar.append(bar_text(value, scale, letters, blocks=screen.encoding.startswith("utf")))
        grid.add_row(*(*line, bar)[: len(grid.columns)])
    screen.print(grid)


def _share(counters: Counters, counter: str) -> str:
    percent = counters.percent(counter)
    return "" if percent is None else f"{percent_text(percent)} of {SHARE_OF[counter]}"


def show_parts(parts: Parts, screen: Console) -> None:
    """Prints a table of the templates, with rates if they fit; on a narrow screen, one paragraph per template."""
    from rich.table import Table

    counts = (*STEPS, *ASIDE)
    heads = ("template", *counts, *(f"{rate} %" for rate in _RATES))
    lines = [
        (
            name_text(part),
            *(count_text(counters.of(counter)) for counter in counts),
            *("" if counters.percent(rate) is None else f"{counters.percent(rate):.1f}" for rate in _RATES),
        )
        for part, counters in parts
    ]
    for columns in (len(heads), 1 + len(counts)):
        shown = [line[:columns] for line in (heads, *lines)]
        if _width(shown, _SHORTEST_NAME) <= screen.width:
            table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
            table.add_column(shown[0][0], overflow="fold")
            for head in shown[0][1:]:
                table.add_column(head, justify="right", no_wrap=True)
            for line in shown[1:]:
                table.add_row(*line)
            screen.print(table)
            return
    for line in lines:
        screen.print(line[0])
        screen.print(", ".join(f"{head} {count}" for head, count in zip(counts, line[1:], strict=False)))


def _width(lines: Sequence[Sequence[str]], longest_first: int | None = None) -> int:
    """Width in characters of a table of these lines, with its gaps. longest_first: what the first column may be cut to."""
    from rich.text import Text

    widths = [max(Text(line[column]).cell_len for line in lines) for column in range(len(lines[0]))]
    if longest_first is not None:
        widths[0] = min(widths[0], longest_first)
    return sum(widths) + _GAP * len(widths)
