"""Application sessions that write continuously: the time of every statement, and the locks they wait for."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

Write = tuple[str, Sequence[object]]


@dataclass(frozen=True)
class Statement:
    """One statement of the application: its kind, when it began (monotonic clock) and how many seconds it took."""

    what: str
    began: float
    seconds: float


@dataclass(frozen=True)
class Wait:
    """A statement of the application that waited for a lock: for how many seconds, and the name of the session that held it."""

    seconds: float
    what: str
    behind: str


@dataclass(frozen=True)
class Known:
    """Rows of the application that the traffic refers to."""

    campaigns: Sequence[UUID]
    messages: Sequence[tuple[UUID, str | None, str, str]]  # id, message id, phone, number


def _sends(known: Known, chance: random.Random) -> Write:
    """A queued message is sent or fails."""
    row = chance.choice(known.messages)[0]
    return (
        "UPDATE send_queue SET status = %s, sent_at = clock_timestamp() WHERE id = %s",
        [chance.choice(["sent", "sent", "failed"]), row],
    )


def _webhooks(known: Known, chance: random.Random) -> Write:
    return (
        "INSERT INTO message_status_logs (whatsapp_message_id, status) VALUES (%s, %s)",
        [chance.choice(known.messages)[1], chance.choice(["sent", "delivered", "read", "failed"])],
    )


def _composes(known: Known, chance: random.Random) -> Write:
    """A campaign gets more messages; sometimes a new one begins."""
    if chance.random() < 0.05:
        return "INSERT INTO campaigns (name, status) VALUES (%s, 'running')", [f"new {chance.random()}"]
    _, _, phone, number = chance.choice(known.messages)
    return (
        "INSERT INTO send_queue (campaign_id, user_phone, whatsapp_number_id, template_name, whatsapp_message_id, status, sent_at)"
        " SELECT %s, %s, %s, 'again', 'again ' || gen_random_uuid(), 'sent', clock_timestamp() FROM generate_series(1, 5)",
        [chance.choice(known.campaigns), phone, number],
    )


def _chats(known: Known, chance: random.Random) -> Write:
    """People reply, messages are deleted, campaigns change status."""
    row, _, phone, number = chance.choice(known.messages)
    kind = chance.random()
    if kind < 0.05:
        return "DELETE FROM send_queue WHERE id = %s", [row]
    if kind < 0.1:
        return "UPDATE campaigns SET status = 'running' WHERE id = %s", [chance.choice(known.campaigns)]
    return (
        "INSERT INTO messages (user_phone, whatsapp_number_id, direction) VALUES (%s, %s, 'incoming')",
        [phone, number],
    )


# What each session does, and its share of the statements.
ACTORS: dict[str, tuple[Callable[[Known, random.Random], Write], float]] = {
    "sends": (_sends, 0.25),
    "webhooks": (_webhooks, 0.25),
    "more webhooks": (_webhooks, 0.25),
    "composes": (_composes, 0.05),
    "chats": (_chats, 0.2),
}


class Traffic:
    """Writes `rate` statements a second in total, each at its scheduled time, from `start` to `stop`."""

    def __init__(self, url: str, rate: float, seed: int = 1) -> None:
        self.url = url
        self.rate = rate
        self.statements: list[Statement] = []
        self.waits: list[Wait] = []
        self.errors: list[BaseException] = []
        self._stopping = threading.Event()
        with psycopg.connect(url, autocommit=True) as connection:
            self._known = Known(
                [row[0] for row in connection.execute("SELECT id FROM campaigns ORDER BY id")],
                connection.execute(
                    "SELECT id, whatsapp_message_id, user_phone, whatsapp_number_id FROM send_queue"
                    " ORDER BY md5(id::text) LIMIT 20000"
                ).fetchall(),
            )
        self._threads = [
            threading.Thread(target=self._guarded, args=(self._act, name, random.Random(f"{seed} {name}")))
            for name in ACTORS
        ]
        self._threads.append(threading.Thread(target=self._guarded, args=(self._watch,)))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when all sessions are closed; raises an error that occurred in one of them."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def between(self, began: float, ended: float) -> list[Statement]:
        """Statements that were running at any time in between."""
        return [s for s in self.statements if s.began < ended and s.began + s.seconds >= began]

    def _guarded(self, work: Callable[..., None], *arguments: object) -> None:
        try:
            work(*arguments)
        except BaseException as error:
            self.errors.append(error)

    def _act(self, name: str, chance: random.Random) -> None:
        choose, share = ACTORS[name]
        with psycopg.connect(self.url, autocommit=True, application_name=f"app {name}") as connection:
            for _ in self._times(self.rate * share, chance):
                statement, parameters = choose(self._known, chance)
                began = time.monotonic()
                connection.execute(statement.encode(), parameters)
                self.statements.append(Statement(name, began, time.monotonic() - began))

    def _times(self, rate: float, chance: random.Random) -> Iterator[None]:
        """Poisson arrivals: a session that falls behind still gets all of them."""
        due = time.monotonic()
        while True:
            due += chance.expovariate(rate)
            if self._stopping.wait(max(0.0, due - time.monotonic())):
                return
            yield

    def _watch(self) -> None:
        """Checks every 20 ms which sessions of the application wait for a lock."""
        with psycopg.connect(self.url, autocommit=True, application_name="watch") as connection:
            while not self._stopping.wait(0.02):
                self.waits += [Wait(*row) for row in _waiting(connection)]


def _waiting(connection: psycopg.Connection[Any]) -> list[tuple[float, str, str]]:
    return connection.execute(
        "SELECT extract(epoch FROM clock_timestamp() - l.waitstart)::float, left(a.query, 60),"
        " coalesce((SELECT string_agg(DISTINCT b.application_name, ', ') FROM pg_stat_activity b"
        "  WHERE b.pid = ANY (pg_blocking_pids(a.pid))), '')"
        " FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
        " WHERE NOT l.granted AND l.waitstart IS NOT NULL AND a.application_name LIKE 'app %'"
        " AND a.datname = current_database()"
    ).fetchall()
