"""The databases of the benchmarks: copies of loaded ones, on the server of this run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from orchestration.demo.campaign_stats.load import create_schema, load
from orchestration.engine import stream
from orchestration.install.migrate import migrate
from orchestration.local.server import EmbeddedServer
from orchestration.settings import Settings

HERE = Path(__file__).parent
Connection = psycopg.Connection[Any]
Parameters = Sequence[Any] | Mapping[str, Any] | None
FULL_LOGS = 121_679  # of a campaign

# The example's campaigns do not freeze by themselves: benchmarks of frozen campaigns freeze them.
UNFROZEN = Settings(settle_window=timedelta(days=3650))

_COUNTERS = "campaign_id, template_name, total, sent, delivered, read, replied, failed, failed_queue"


@dataclass(frozen=True)
class Database:
    """A database of this run, with an autocommit connection."""

    url: str
    connection: Connection

    def value(self, statement: str, parameters: Parameters = None) -> Any:
        """The first column of the first row."""
        row = self.connection.execute(statement.encode(), parameters).fetchone()
        assert row is not None
        return row[0]

    def column(self, statement: str, parameters: Parameters = None) -> list[Any]:
        return [row[0] for row in self.connection.execute(statement.encode(), parameters).fetchall()]

    def drain(self) -> stream.Drained:
        return asyncio.run(stream.drain(self.url))

    def differences(self) -> int:
        """Number of rows where stored and recomputed statistics differ, without frozen campaigns that wait for a decision."""
        return int(
            self.value(
                f"WITH s AS (SELECT {_COUNTERS} FROM headrace.campaign_template_stats),"
                f" l AS (SELECT {_COUNTERS} FROM headrace.campaign_template_stats_live)"
                " SELECT count(*) FROM ((TABLE s EXCEPT TABLE l) UNION ALL (TABLE l EXCEPT TABLE s)) d"
                " WHERE campaign_id NOT IN (SELECT campaign_id FROM headrace.campaign_stats_pending_amendment)"
            )
        )

    def assert_right(self) -> None:
        assert self.differences() == 0, "stored statistics differ from the recompute"

    def run_file(self, name: str, schema: str) -> None:
        """Runs an SQL file of this folder; names are resolved in that schema first."""
        self.connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        with self.connection.transaction():
            self.connection.execute(
                sql.SQL("SET LOCAL search_path = {}, public").format(sql.Identifier(schema))
            )
            self.connection.execute((HERE / name).read_text(encoding="utf-8").encode())


class Databases:
    """Creates databases with campaigns; each kind is loaded once and then copied.

    scale: the share of a seed-size campaign's rows that each campaign gets; only figures at scale 1 are meaningful.
    """

    def __init__(self, server: EmbeddedServer, scale: float = 1.0) -> None:
        self.server = server
        self.scale = scale
        self.now = datetime.now(UTC)
        self._templates: dict[tuple[int, bool], str] = {}
        self._made = 0

    @contextmanager
    def database(self, campaigns: int = 0, *, headrace: bool = True) -> Iterator[Database]:
        """A new database with that number of campaigns, counted if Headrace is installed. It is dropped at the end."""
        name = self._copy(self._template(campaigns, headrace), headrace)
        with psycopg.connect(self.server.url(name), autocommit=True) as connection:
            yield Database(self.server.url(name), connection)
        self.drop(name)

    def load(self, url: str, campaigns: int, seed: int) -> None:
        load(url, "public", campaigns, seed, self.now, scale=self.scale)

    def offer(self, name: str, campaigns: int) -> None:
        """Registers a loaded database without Headrace as a template for copies."""
        self._templates.setdefault((campaigns, False), name)

    def drop(self, name: str) -> None:
        if name not in self._templates.values():
            self._admin(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def create(self, template: str | None = None) -> str:
        self._made += 1
        name = f"bench_{self._made}"
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template:
            statement += sql.SQL(" TEMPLATE {} STRATEGY FILE_COPY").format(sql.Identifier(template))
        self._admin(statement)
        return name

    def _template(self, campaigns: int, headrace: bool) -> str:
        key = (campaigns, headrace)
        if key not in self._templates:
            if headrace:
                name = self.create(self._template(campaigns, False))
                url = self.server.url(name)
                migrate(url, UNFROZEN)
                asyncio.run(stream.drain(url))
            else:
                name = self.create()
                url = self.server.url(name)
                create_schema(url, "public")
                if campaigns:
                    self.load(url, campaigns, 1)
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
            self._templates[key] = name
        return self._templates[key]

    def _copy(self, template: str, headrace: bool) -> str:
        name = self.create(template)
        if headrace:
            # Cursors record their database. A copy on the same server may continue at the template's position.
            with psycopg.connect(self.server.url(name), autocommit=True) as connection:
                connection.execute("UPDATE headrace.stream_cursor SET database_name = current_database()")
        return name

    def _admin(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)
