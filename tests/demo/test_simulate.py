"""`headrace demo simulate` on real servers: what it writes, how it ends, and what it survives."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from click.testing import CliRunner

from orchestration.cli import main
from orchestration.database.connections import connect
from orchestration.demo.campaign_stats.actions import CampaignMoved, MessagesQueued, WebhookCame
from orchestration.demo.campaign_stats.load import COLUMNS, create_schema, load
from orchestration.demo.campaign_stats.simulate import Simulation, Tally, progress, summary
from orchestration.demo.campaign_stats.writes import Intake
from orchestration.errors import HeadraceError
from orchestration.install.migrate import migrate
from orchestration.local.processes import wait_until_gone
from orchestration.local.server import ensure_server
from orchestration.settings import Settings
from tests.campaign_stats.oracle import assert_all_agree, drain
from tests.commands import REPOSITORY
from tests.demo.test_actors import an_application, play
from tests.demo.test_load import NOW


def simulation(url: str, rate: float, seconds: float, seed: int = 1) -> Simulation:
    return Simulation(
        lambda: connect(url), "public", rate=rate, seconds=seconds, seed=seed, say=lambda _: None
    )


async def run_all(*makers: Callable[[], Simulation]) -> list[Simulation]:
    simulations = [make() for make in makers]
    await asyncio.gather(*(each.run() for each in simulations))
    return simulations


def one(connection: psycopg.Connection[Any], statement: str, *parameters: object) -> Any:
    row = connection.execute(statement.encode(), parameters).fetchone()
    assert row is not None
    return row[0]


def rows(connection: psycopg.Connection[Any]) -> dict[str, Counter[str]]:
    """Every row of the example's tables, as text."""
    return {
        table: Counter(row[0] for row in connection.execute(f"SELECT t::text FROM {table} t"))
        for table in COLUMNS
    }


def test_after_traffic_at_a_high_rate_every_number_is_right_and_its_report_is_true(database: str) -> None:
    ((simulated),) = asyncio.run(run_all(lambda: simulation(database, rate=500, seconds=5)))
    tally = simulated.tally

    with psycopg.connect(database, autocommit=True) as connection:
        drain(connection)
        stats = assert_all_agree(connection)
        assert one(connection, "SELECT count(*) FROM headrace.dead_letter") == 0
        made, deleted = tally.events["campaign made"], tally.events["campaign deleted"]
        named = "SELECT count(*) FROM campaigns WHERE name LIKE %s || ' %%'"
        assert one(connection, named, simulated.label) == made - deleted
        assert (
            one(connection, "SELECT coalesce(sum(times), 0) FROM headrace.webhook_reject") == tally.rejected
        )
        assert one(connection, "SELECT count(*) FROM campaigns WHERE status <> 'completed'") == 0
        assert one(connection, "SELECT count(*) FROM campaigns WHERE completed_at IS NULL") == 0
        statuses = sum(tally.statuses[name] for name in ("sent", "delivered", "read", "played", "failed"))
        invented = tally.statuses["deleted"] + tally.statuses["warning"]
        logged = one(connection, "SELECT count(*) FROM message_status_logs")
        not_stored = tally.repeated + tally.rejected + tally.events["logged status deleted"]
        # A raw message may have been known already, and a status to be deleted may not have arrived yet.
        assert statuses + invented - not_stored <= logged <= statuses + invented
    assert sum(total for total, *_ in stats.values()) > 100
    assert tally.events["webhook"] > 100
    assert tally.events["webhook, raw"] > 100
    assert (tally.failed, tally.outages) == (0, 0)


def test_before_migrate_it_writes_rows_and_no_raw_webhooks(example: str) -> None:
    ((simulated),) = asyncio.run(run_all(lambda: simulation(example, rate=200, seconds=2)))

    assert simulated.tally.events["webhook"] > 20
    assert simulated.tally.events["webhook, raw"] == 0


def test_a_role_that_may_not_use_headrace_writes_rows_only(database: str) -> None:
    role = f"application_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}")
        try:
            connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")

            async def as_the_application() -> psycopg.AsyncConnection:
                opened = await connect(database)
                await opened.execute(f"SET ROLE {role}".encode())
                return opened

            def make() -> Simulation:
                return Simulation(
                    as_the_application, "public", rate=200, seconds=2, seed=1, say=lambda _: None
                )

            (simulated,) = asyncio.run(run_all(make))
        finally:
            connection.execute(f"DROP OWNED BY {role}")
            connection.execute(f"DROP ROLE {role}")
        drain(connection)
        assert assert_all_agree(connection) != {}
    assert simulated.tally.events["webhook"] > 20
    assert simulated.tally.events["webhook, raw"] == 0


def test_what_others_wrote_is_left_as_it_is(database: str) -> None:
    load(database, "public", 2, seed=1, now=NOW, scale=0.01)
    with psycopg.connect(database, autocommit=True) as connection:
        before = rows(connection)

        ((simulated),) = asyncio.run(run_all(lambda: simulation(database, rate=500, seconds=4)))

        after = rows(connection)
    assert sum(simulated.tally.events[kind] for kind in ("queue row deleted", "edit of status")) > 5
    for table in COLUMNS:
        assert before[table] <= after[table], table


def test_two_at_once_with_the_same_seed_do_not_meet(database: str) -> None:
    both = asyncio.run(run_all(*[lambda: simulation(database, rate=200, seconds=3, seed=7)] * 2))

    with psycopg.connect(database, autocommit=True) as connection:
        drain(connection)
        assert_all_agree(connection)
    assert both[0].label != both[1].label
    for simulated in both:
        assert simulated.tally.events.total() > 100
        assert (simulated.tally.failed, simulated.tally.outages) == (0, 0)


class RunningSimulator:
    """The command in a separate process."""

    def __init__(self, url: str, env: dict[str, str], log: Path, *arguments: str) -> None:
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "orchestration.cli", "demo", "simulate", *arguments],
                env=env | {"HEADRACE_DATABASE_URL": url, "PYTHONUNBUFFERED": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=REPOSITORY,
            )

    def end(self, number: int) -> str:
        """Sends the signal; returns everything the command printed."""
        self.process.send_signal(number)
        assert self.process.wait(30) == 0, self.log.read_text()
        return self.log.read_text()


@pytest.fixture
def start_simulator(child_env: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., RunningSimulator]]:
    started: list[RunningSimulator] = []

    def start(url: str, *arguments: str) -> RunningSimulator:
        started.append(RunningSimulator(url, child_env, tmp_path / "log", *arguments))
        return started[-1]

    yield start
    for running in started:
        running.process.kill()
        running.process.wait()


def until(what: str, holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order_and_it_says_what_it_did(
    database: str, start_simulator: Callable[..., RunningSimulator], number: int
) -> None:
    running = start_simulator(database, "--rate", "200", "--seed", "3")
    with psycopg.connect(database, autocommit=True) as connection:
        until(
            "messages are sent",
            lambda: one(connection, "SELECT count(*) > 20 FROM send_queue WHERE status = 'sent'"),
        )

        said = running.end(number)

        sessions = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'headrace demo simulate'"
        )
        until("its connections are closed", lambda: one(connection, sessions) == 0)
        assert one(connection, "SELECT count(*) FROM campaigns WHERE status <> 'completed'") == 0
        # Only whole transactions: a campaign comes with its contacts.
        assert (
            one(
                connection,
                "SELECT count(*) FROM campaigns c"
                " WHERE NOT EXISTS (SELECT FROM campaign_contacts k WHERE k.campaign_id = c.id)",
            )
            == 0
        )
        campaigns = one(connection, "SELECT count(*) FROM campaigns")
    made, deleted = (
        int(found[1].replace(",", ""))
        if (found := re.search(rf"([\d,]+)  campaign {what}$", said, re.M))
        else 0
        for what in ("made", "deleted")
    )
    assert campaigns == made - deleted > 0
    assert re.search(r"^[\d,]+ events in [\d.]+ s, [\d.]+/s of 200/s:$", said, re.MULTILINE)


def test_its_seconds_end_it(database: str, start_simulator: Callable[..., RunningSimulator]) -> None:
    running = start_simulator(database, "--rate", "50", "--seconds", "1")

    assert running.process.wait(30) == 0
    assert "webhook" in running.log.read_text()


def test_it_survives_a_server_that_is_killed_and_comes_back(
    home: Path, settings: Settings, start_simulator: Callable[..., RunningSimulator]
) -> None:
    server = ensure_server(home)
    url = server.url("app")
    create_schema(url, "public")
    migrate(url, settings)
    running = start_simulator(url, "--rate", "200")

    def sent() -> int:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url) as connection:
            return int(one(connection, "SELECT count(*) FROM send_queue WHERE status = 'sent'"))
        return 0

    until("it began", lambda: sent() > 20)
    postmaster = psutil.Process(server.pid)
    postmaster.kill()
    assert wait_until_gone([postmaster], 10) == []
    until("it noticed", lambda: "trying again" in running.log.read_text())
    ensure_server(home)
    before = sent()
    until("it went on", lambda: sent() > before + 20)
    said = running.end(signal.SIGTERM)

    lost = re.search(r"connections lost or refused: ([\d,]+)$", said, re.MULTILINE)
    assert lost is not None
    assert int(lost[1].replace(",", "")) >= 5, "each of its actors lost one"
    with psycopg.connect(url, autocommit=True) as connection:
        drain(connection)
        assert_all_agree(connection)


def test_tables_that_are_not_the_examples_are_refused_and_left_alone(
    example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", example)
    monkeypatch.delenv("HEADRACE_SOURCE_SCHEMA", raising=False)
    arguments = ["demo", "simulate", "--seconds", "1"]
    with psycopg.connect(example, autocommit=True) as connection:
        connection.execute("ALTER TABLE send_queue ADD COLUMN priority integer")
        other = CliRunner().invoke(main, arguments)
        connection.execute("ALTER TABLE send_queue DROP COLUMN priority")
        connection.execute("DROP TABLE messages")
        missing = CliRunner().invoke(main, arguments)
        assert one(connection, "SELECT count(*) FROM campaigns") == 0

    assert (other.exit_code, missing.exit_code) == (1, 1)
    assert "Table send_queue in schema public is not the example's" in other.output
    assert "Table messages in schema public is not the example's" in missing.output


def test_what_the_database_refuses_for_good_ends_it_with_a_sentence(example: str) -> None:
    with psycopg.connect(example, autocommit=True) as connection:
        connection.execute("ALTER TABLE message_status_logs ADD CHECK (status <> 'delivered')")

    with pytest.raises(HeadraceError, match=r"cannot go on \(webhook: .*violates check constraint"):
        asyncio.run(run_all(lambda: simulation(example, rate=200, seconds=60)))

    with psycopg.connect(example) as connection:
        assert one(connection, "SELECT count(*) > 0 FROM campaigns"), "what was done before stays"


@pytest.mark.parametrize("rate", ["0", "-1", "5001", "many"])
def test_rates_out_of_range_are_refused(rate: str) -> None:
    assert CliRunner().invoke(main, ["demo", "simulate", "--rate", rate]).exit_code == 2


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        due = self.now + seconds
        while self.now < due:
            await asyncio.sleep(0)
            self.now += 0.01


def test_without_a_server_it_tries_again_with_growing_pauses_and_ends_in_time() -> None:
    async def refused() -> psycopg.AsyncConnection:
        raise HeadraceError("nobody is there")

    async def run() -> tuple[Tally, list[str]]:
        clock, said = Clock(), list[str]()
        simulated = Simulation(
            refused,
            "public",
            rate=1,
            seconds=30,
            seed=1,
            say=said.append,
            clock=clock,
            sleep=clock.sleep,
            began=0.0,
        )
        return await simulated.run(), said

    tally, said = asyncio.run(run())

    assert tally.events.total() == 0
    # Five actors: after some quick attempts, each tries once in two and a half seconds.
    assert 5 * 5 < tally.outages < 5 * 60
    assert [line for line in said if "trying again" in line] == [
        "No connection (nobody is there); trying again."
    ] * 5
    assert any("0 events, 0.0/s of 1/s" in line for line in said)


def test_a_rate_that_is_not_held_is_said() -> None:
    tally = Tally()
    for action in play(an_application(1), 500, 1):
        tally.count(action, Intake(repeated=1))

    held = progress(tally, before=400, seconds=10, elapsed=50, rate=10, behind=0.2)
    behind = progress(tally, before=400, seconds=10, elapsed=50, rate=20, behind=4.2)

    assert held == "50 s: 500 events, 10.0/s of 10/s"
    assert behind == "50 s: 500 events, 10.0/s of 20/s; 4.2 s behind: the rate is not held"
    assert "The rate was not held: 4.2 s behind" in summary(tally, 50, 20, 4.2)
    assert "not held" not in summary(tally, 50, 10, 0.2)


def test_the_summary_counts_every_event_by_kind_and_every_status() -> None:
    tally = Tally(failed=3, outages=2, refused=1)
    actions = list(play(an_application(2), 3_000, 2))
    for number, action in enumerate(actions):
        tally.count(
            action, Intake(), seconds=5 + action.hold if isinstance(action, MessagesQueued) else number / 1e4
        )
    tally.count(actions[0], Intake(), seconds=6.5)
    actions.append(actions[0])

    said = summary(tally, 60, 50, 0)

    counted = {
        kind: int(count) for count, kind in re.findall(r"^ +([\d]+)  (.+)$", said.replace(",", ""), re.M)
    }
    assert counted == Counter(action.kind for action in actions)
    assert counted["campaign completed"] == sum(
        isinstance(action, CampaignMoved) and action.status == "completed" for action in actions
    )
    repeated = sum(
        status.remark == "repeated" for a in actions if isinstance(a, WebhookCame) for status in a.statuses
    )
    assert f"{repeated} repeated" in said
    assert "failed and done again: 3; connections lost or refused: 2" in said
    assert f"slowest transaction: 6,500 ms ({actions[0].kind})" in said
