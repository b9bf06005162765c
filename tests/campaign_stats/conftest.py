"""A small example application, drained, and the environment in which Dagster's code finds it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import dagster as dg
import psycopg
import pytest

from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.demo.campaign_stats.load import LoadedCampaign, load
from orchestration.engine.stream import drain
from tests.databases import clone, create_clone, create_database, rebase_streams, with_database


@dataclass(frozen=True)
class Application:
    """A database with campaigns on several days. url: its URL, also in HEADRACE_DATABASE_URL."""

    url: str
    campaigns: tuple[LoadedCampaign, ...]

    def days(self) -> list[str]:
        """The UTC days on which campaigns were created, in order, each once."""
        return sorted({f"{campaign.created_at.astimezone(UTC):%Y-%m-%d}" for campaign in self.campaigns})

    def of_day(self, day: str) -> list[LoadedCampaign]:
        return [c for c in self.campaigns if f"{c.created_at.astimezone(UTC):%Y-%m-%d}" == day]

    def in_state(self, state: str) -> list[UUID]:
        """Ids of the campaigns that are in this state of Headrace."""
        found = self.rows(
            "SELECT campaign_id FROM headrace.campaign WHERE state = %s ORDER BY campaign_id", [state]
        )
        return [row[0] for row in found]

    def rows(self, statement: str, parameters: object = None) -> list[tuple[Any, ...]]:
        """One statement, committed; its rows."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def drain(self) -> None:
        asyncio.run(drain(self.url, timeout_seconds=60))


@pytest.fixture
def app(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A session of the application, in autocommit mode."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def loaded(server_url: str, templates: dict[str, str]) -> tuple[str, tuple[LoadedCampaign, ...]]:
    """Template database with four small campaigns, not yet counted. The first was completed long enough ago to be frozen."""
    name = create_database(server_url, templates["migrated"])
    url = with_database(server_url, name)
    with psycopg.connect(url, autocommit=True) as connection:
        rebase_streams(connection)
    return name, load(url, "public", 4, 7, datetime.now(UTC), scale=0.002).campaigns


@pytest.fixture(scope="session")
def drained(server_url: str, loaded: tuple[str, tuple[LoadedCampaign, ...]]) -> str:
    """The same, counted."""
    name = create_clone(server_url, loaded[0])
    url = with_database(server_url, name)
    asyncio.run(drain(url, timeout_seconds=60))
    return name


@pytest.fixture
def application(
    server_url: str,
    loaded: tuple[str, tuple[LoadedCampaign, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Application]:
    """A separate database with the four campaigns of `loaded`."""
    template, campaigns = loaded
    with clone(server_url, template) as url:
        monkeypatch.setenv("HEADRACE_DATABASE_URL", url)
        yield Application(url, campaigns)


@pytest.fixture
def counted(
    server_url: str,
    loaded: tuple[str, tuple[LoadedCampaign, ...]],
    drained: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Application]:
    """The same, counted."""
    with clone(server_url, drained) as url:
        monkeypatch.setenv("HEADRACE_DATABASE_URL", url)
        yield Application(url, loaded[1])


@dataclass(frozen=True)
class Checked:
    """A check's result, with its metadata as plain values; tables as their rows."""

    passed: bool
    severity: dg.AssetCheckSeverity
    sentence: str
    told: dict[str, Any]


def run_check(check: dg.AssetChecksDefinition, **config: object) -> dict[str, Checked]:
    """What a check found in the environment's database, by asset, in its own run."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [check],
            selection=dg.AssetSelection.checks(check),
            resources={"database": ApplicationDatabase()},
            run_config={"ops": {check.op.name: {"config": config}}} if config else {},
            instance=instance,
        )
    return {
        found.asset_key.to_user_string(): _checked(found) for found in result.get_asset_check_evaluations()
    }


def the_check(check: dg.AssetChecksDefinition, **config: object) -> Checked:
    """What a check of a single asset found; without a run, unless the check needs one."""
    find: Any = check.op.compute_fn.decorated_fn  # type: ignore[union-attr]
    if "context" in find.__annotations__:
        (found,) = run_check(check, **config).values()
        return found
    return _checked(find(find.__annotations__["config"](**config), ApplicationDatabase()))


def _checked(found: dg.AssetCheckEvaluation | dg.AssetCheckResult) -> Checked:
    told = {
        name: [tuple(record.data.values()) for record in value.records]
        if isinstance(value, dg.TableMetadataValue)
        else value.value
        for name, value in found.metadata.items()
    }
    return Checked(found.passed, found.severity, str(found.description), told)
