"""Which databases the commands act on: those that the environment names, otherwise the embedded server's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from orchestration.local.server import ensure_server
from orchestration.settings import Settings, read_settings, with_driver


def absolute_home(settings: Settings) -> Path:
    """HEADRACE_HOME as an absolute path, the same for every process wherever it was started."""
    return settings.home.resolve()


def database_url(settings: Settings) -> str:
    """URL of the application's database, `postgresql://…`; starts the embedded server if the database is there.

    Raises:
        HeadraceError: the embedded server does not start.
    """
    if settings.database_url is not None:
        return with_driver(settings.database_url.get_secret_value(), None)
    return ensure_server(absolute_home(settings)).url("app")


def dagster_storage_url(settings: Settings) -> str:
    """URL of Dagster's own storage, with the driver that works; starts the embedded server if the storage is there.

    Raises:
        HeadraceError: the embedded server does not start.
    """
    if settings.dagster_pg_url is not None:
        return with_driver(settings.dagster_pg_url.get_secret_value(), "psycopg2")
    return with_driver(ensure_server(absolute_home(settings)).url("dagster"), "psycopg2")


def target() -> tuple[str, Settings]:
    """URL of the database that the environment names, and the settings in force.

    Raises:
        HeadraceError: the environment is wrong, or the embedded server does not start.
    """
    settings = read_settings()
    return database_url(settings), settings


def query(statement: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
    """The rows of one statement, run in its own transaction.

    Raises:
        HeadraceError: as `target`; the database is out of reach, or refuses the statement.
    """

    from orchestration.database.connections import connect
    from orchestration.database.sentences import as_sentence

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
            raise as_sentence(error) from error
        finally:
            await connection.close()

    return asyncio.run(run())
