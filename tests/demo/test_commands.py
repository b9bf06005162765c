"""`headrace demo …` and `headrace env`, as typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from orchestration.cli import main
from orchestration.demo import commands
from orchestration.demo.campaign_stats.load import load
from orchestration.local.server import running_server

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, used_home: Path) -> Run:
    """Runs `headrace` with these arguments and variables; by default against the embedded server."""
    for name in [name for name in os.environ if name.startswith(("HEADRACE_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HEADRACE_HOME", str(used_home))

    def call(*arguments: str, **variables: str) -> Result:
        return CliRunner().invoke(main, arguments, env=variables)

    return call


def test_demo_schema_makes_the_tables_where_the_environment_says(run: Run, example: str) -> None:
    with psycopg.connect(example) as connection:
        connection.execute("DROP TABLE messages")

    done = run("demo", "schema", HEADRACE_DATABASE_URL=example)

    assert done.exit_code == 0, done.output
    with psycopg.connect(example) as connection:
        connection.execute("SELECT FROM messages")


def test_without_a_url_the_embedded_server_is_meant(run: Run, used_home: Path) -> None:
    assert run("demo", "schema", HEADRACE_SOURCE_SCHEMA="shop").exit_code == 0

    server = running_server(used_home)
    assert server is not None
    with psycopg.connect(server.url("app")) as connection:
        connection.execute("SELECT FROM shop.campaigns")


def test_demo_load_without_tables_says_what_to_do_and_fails(run: Run) -> None:
    done = run("demo", "load", "--campaigns", "1", HEADRACE_SOURCE_SCHEMA="nowhere")

    assert done.exit_code == 1
    assert "run `headrace demo schema` first" in done.output
    assert "Traceback" not in done.output


def test_demo_load_loads_as_many_campaigns_as_it_is_told(
    run: Run, example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "load_campaigns", partial(load, scale=0.01))

    done = run("demo", "load", "--campaigns", "1", "--seed", "4", HEADRACE_DATABASE_URL=example)

    assert done.exit_code == 0, done.output
    assert "2,732 rows of 1 campaigns" in done.output
    again = run("demo", "load", "--campaigns", "1", "--seed", "4", HEADRACE_DATABASE_URL=example)
    assert again.exit_code == 1
    assert "take another --seed" in again.output


def test_numbers_out_of_range_are_refused(run: Run) -> None:
    assert run("demo", "load", "--campaigns", "0").exit_code == 2
    assert run("demo", "load", "--seed", "-1").exit_code == 2


def test_demo_stop_stops_the_embedded_server(run: Run, used_home: Path) -> None:
    assert run("demo", "schema").exit_code == 0
    assert run("demo", "stop").exit_code == 0

    assert running_server(used_home) is None


def test_env_prints_exports_a_shell_can_read(run: Run, used_home: Path) -> None:
    done = run("env")

    assert done.exit_code == 0, done.output
    assert all(re.match(r"export [A-Z_]+=", line) for line in done.output.splitlines())
    shell = subprocess.run(
        [
            "sh",
            "-c",
            done.output + 'printf "%s\\n" "$HEADRACE_DATABASE_URL" "$DAGSTER_PG_URL" "$DAGSTER_HOME"',
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    database, storage, dagster_home = shell.stdout.splitlines()
    with psycopg.connect(database) as connection:
        assert connection.info.dbname == "app"
    assert storage.startswith("postgresql+psycopg2://")
    with psycopg.connect(storage.replace("+psycopg2", "")) as connection:
        assert connection.info.dbname == "dagster"
    assert dagster_home == str(used_home / "dagster")
    assert "DAGSTER_PG_URL" in (used_home / "dagster" / "dagster.yaml").read_text()


def test_env_hands_on_urls_of_ones_own_with_the_right_drivers(run: Run) -> None:
    app, storage = "postgresql+psycopg://me:a'b@db.example/app", "postgresql://me@db.example/dagster"

    done = run("env", HEADRACE_DATABASE_URL=app, DAGSTER_PG_URL=storage)

    assert f"export HEADRACE_DATABASE_URL={shlex.quote(app.replace('+psycopg', ''))}\n" in done.output
    assert "export DAGSTER_PG_URL=postgresql+psycopg2://me@db.example/dagster\n" in done.output
