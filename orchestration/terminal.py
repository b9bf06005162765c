"""How commands print messages and tables."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestration.text import clean, clean_lines

if TYPE_CHECKING:
    from rich.console import Console


_GAP = 2
_SHORTEST_CUT = 12


def say(text: str, *, err: bool = False) -> None:
    """Prints a message; text that it quotes from outside is made harmless."""
    import click

    click.echo(clean_lines(text), err=err)


# --- tables ---------------------------------------------------------------------------------------------------------


def console() -> Console:
    """Standard output, as wide as the terminal; what it cannot write becomes a question mark."""
    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return Console(markup=False, emoji=False, highlight=False)


def show_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    cut: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> None:
    """Prints the rows; None is an empty cell.

    Into a pipe or a file: one line of column names and one line for each row, uncut and tab-separated. On a terminal a row
    takes one line, or a paragraph if nothing else fits.

    Args:
        cut: columns that may be cut if the screen is too narrow.
        drop: columns that may then be left out, the first one first. A line below the table names them.
    """
    from rich.table import Table
    from rich.text import Text

    cells = [["" if value is None else clean(str(value)) for value in row] for row in rows]
    screen = console()
    if not screen.is_terminal:
        for line in ([clean(column) for column in columns], *cells):
            screen.file.write("\t".join(line) + "\n")
        return
    widths = [
        max(Text(line[n]).cell_len for line in ([str(column) for column in columns], *cells))
        for n in range(len(columns))
    ]
    numbers = {name: n for n, name in enumerate(columns)}
    fitting = fit(widths, [numbers[name] for name in cut], [numbers[name] for name in drop], screen.width)
    if fitting is None:
        _show_paragraphs(screen, title, columns, cells)
        return
    table = Table(title=title, title_justify="left", box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
    for n, width in fitting.items():
        table.add_column(columns[n], overflow="ellipsis", no_wrap=True, width=width)
    for row in cells:
        table.add_row(*(row[n] for n in fitting))
    screen.print(table)
    if missing := [column for n, column in enumerate(columns) if n not in fitting]:
        screen.print(Text(f"For want of room without {', '.join(missing)}: a pipe gets them", style="dim"))


def fit(widths: Sequence[int], cut: Sequence[int], drop: Sequence[int], room: int) -> dict[int, int] | None:
    """The width of each column shown, by index; None if they do not fit even with everything cut and dropped."""
    shown = {n: min(width, max(room, _SHORTEST_CUT)) if n in cut else width for n, width in enumerate(widths)}
    waiting = list(drop)
    while True:
        over = sum(shown.values()) + _GAP * (len(shown) - 1) - room
        cuttable = [n for n in cut if n in shown]
        if over <= sum(max(0, shown[n] - _SHORTEST_CUT) for n in cuttable):
            for _ in range(over):
                shown[max(cuttable, key=lambda n: shown[n])] -= 1
            return shown
        if not waiting:
            return None
        shown.pop(waiting.pop(0))


def _show_paragraphs(
    screen: Console, title: str, columns: Sequence[str], cells: Sequence[Sequence[str]]
) -> None:
    """Prints a paragraph for each row, with its first cell uncut."""
    from rich.padding import Padding
    from rich.text import Text

    screen.print(Text(title, style="table.title"))
    for first, *others in cells:
        screen.print(Text(first, style="table.header"), soft_wrap=True)
        told = [f"{column} {value}" for column, value in zip(columns[1:], others, strict=True) if value]
        screen.print(Padding(Text(", ".join(told)), (0, 0, 0, 2), expand=False))
