"""What commands share: the database they act on, a statement to it, and how text from outside and tables are shown."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from unicodedata import category

from orchestration.errors import HeadraceError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestration.settings import Settings

_GAP = 2
_SHORTEST_CUT = 12
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


# --- text from outside ----------------------------------------------------------------------------------------------


class _Harmless(dict[int, str]):
    """For str.translate: what a terminal obeys or reorders a line by is shown as a replacement character, breaks as blanks."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        if letter.isspace():
            shown = " "
        elif category(letter) in ("Cc", "Cf", "Cs") and letter not in _JOINERS:
            shown = "\N{REPLACEMENT CHARACTER}"
        else:
            shown = letter
        self[code] = shown
        return shown


_HARMLESS = _Harmless()


def clean(text: str) -> str:
    """Text from outside on one line, without what controls a terminal or turns the direction of a line."""
    return " ".join(text.translate(_HARMLESS).split())


def clean_lines(text: str) -> str:
    """The same for text of several lines, which stay; so do blanks."""
    return "\n".join(line.translate(_HARMLESS) for line in text.split("\n"))


def name_text(value: str | None) -> str:
    """A name from outside, cleaned; (none) where there is none."""
    return "(none)" if value is None else clean(value)


def say(text: str, *, err: bool = False) -> None:
    """Prints a message, whatever from outside it quotes."""
    import click

    click.echo(clean_lines(text), err=err)


# --- the database ---------------------------------------------------------------------------------------------------


def target() -> tuple[str, Settings]:
    """URL of the database that the environment names, and the settings in force.

    Raises:
        HeadraceError: the environment is wrong, or the embedded server does not start.
    """
    from orchestration.demo.target import database_url
    from orchestration.settings import read_settings

    settings = read_settings()
    return database_url(settings), settings


def query(statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """The rows of one statement, in a transaction of its own.

    Raises:
        HeadraceError: as `target`; the database is out of reach, or refuses the statement.
    """
    import psycopg

    from orchestration.database import connect
    from orchestration.engine.failures import explain

    async def run() -> list[tuple[Any, ...]]:
        connection = await connect(target()[0], "headrace cli")
        try:
            for attempt in range(10):
                try:
                    cursor = await connection.execute(statement.encode(), parameters)
                    return await cursor.fetchall() if cursor.description else []
                except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
                    if attempt == 9:
                        raise
                    await asyncio.sleep(0.1)
            raise AssertionError("the last attempt returns or raises")
        except psycopg.Error as error:
            raise HeadraceError(explain(error)) from error
        finally:
            await connection.close()

    return asyncio.run(run())


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

    Into a pipe or a file: a line of the columns' names and one for each row, whole, with tabs between. On a terminal a row
    takes one line; where nothing else helps, a paragraph.

    Args:
        cut: columns that may be cut where the screen is too narrow.
        drop: columns that may be left out then, the first one first. It is said which.
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
    """The columns that are shown, and how wide each is; None where they do not fit, whatever is cut and dropped."""
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
    """A paragraph for each row, its first cell whole."""
    from rich.padding import Padding
    from rich.text import Text

    screen.print(Text(title, style="table.title"))
    for first, *others in cells:
        screen.print(Text(first, style="table.header"), soft_wrap=True)
        told = [f"{column} {value}" for column, value in zip(columns[1:], others, strict=True) if value]
        screen.print(Padding(Text(", ".join(told)), (0, 0, 0, 2), expand=False))
