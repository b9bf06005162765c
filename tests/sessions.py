"""Sessions for tests that need several at once: as another role, waiting for a lock, in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, cast

import psycopg

Result = TypeVar("Result")


def as_role(url: str, role: str) -> str:
    """URL of the same database; every session acts as this role from its start."""
    return f"{url}{'&' if '?' in url else '?'}options=-c%20role%3D{role}"


@contextmanager
def open_transaction(url: str, statement: str) -> Iterator[psycopg.Connection[Any]]:
    """A session in a transaction that has run this statement; rolled back at the end unless it has ended before."""
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())
        yield connection
        connection.rollback()


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for never came"
        time.sleep(0.005)


class InThread(threading.Thread, Generic[Result]):
    """Runs a function beside the test. `outcome` waits for it, then returns its result or raises its error."""

    def __init__(self, function: Callable[[], Result]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self._result: Result | None = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:
            self._error = error

    def outcome(self, seconds: float = 60.0) -> Result:
        self.join(seconds)
        assert not self.is_alive(), "still running"
        if self._error is not None:
            raise self._error
        return cast(Result, self._result)
