"""Databases for tests: clones of a template, and one for each process that is emptied instead of created again.

An emptied database is proven to equal a fresh clone. Every row of a system catalogue that was added, changed or removed since
the clone was created shows, by its younger transaction or by the number of rows. So does a session that was left open. In
that case the database is dropped, and the next test gets a new clone. No test has to declare what it does.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

Connection = psycopg.Connection[tuple[Any, ...]]

PATIENCE_SECONDS = 0.2  # for a closed session of Headrace's that the server has yet to end

_OTHERS = """
    SELECT count(*), count(*) FILTER (WHERE application_name LIKE 'headrace%') FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""
_END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""
_CATALOGUES = """
    SELECT oid::regclass::text FROM pg_class
    WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND NOT relisshared"""
_HERE = "(SELECT oid FROM pg_database WHERE datname = current_database())"
# What the server keeps about one database outside its catalogues, and statistics that VACUUM leaves in place.
_OF_THE_SERVER = (
    f"pg_database WHERE oid = {_HERE}",
    f"pg_db_role_setting WHERE setdatabase = {_HERE}",
    f"pg_shdepend WHERE dbid = {_HERE}",
    f"pg_shdescription WHERE classoid = 'pg_database'::regclass AND objoid = {_HERE}",
    f"pg_shseclabel WHERE classoid = 'pg_database'::regclass AND objoid = {_HERE}",
    f"pg_subscription WHERE subdbid = {_HERE}",
    "pg_class WHERE relkind IN ('r', 'm') AND oid >= 16384 AND reltuples >= 0",
)
# Streams read from this moment on, as after a rebase.
_FROM_NOW = "UPDATE headrace.stream_cursor SET prev = pg_current_snapshot(), advanced_at = clock_timestamp()"
_OURS = "relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)"
_TABLES = f"SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND {_OURS} ORDER BY 1"
_SEQUENCES = f"SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S' AND {_OURS} ORDER BY 1"
_USED = f"""
    SELECT string_agg(oid::regclass::text, ', ') FROM pg_class
    WHERE relkind = 'r' AND {_OURS} AND relnamespace {{}} to_regnamespace('headrace')
        AND oid::regclass::text <> ALL (%s) AND pg_relation_size(oid) > 0"""


def with_database(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def create_database(server_url: str, template: str = "template0") -> str:
    """Name of a new database, a clone of the template."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
    return name


def create_clone(server_url: str, template: str) -> str:
    """Name of a new database with the same rows as the template, whose streams go on from where the template's were."""
    name = create_database(server_url, template)
    with psycopg.connect(with_database(server_url, name), autocommit=True) as connection:
        connection.execute("UPDATE headrace.stream_cursor SET database_name = current_database()")
    return name


@contextmanager
def clone(server_url: str, template: str) -> Iterator[str]:
    """URL of such a database, which is dropped at the end."""
    name = create_clone(server_url, template)
    try:
        yield with_database(server_url, name)
    finally:
        drop_database(server_url, name)


def drop_database(server_url: str, name: str) -> None:
    """Ends the database's sessions and drops it, if it exists."""
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def rebase_streams(connection: Connection) -> None:
    """Cursors name their database and the moment they read from: adapts a clone's cursors to the clone."""
    connection.execute("SELECT headrace.rebase_stream(stream) FROM headrace.stream")


@dataclass
class EmptiedDatabase:
    """One database, given to one test after the other. server_url: its server. template: the database it clones."""

    server_url: str
    template: str
    _name: str | None = None
    _fresh: _Fresh | None = None
    _session: Connection | None = None

    def hand_out(self) -> str:
        """Its URL; the database contains only what the template has."""
        if self._session is None or not self._empty():
            self.drop()
            self._name = create_database(self.server_url, self.template)
            with psycopg.connect(self._url(), autocommit=True) as connection:
                rebase_streams(connection)
            with self._connect() as connection:
                self._fresh = _Fresh.of(connection)
        return self._url()

    def take_back(self) -> None:
        """Drops the database if the test changed something that emptying does not undo."""
        if not self._unchanged():
            self.drop()

    def drop(self) -> None:
        """Drops it; the next one is a new clone."""
        if self._session is not None:
            self._session.close()
        if self._name is not None:
            drop_database(self.server_url, self._name)
        self._session = self._name = self._fresh = None

    def _url(self) -> str:
        assert self._name is not None
        return with_database(self.server_url, self._name)

    def _connect(self) -> Connection:
        # Whatever the test set for the database, names here are the system's.
        return psycopg.connect(self._url(), options="-c search_path=pg_catalog")

    def _unchanged(self) -> bool:
        assert self._fresh is not None
        try:
            self._session = self._connect()
            return self._alone() and self._fresh.holds(self._session)
        except psycopg.Error:
            return False  # it refuses connections, or the test dropped it

    def _empty(self) -> bool:
        assert self._fresh is not None
        assert self._session is not None
        try:
            if not self._alone():
                return False
            self._fresh.restore(self._session)
            self._session.commit()
            self._session.close()
        except psycopg.Error:
            return False
        self._session = None
        return True

    def _alone(self) -> bool:
        """Ends sessions that the test left open. False if one of Headrace's stays: its process may connect again."""
        assert self._session is not None
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            others, ours = self._session.execute(_OTHERS).fetchall()[0]
            self._session.rollback()  # within a transaction the list of sessions does not change
            if not others:
                return True
            if time.monotonic() > deadline:
                return False
            if not ours:
                self._session.execute(_END_OTHERS)
            time.sleep(0.002)


@dataclass
class _Fresh:
    """The state of a clone that nobody has used yet, and the statements that restore it.

    Attributes:
        catalogues: the places to look at, with the number of rows in each.
        filled: the tables that have rows, with their number and the statement that inserts them.
        sequences: the statement that sets them to their values.
        since: the transaction after which nothing was changed.
    """

    catalogues: dict[str, int]
    filled: dict[str, tuple[int, str]]
    sequences: str
    since: str

    @classmethod
    def of(cls, connection: Connection) -> _Fresh:
        since = _transaction(connection)
        places = [*(name for (name,) in connection.execute(_CATALOGUES)), *_OF_THE_SERVER]
        catalogues = {place: found for place, found, _ in _rows(connection, places, since)}
        filled = {}
        for (table,) in connection.execute(_TABLES).fetchall():
            rows = [row for (row,) in connection.execute(f"SELECT t::text FROM {table} t")]
            if rows:
                texts = sql.Literal(rows).as_string(connection)
                filled[table] = (
                    len(rows),
                    f"INSERT INTO {table} OVERRIDING SYSTEM VALUE "
                    f"SELECT (r::{table}).* FROM unnest({texts}::text[]) r",
                )
        stand = []
        for (sequence,) in connection.execute(_SEQUENCES).fetchall():
            for value, called in connection.execute(f"SELECT last_value, is_called FROM {sequence}"):
                stand.append(f"setval('{sequence}', {value}, {called})")
        return cls(catalogues, filled, f"SELECT {', '.join(stand)}", since)

    def holds(self, connection: Connection) -> bool:
        """Whether everything except the tables' rows is unchanged."""
        found = _rows(connection, self.catalogues, self.since)
        return all(not younger and rows == self.catalogues[place] for place, rows, younger in found)

    def restore(self, connection: Connection) -> None:
        """Empties and refills the tables that have changed, in the open transaction.

        TRUNCATE and not DELETE, because the planner judges a table by its size. An application's tables come first, because
        their triggers note that they were emptied.
        """
        found = _rows(connection, self.filled, self.since)
        kept = [table for table, rows, younger in found if not younger and rows == self.filled[table][0]]
        connection.execute("SET LOCAL lock_timeout = '5s'")
        for schema in ("<>", "="):
            for (used,) in connection.execute(_USED.format(schema), [kept]).fetchall():
                if used:
                    connection.execute(f"TRUNCATE {used} CASCADE")
        connection.execute("SET LOCAL session_replication_role = replica")
        for table, (_, fill) in self.filled.items():
            if table not in kept:
                connection.execute(fill)
        connection.execute(self.sequences)
        connection.execute(_FROM_NOW)
        connection.execute("SELECT pg_stat_reset()")
        self.since = _transaction(connection)


def _transaction(connection: Connection) -> str:
    ((xid,),) = connection.execute("SELECT pg_current_xact_id()::xid::text").fetchall()
    return str(xid)


def _rows(connection: Connection, places: Iterable[str], since: str) -> list[tuple[str, int, int]]:
    """Each place (a table, or `table WHERE …`) with its number of rows, and how many of them were written after `since`."""
    return connection.execute(
        " UNION ALL ".join(
            f"SELECT $place${place}$place$, count(*), count(*) FILTER (WHERE age(xmin) < age('{since}'::xid)) FROM {place}"
            for place in places
        )
    ).fetchall()
