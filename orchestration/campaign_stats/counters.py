"""A set of counters, and how counts and rates are said in tables, pictures and terminals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestration.text import name_text

if TYPE_CHECKING:
    from rich.console import Console

# What a campaign's messages are counted by, in the order of the funnel.
COUNTERS = ("total", "sent", "delivered", "read", "replied", "failed", "failed_queue")
# Each is at most the one before. The other two stand apart: what failed left the funnel, and replies come to what was
# never seen as read.
STEPS = ("total", "sent", "delivered", "read")
ASIDE = ("replied", "failed")
# What the rate of a counter is a share of.
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
    """Messages, as design 3.1 defines them."""

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
        """A counter's share of the one it is a part of, in percent; None where that one is 0, and for the total."""
        whole = self.of(SHARE_OF[counter]) if counter in SHARE_OF else 0
        return 100 * self.of(counter) / whole if whole else None


def count_text(value: int) -> str:
    """1,234; from a billion on 1.234e+09, for a column has its width."""
    return f"{value:,}" if abs(value) < _LONGEST_NUMBER else f"{value:.3e}"


def percent_text(value: float | None) -> str:
    """97.2 %; nothing for None."""
    return "" if value is None else f"{value:.1f} %"


def bar_text(value: int, scale: int, letters: int, *, blocks: bool = True) -> str:
    """A bar of text, `letters` long at `scale`; something for all that is not 0.

    Args:
        blocks: with eighths of a letter; or else with # only, for where those letters are not known.
    """
    if value <= 0:
        return ""
    if not blocks:
        return "#" * max(1, round(letters * value / scale))
    whole, eighths = divmod(max(1, round(8 * letters * value / scale)), 8)
    return "█" * whole + " ▏▎▍▌▋▊▉"[eighths].strip()


def show_bars(counters: Counters, screen: Console) -> None:
    """A line a counter, with its share and a bar as far as the screen is wide enough."""
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
    """A table of the templates, with rates where the screen has room for them; a paragraph each where it is narrow."""
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
    """Letters that a table of these lines takes, with its gaps; the first column may be cut to so many."""
    from rich.text import Text

    widths = [max(Text(line[column]).cell_len for line in lines) for column in range(len(lines[0]))]
    if longest_first is not None:
        widths[0] = min(widths[0], longest_first)
    return sum(widths) + _GAP * len(widths)
