"""A change that cannot be applied is set aside with its error; everything else goes on."""

from __future__ import annotations

import asyncio

import psycopg
from click.testing import CliRunner

from orchestration.cli import main
from orchestration.engine.stream import (
    FULL_BATCH,
    ISOLATED_BATCH,
    Batch,
    after_data_error,
    after_success,
    drain,
    is_data_error,
)
from orchestration.install.doctor import diagnose
from orchestration.settings import Settings
from tests.campaign_stats.oracle import live, stored
from tests.concurrency.items import make_items


def test_a_batch_is_halved_until_it_is_small_enough_to_be_taken_apart_and_grows_back() -> None:
    batch, halvings = Batch(), 0
    while not batch.isolate:
        batch, halvings = after_data_error(batch), halvings + 1
    assert batch.limit <= ISOLATED_BATCH
    assert halvings < 12
    while batch.limit < FULL_BATCH:
        batch = after_success(batch)
        assert not batch.isolate


def test_python_and_sql_tell_data_errors_from_passing_ones_alike(database: str) -> None:
    codes = [
        "22P02",
        "23505",
        "23514",
        "54000",
        "P0001",
        "P0002",
        "40001",
        "40P01",
        "55P03",
        "57014",
        "08006",
        "42501",
        "53100",
    ]
    with psycopg.connect(database) as connection:
        for code in codes:
            row = connection.execute("SELECT headrace.is_data_error(%s)", [code]).fetchone()
            assert row == (is_data_error(code),), code


def test_poison_among_thousands_is_found_and_all_others_are_applied(database: str) -> None:
    make_items(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO probe.poison VALUES ('777'), ('4001')")
        connection.execute("INSERT INTO items SELECT n, n FROM generate_series(1, 6000) n")
        done = asyncio.run(drain(database))
        assert done.dead_letters == 2
        assert connection.execute("SELECT count(*), count(DISTINCT pos) FROM probe.applied").fetchone() == (
            5998,
            5998,
        )
        letters = connection.execute(
            "SELECT entity_id, status, error_code, error, attempts, next_try_at > now() FROM headrace.dead_letter ORDER BY pos"
        ).fetchall()
        assert letters == [
            ("777", "failed", "22000", "item 777 is poison", 1, True),
            ("4001", "failed", "22000", "item 4001 is poison", 1, True),
        ]


def test_a_dead_letter_is_retried_by_the_command_and_counts_its_attempts(database: str) -> None:
    make_items(database)
    runner = CliRunner(env={"HEADRACE_DATABASE_URL": database})
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO probe.poison VALUES ('1')")
        connection.execute("INSERT INTO items VALUES (1, 1)")
        asyncio.run(drain(database))
        failed = runner.invoke(main, ["dead-letters", "retry", "--all"])
        assert (failed.exit_code, failed.output) == (1, "0 applied, 1 failed again\n")
        assert connection.execute("SELECT attempts FROM headrace.dead_letter").fetchone() == (2,)
        connection.execute("DELETE FROM probe.poison")
        assert runner.invoke(main, ["dead-letters", "retry", "--all"]).output == "1 applied, 0 failed again\n"
        assert connection.execute("SELECT count(*) FROM headrace.dead_letter").fetchone() == (0,)
        assert connection.execute("SELECT entity_id FROM probe.applied").fetchall() == [("1",)]


def test_in_an_ordered_stream_later_changes_of_the_entity_wait_behind_the_dead_letter(database: str) -> None:
    make_items(database, ordered=True)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO items VALUES (1, 0), (2, 0)")
        asyncio.run(drain(database, ["items"]))
        connection.execute("INSERT INTO probe.poison VALUES ('1')")
        connection.execute("UPDATE items SET n = 1")
        asyncio.run(drain(database, ["items"]))
        connection.execute("DELETE FROM probe.poison")
        connection.execute("UPDATE items SET n = 2")
        asyncio.run(drain(database, ["items"]))
        waiting = connection.execute(
            "SELECT entity_id, status FROM headrace.dead_letter ORDER BY pos"
        ).fetchall()
        assert waiting == [("1", "failed"), ("1", "waiting")]
        row = connection.execute("SELECT applied, failed FROM headrace.dead_letter_retry()").fetchone()
        assert row == (2, 0)
        applied = connection.execute(
            "SELECT n FROM probe.applied WHERE entity_id = '1' ORDER BY seq"
        ).fetchall()
        assert applied == [(0,), (1,), (2,)]


def test_a_poisoned_campaign_does_not_stop_the_statistics_of_others(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        good, bad = (
            connection.execute("INSERT INTO campaigns (name) VALUES (%s) RETURNING id", [name]).fetchone()[0]  # type: ignore[index]
            for name in ("good", "bad")
        )
        asyncio.run(drain(database))
        connection.execute(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'this template is cursed'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON headrace.campaign_template_stats"
            " FOR EACH ROW WHEN (NEW.template_name = 'cursed') EXECUTE FUNCTION public.refuse()"
        )
        for campaign, template in ((good, "fine"), (bad, "cursed"), (good, "fine")):
            connection.execute(
                "INSERT INTO send_queue (campaign_id, template_name, status) VALUES (%s, %s, 'sent')",
                [campaign, template],
            )
        done = asyncio.run(drain(database))
        assert done.dead_letters == 1
        assert stored(connection) == {(good, "fine"): (2, 2, 0, 0, 0, 0, 0)}
        assert connection.execute("SELECT error FROM headrace.dead_letter").fetchone() == (
            "this template is cursed",
        )
        connection.execute("DROP TRIGGER refuse ON headrace.campaign_template_stats")
        connection.execute("SELECT headrace.dead_letter_retry()")
        assert stored(connection) == live(connection)


def test_a_campaign_that_cannot_be_rebuilt_keeps_its_error_and_holds_up_nobody(
    database: str, settings: Settings
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'this template is cursed'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON headrace.campaign_template_stats"
            " FOR EACH ROW WHEN (NEW.template_name = 'cursed') EXECUTE FUNCTION public.refuse()"
        )
        with connection.transaction():
            connection.execute(
                "WITH c AS (INSERT INTO campaigns (name) SELECT t FROM unnest(ARRAY['cursed', 'fine', 'good']) t RETURNING id, name)"
                " INSERT INTO send_queue (campaign_id, template_name, status) SELECT id, name, 'sent' FROM c"
            )
        done = asyncio.run(drain(database))
        assert done.dead_letters == 0
        assert {template for _, template in stored(connection)} == {"fine", "good"}
        failed = connection.execute(
            "SELECT campaign_id, state, rebuild_error, rebuild_failures FROM headrace.campaign WHERE rebuild_error IS NOT NULL"
        ).fetchall()
        ((campaign, *rest),) = failed
        assert rest == ["pending", "P0001 this template is cursed", 1]
        assert any(str(campaign) in problem.what for problem in diagnose(database, settings).errors)
        connection.execute("DROP TRIGGER refuse ON headrace.campaign_template_stats")
        connection.execute("SELECT headrace.request_rebuild(ARRAY[%s])", [campaign])
        assert asyncio.run(drain(database)).rebuilt == 1
        assert stored(connection) == live(connection)
        assert connection.execute(
            "SELECT count(*) FROM headrace.campaign WHERE rebuild_error IS NOT NULL"
        ).fetchone() == (0,)


def test_a_template_name_too_long_for_an_index_is_counted_like_any_other(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO campaigns (name) VALUES ('long')")
        connection.execute(
            "INSERT INTO send_queue (campaign_id, template_name) SELECT id,"
            " (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 400) n) FROM campaigns"
        )
        assert asyncio.run(drain(database)).dead_letters == 0
        assert stored(connection) == live(connection) != {}
