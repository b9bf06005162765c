"""What commands share: the database they act on, a statement to it, and how a table is shown."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orchestration.errors import HeadraceError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestration.settings import Settings


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
    from orchestration.engine.stream import explain

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


def console() -> Console:
    """Standard output, as wide as the terminal; what it cannot write becomes a question mark."""
    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return Console(markup=False, emoji=False, highlight=False)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints the rows; None is an empty cell. Where the screen is too narrow for a table's words, a paragraph for each row."""
    from rich.measure import Measurement
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    cells = [["" if value is None else str(value) for value in row] for row in rows]
    table = Table(title=title, title_justify="left")
    for column in columns:
        # Ids are there to be copied.
        table.add_column(column, overflow="fold", no_wrap=column == "campaign")
    for row in cells:
        table.add_row(*row)
    screen = console()
    unbounded = screen.options.update(width=10_000)
    if Measurement.get(screen, unbounded, table).minimum <= screen.width:
        screen.print(table)
        return
    screen.print(Text(title, style="table.title"))
    for first, *others in cells:
        screen.print(Text(first, style="table.header"), soft_wrap=True)
        told = [f"{column} {value}" for column, value in zip(columns[1:], others, strict=True) if value]
        screen.print(Padding(Text(", ".join(told)), (0, 0, 0, 2), expand=False))
