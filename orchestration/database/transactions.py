"""Transactions on the application's database for runs, checks and the sensor; errors become sentences.

Here: opening a connection and retrying a statement. Not here: what the statements are about.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa

from orchestration.database.sentences import (
    as_sentence,
    is_passing,
    retry_delay,
    said,
)
from orchestration.errors import HeadraceError

MOST_ATTEMPTS = 10


@contextmanager
def snapshot(engine: sa.Engine, *, timeout_seconds: float = 0) -> Iterator[sa.Connection]:
    """One read-only REPEATABLE READ transaction: everything in it is seen as of the same moment.

    Args:
        timeout_seconds: for each statement; 0: no limit.

    Raises:
        HeadraceError: the database is out of reach, Headrace is not installed, a right is missing, or a statement
            timed out.
    """
    try:
        with engine.connect() as plain:
            connection = plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(timeout_seconds * 1000)}")
                # Work between two statements takes longer here than in a worker, and nobody waits for a lock of this transaction.
                connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '10min'")
                # Compiling a plan for a hundred thousand rows takes longer than reading them.
                connection.exec_driver_sql("SET LOCAL jit = off")
                yield connection
    except sa.exc.DBAPIError as error:
        if timeout_seconds and isinstance(error.orig, psycopg.errors.QueryCanceled):
            raise HeadraceError(
                f"{said(error, detail=True)} ({timeout_seconds:g} s); the database is busy, or the tables have outgrown it"
            ) from error
        raise as_sentence(error) from error


def execute(
    engine: sa.Engine,
    statements: Sequence[str],
    parameters: Mapping[str, object],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Any:
    """Runs statements that may be repeated, in one transaction; returns the first value of the last one.

    Serialisation failures, deadlocks and lost connections are tried again, `MOST_ATTEMPTS` times in all.

    Raises:
        HeadraceError: it failed for another reason, or at every attempt.
    """
    failures = 0
    while True:
        try:
            with engine.begin() as connection:
                for statement in statements[:-1]:
                    connection.exec_driver_sql(statement, dict(parameters))
                return connection.exec_driver_sql(statements[-1], dict(parameters)).scalar()
        except sa.exc.DBAPIError as error:
            failures += 1
            if failures >= MOST_ATTEMPTS or not (
                isinstance(error.orig, psycopg.Error) and is_passing(error.orig)
            ):
                raise as_sentence(error) from error
        sleep(retry_delay(failures))
