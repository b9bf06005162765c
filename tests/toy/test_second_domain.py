"""Adding a domain takes its folders, an entry in sources.yml and a setting; nothing else in a copy of the house is touched.

The toy counts by phone: its own orders, outgoing messages and failed queue rows. campaign_stats captures two of its tables too.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.campaign_stats.oracle import assert_all_agree, drain
from tests.commands import REPOSITORY, subprocess_environment
from tests.rows import a_history, insert
from tests.schema_dump import whole_dump

Headrace = Callable[..., str]
Connection = psycopg.Connection[Any]

TOY = Path(__file__).parent
ORDERS = """
    CREATE TABLE orders (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, phone text, placed_at timestamptz, delivered_at timestamptz
    )
"""
PLACED = "2026-03-01 12:00+00"
PHONES = [f"toy {n}" for n in range(1, 6)]
FROZEN = "SELECT campaign_id, state, version, checksum, computed_at, frozen_at FROM headrace.campaign_computed_stats ORDER BY 1"
QUEUED = "SELECT count(*) FROM headrace.campaign WHERE rebuild_requested_at IS NOT NULL"
BODIES = """
    SELECT proname, prosrc FROM pg_proc
    WHERE pronamespace = 'headrace'::regnamespace AND proname ~ '^capture_.*_(insert|update|delete|truncate)$' ORDER BY 1
"""
TRIGGERS = "SELECT oid, xmin::text, tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY oid"


# In the copied house: what is defined, a tick of the one sensor, and two of the toy's checks.
LOOK = """
import json, warnings
warnings.simplefilter("ignore")
import dagster as dg
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.definitions import defs
from orchestration.toy.definitions import checks

resources = {"database": ApplicationDatabase()}
with dg.DagsterInstance.ephemeral() as instance:
    context = dg.build_sensor_context(instance=instance, definitions=defs, resources=resources)
    ticked = defs.resolve_sensor_def("stream_backlog").evaluate_tick(context)
    run = dg.materialize(
        checks, selection=dg.AssetSelection.checks(checks[0], checks[-1]), resources=resources, instance=instance
    )
print(json.dumps({
    "assets": [key.to_user_string() for key in defs.resolve_all_asset_keys()],
    "schedules": [schedule.name for schedule in defs.schedules or ()],
    "reported": sorted({event.asset_key.to_user_string() for event in ticked.asset_events}),
    "checks": {f"{found.asset_key.to_user_string()} {found.check_name}": found.passed for found in run.get_asset_check_evaluations()},
}))
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the two packages, with the toy in it."""
    folder = tmp_path_factory.mktemp("house")
    for package in ("orchestration", "dbt_like_sql"):
        shutil.copytree(REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(TOY / package / "toy", folder / package / "toy")
    with (folder / "dbt_like_sql" / "sources.yml").open("a") as contract:
        contract.write((TOY / "sources.yml").read_text())
    settings = folder / "orchestration" / "settings.py"
    before, anchor, after = settings.read_text().partition("    change_retention: timedelta")
    settings.write_text(before + (TOY / "setting.py.txt").read_text() + anchor + after)
    return folder


@pytest.fixture
def headrace(house: Path, database: str, tmp_path: Path) -> Headrace:
    """Runs that house's command `headrace`; returns its output."""

    def run(*arguments: str, fails: int = 0, **settings: str) -> str:
        variables = {f"HEADRACE_{name.upper()}": value for name, value in settings.items()}
        variables |= {"HEADRACE_DATABASE_URL": database, "HEADRACE_HOME": str(tmp_path), "COLUMNS": "200"}
        done = subprocess.run(
            [sys.executable, "-m", "orchestration.cli", *arguments],
            env=subprocess_environment(**variables) | {"PYTHONPATH": str(house)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == fails, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def app(database: str) -> Any:
    """A session of the application, whose campaigns are counted: one is frozen, one live."""
    with psycopg.connect(database, autocommit=True) as connection:
        campaigns = a_history(connection)
        connection.execute(
            "UPDATE campaigns SET status = 'completed', completed_at = '2026-03-20' WHERE id = %s",
            [campaigns[0]],
        )
        drain(connection)
        assert [row[1] for row in connection.execute(FROZEN) if row[0] == campaigns[0]] == ["frozen"]
        connection.execute(ORDERS.encode())
        connection.execute("""
            INSERT INTO orders (phone, placed_at, delivered_at)
            SELECT 'phone ' || 1 + i % 3, p.at, p.at + make_interval(hours => 3 * i)
            FROM generate_series(1, 12) i, (SELECT timestamptz '2026-03-01 12:00+00' AS at) p
        """)
        yield connection


def rows(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    return connection.execute(statement.encode()).fetchall()


def tally(connection: Connection) -> dict[str, tuple[int, ...]]:
    return {row[0]: row[1:] for row in rows(connection, "SELECT * FROM headrace.toy_tally")}


def counted(connection: Connection, hours: float = 24) -> dict[str, tuple[int, ...]]:
    """The toy's numbers, counted by the test."""
    found: dict[str, list[int]] = {}
    for phone, took in rows(
        connection, "SELECT phone, extract(epoch FROM delivered_at - placed_at) FROM orders"
    ):
        found.setdefault(phone, [0, 0, 0])[0] += took is not None and took <= hours * 3600
    for phone, direction in rows(connection, "SELECT user_phone, direction FROM messages"):
        found.setdefault(phone, [0, 0, 0])[1] += direction == "outgoing"
    for phone, status in rows(connection, "SELECT user_phone, status FROM send_queue"):
        found.setdefault(phone, [0, 0, 0])[2] += status == "failed"
    return {phone: tuple(counts) for phone, counts in found.items() if phone is not None and any(counts)}


def write_at_random(connection: Connection, seed: int, writes: int = 120) -> None:
    """Inserts, changes and deletes rows of the three tables that either domain cares about, but none that the frozen campaign counts."""
    chance = random.Random(seed)
    live = rows(connection, "SELECT id FROM campaigns WHERE status = 'running'")[0][0]
    values: dict[str, dict[str, Callable[[], Any]]] = {
        "orders": {
            "phone": lambda: chance.choice(PHONES),
            "placed_at": lambda: PLACED,
            "delivered_at": lambda: chance.choice([None, "2026-03-01 18:00+00", "2026-03-04 18:00+00"]),
        },
        "messages": {
            "user_phone": lambda: chance.choice([*PHONES, None]),
            "whatsapp_number_id": lambda: "toys",
            "direction": lambda: chance.choice(["incoming", "outgoing"]),
            "created_at": lambda: f"2026-03-0{chance.randint(1, 9)} {chance.randint(10, 23)}:30+00",
        },
        "send_queue": {
            "campaign_id": lambda: live,
            "user_phone": lambda: chance.choice([*PHONES, None]),
            "whatsapp_number_id": lambda: "toys",
            "template_name": lambda: chance.choice(["a", "b"]),
            "status": lambda: chance.choice(["queued", "sent", "failed"]),
            "sent_at": lambda: f"2026-03-0{chance.randint(1, 9)} {chance.randint(10, 23)}:00+00",
        },
    }
    for _ in range(writes):
        table = chance.choice(list(values))
        columns = values[table]
        ours = "true" if table == "orders" else "whatsapp_number_id = 'toys'"
        picked = connection.execute(
            f"SELECT id FROM {table} WHERE {ours} ORDER BY md5(id::text || %s) LIMIT 1".encode(),
            [str(chance.random())],
        ).fetchone()
        what = chance.choice(["insert", "insert", "update", "update", "delete"])
        if what == "insert" or picked is None:
            insert(connection, table, **{name: value() for name, value in columns.items()})
        elif what == "update":
            name = chance.choice(
                [name for name in columns if name not in ("campaign_id", "whatsapp_number_id")]
            )
            connection.execute(
                f"UPDATE {table} SET {name} = %s WHERE id = %s".encode(), [columns[name](), picked[0]]
            )
        else:
            connection.execute(f"DELETE FROM {table} WHERE id = %s".encode(), [picked[0]])


def test_a_domain_that_comes_counts_its_own_and_leaves_the_others_numbers_alone(
    app: Connection, headrace: Headrace
) -> None:
    frozen, stored = rows(app, FROZEN), assert_all_agree(app)
    phones = len(counted(app) | {f"phone {n}": () for n in range(1, 21)})
    assert "active domains are campaign_stats, would be campaign_stats,toy" in headrace(
        "migrate", "--check", fails=1
    )
    assert (
        headrace("migrate") == f"migrated; active: campaign_stats, toy; {phones} phones queued for rebuild\n"
    )
    assert rows(app, QUEUED) == [(0,)]
    triggers = rows(app, TRIGGERS)
    assert headrace("migrate") == "migrated; active: campaign_stats, toy\n"
    assert rows(app, TRIGGERS) == triggers
    assert headrace("migrate", "--check") == "up to date\n"
    headrace("worker", "--until-idle")
    assert tally(app) == counted(app) != {}
    assert rows(app, FROZEN) == frozen
    assert assert_all_agree(app) == stored
    assert "toys are in schema public" in headrace("doctor")
    app.execute("UPDATE orders SET phone = 'nobody' WHERE id = 1")
    assert "an order is nobody's" in headrace("doctor", fails=1)
    headrace("worker", "--until-idle")
    assert "nobody: 1\n" in headrace("toy")
    assert "toy" in headrace("streams")


def test_a_table_that_two_domains_capture_is_captured_for_both_while_they_come_and_go(
    app: Connection, headrace: Headrace
) -> None:
    bodies, frozen = rows(app, BODIES), rows(app, FROZEN)

    def both_are_right(seed: int) -> None:
        write_at_random(app, seed)
        headrace("worker", "--until-idle")
        assert tally(app) == counted(app)
        assert_all_agree(app)

    headrace("migrate")
    assert {name for name, _ in bodies} < {name for name, _ in rows(app, BODIES)}
    both_are_right(1)
    app.execute("TRUNCATE orders")
    both_are_right(2)

    assert "active: campaign_stats\n" in headrace("migrate", domains="campaign_stats")
    assert rows(app, BODIES) == bodies
    assert rows(app, "SELECT tgname FROM pg_trigger WHERE tgrelid = 'orders'::regclass") == []
    assert rows(app, "SELECT to_regproc('headrace.toy_apply') IS NULL, count(*) FROM headrace.stream") == [
        (True, 1)
    ]
    stale = tally(app)
    write_at_random(app, 3)
    headrace("worker", "--until-idle")
    assert_all_agree(app)
    assert tally(app) == stale

    headrace("migrate")
    both_are_right(4)

    assert "active: toy\n" in headrace("migrate", domains="toy")
    assert rows(
        app, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'campaigns'::regclass AND NOT tgisinternal"
    ) == [(0,)]
    write_at_random(app, 5)
    headrace("worker", "--until-idle")
    assert tally(app) == counted(app)

    assert "campaigns queued for rebuild" in headrace("migrate")
    assert "phones" not in headrace("migrate")
    both_are_right(6)
    assert [row[:3] for row in rows(app, FROZEN) if row[1] == "frozen"] == [
        row[:3] for row in frozen if row[1] == "frozen"
    ]


@pytest.mark.parametrize(
    ("table", "recounted"),
    [("orders", {"phones"}), ("message_status_logs", {"campaigns"}), ("messages", {"campaigns", "phones"})],
)
def test_a_repair_concerns_those_who_read_the_table(
    table: str, recounted: set[str], app: Connection, headrace: Headrace
) -> None:
    headrace("migrate")
    headrace("worker", "--until-idle")
    app.execute(f'DROP TRIGGER "!headrace_delete" ON {table}'.encode())
    said = headrace("migrate")
    assert {unit for unit in ("campaigns", "phones") if f"{unit} queued" in said} == recounted


def test_a_setting_concerns_those_who_read_it(app: Connection, headrace: Headrace) -> None:
    headrace("migrate")
    headrace("worker", "--until-idle")
    frozen = rows(app, FROZEN)
    assert headrace("migrate", "--check", toy_grace="PT6H", fails=1).startswith(
        "HEADRACE_TOY_GRACE is 6:00:00 here; 1 day, 0:00:00 is in force since the last migrate, and would be replaced\n"
    )
    assert headrace("migrate", toy_grace="PT6H") == "migrated; active: campaign_stats, toy\n"
    assert rows(app, "SELECT value FROM headrace.installation WHERE name = 'toy_grace_seconds'") == [
        ("21600.0",)
    ]
    headrace("worker", "--until-idle")
    assert tally(app) == counted(app, hours=6) != counted(app)
    assert (rows(app, FROZEN), rows(app, QUEUED)) == (frozen, [(0,)])


def test_dagster_loads_both_and_uninstall_takes_both_away(
    app: Connection, headrace: Headrace, house: Path, database: str, tmp_path: Path
) -> None:
    headrace("migrate")
    headrace("worker", "--until-idle")
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        env=subprocess_environment(HEADRACE_DATABASE_URL=database) | {"PYTHONPATH": str(house)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert {"toy_tally", "app/orders", "app/messages", "campaign_template_stats"} <= set(seen["assets"])
    assert {"toy_checks", "campaign_stats_checks"} <= set(seen["schedules"])
    # One sensor reports both, each by its own stream.
    assert {"toy_tally", "campaign_template_stats", "campaign_computed_stats"} == set(seen["reported"])
    assert seen["checks"] == {"toy_tally stream_lag": True, "app/orders capture_triggers": True}
    assert "public.orders" in headrace("uninstall", "--yes")
    left = whole_dump(database)
    assert "headrace." not in left
    assert "headrace_owner" not in left


def test_domains_that_want_different_entities_of_a_table_are_refused(app: Connection) -> None:
    specs = ", ".join(
        f"'{entity}', headrace.capture_spec('orders', '{entity}', NULL, '{{}}', '{{id}}')"
        for entity in ("id", "phone")
    )
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="the same table, entity and scope"):
        app.execute(f"SELECT headrace.capture_table('orders', jsonb_build_object({specs}))".encode())


def test_a_domain_alone_is_captured_as_it_says(app: Connection) -> None:
    spec = "headrace.capture_spec('messages', 'id', NULL, '{user_phone}', '{direction}', 'direction', 'incoming', p_reads => '{id}')"
    assert rows(
        app, f"SELECT headrace.capture_union('messages', jsonb_build_object('a', {spec})) = {spec}"
    ) == [(True,)]
