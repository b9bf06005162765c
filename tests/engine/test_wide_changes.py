"""Changes with very long keys, causes or values, and a server out of memory: batches shrink until one change fails alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from orchestration.cli import main
from orchestration.database.sentences import is_data_error
from orchestration.engine.stream import drain
from tests.concurrency.items import make_items

MEGABYTE = 1_000_000


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    make_items(database)
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def log(admin: psycopg.Connection[Any], entities: str, cause: str = "NULL") -> None:
    """Changes as an older version's capture logged them; entities: a query for their keys."""
    admin.execute(
        "INSERT INTO headrace.change_log (source, op, entity_id, cause)"
        f" SELECT 'items', 'D', e.entity, {cause} FROM ({entities}) e (entity)"
    )


def applied(admin: psycopg.Connection[Any]) -> list[str]:
    return [row[0] for row in admin.execute("SELECT left(entity_id, 20) FROM probe.applied ORDER BY seq")]


def window(admin: psycopg.Connection[Any]) -> tuple[Any, ...] | None:
    return admin.execute("""
        SELECT cur IS NOT NULL, window_rows, window_left, window_widest FROM headrace.stream_cursor WHERE stream = 'items'
    """).fetchone()


def test_changes_that_together_are_larger_than_any_value_are_applied_in_small_batches(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    log(admin, "SELECT n::text FROM generate_series(1, 16) n", f"repeat('x', {70 * MEGABYTE})")
    log(admin, "SELECT 'after'")
    assert asyncio.run(drain(database)).dead_letters == 0
    assert applied(admin) == [*map(str, range(1, 17)), "after"]


def test_a_batch_holds_64_megabytes_or_one_change(admin: psycopg.Connection[Any]) -> None:
    log(admin, "SELECT n::text FROM generate_series(1, 4) n", f"repeat('x', {30 * MEGABYTE})")
    log(admin, "SELECT 'wide'", f"repeat('x', {90 * MEGABYTE})")
    log(admin, "SELECT n::text FROM generate_series(5, 8) n")
    batches = []
    while (window(admin) or [False])[0] or not batches:
        row = admin.execute("SELECT changes FROM headrace.stream_step('items', 0, 2500)").fetchone()
        batches.append(row and (row[0], *(window(admin) or ())[1:3]))
    assert batches == [(2, 9, 7), (2, 9, 5), (1, 9, 4), (4, None, None)]
    assert applied(admin) == ["1", "2", "3", "4", "wide", "5", "6", "7", "8"]


def test_a_bulk_of_wide_changes_is_read_by_position_and_cut_alike(admin: psycopg.Connection[Any]) -> None:
    log(admin, "SELECT n::text FROM generate_series(1, 50) n", f"repeat('x', {10 * MEGABYTE})")
    batches = []
    while sum(batches) < 50:
        row = admin.execute("SELECT changes FROM headrace.stream_step('items', 0, 10)").fetchone()
        batches.append(row[0] if row else 0)
    assert batches == [6] * 8 + [2]
    assert applied(admin) == [str(n) for n in range(1, 51)]


def test_narrow_changes_are_not_measured_batch_by_batch(admin: psycopg.Connection[Any]) -> None:
    log(admin, "SELECT n::text FROM generate_series(1, 30) n")
    assert admin.execute("SELECT changes FROM headrace.stream_step('items', 0, 10)").fetchone() == (10,)
    assert window(admin) == (True, 30, 20, 102)


def test_a_change_that_is_too_wide_for_anybody_is_put_aside_cut(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    log(admin, f"SELECT 'before' UNION ALL SELECT repeat('k', {140 * MEGABYTE}) UNION ALL SELECT 'after'")
    asyncio.run(drain(database))
    assert applied(admin) == ["before", "after"]
    ((code, error, entity, change, attempts),) = admin.execute(
        "SELECT error_code, error, entity_id, (change).entity_id, attempts FROM headrace.dead_letter"
    ).fetchall()
    assert (code, entity, change, attempts) == ("P0H01", "k" * 200, "k" * 200, 1)
    assert error.startswith("the change takes 140000100 bytes, more than can be handed on")
    # A change that was cut cannot be applied, whoever tries.
    assert admin.execute("SELECT applied, failed FROM headrace.dead_letter_retry()").fetchone() == (0, 1)
    assert applied(admin) == ["before", "after"]


def test_a_key_longer_than_an_index_entry_can_be_a_dead_letter_and_holds_its_later_changes(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    admin.execute("UPDATE headrace.stream SET ordered = true WHERE stream = 'items'")
    key = "".join(
        row[0] for row in admin.execute("SELECT md5(n::text) FROM generate_series(1, 300) n").fetchall()
    )
    admin.execute("ALTER TABLE probe.poison DROP CONSTRAINT poison_pkey")
    admin.execute("INSERT INTO probe.poison VALUES (%s)", [key])
    log(admin, f"SELECT '{key}'")
    log(admin, "SELECT 'other'")
    assert asyncio.run(drain(database)).dead_letters == 1
    log(admin, f"SELECT '{key}'")
    asyncio.run(drain(database))
    assert admin.execute("SELECT status FROM headrace.dead_letter ORDER BY pos").fetchall() == [
        ("failed",),
        ("waiting",),
    ]
    assert applied(admin) == ["other"]
    listed = CliRunner(env={"HEADRACE_DATABASE_URL": database}).invoke(
        main, ["dead-letters", "list", "--json"]
    )
    assert key not in listed.output
    assert key[:200] in listed.output


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("53200", "out of memory"),
        ("54000", "requested length too large"),
        ("XX000", "invalid memory alloc request size 1090519040"),
    ],
)
def test_a_change_that_nobody_has_memory_for_ends_as_its_dead_letter(
    code: str, message: str, database: str, admin: psycopg.Connection[Any]
) -> None:
    admin.execute(f"""
        CREATE FUNCTION probe.no_memory() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION '{message}' USING ERRCODE = '{code}'; END $$;
        CREATE TRIGGER no_memory BEFORE INSERT ON probe.applied
            FOR EACH ROW WHEN (NEW.entity_id = '17') EXECUTE FUNCTION probe.no_memory();
    """)
    log(admin, "SELECT n::text FROM generate_series(1, 100) n")
    assert asyncio.run(drain(database)).dead_letters == 1
    assert admin.execute("SELECT entity_id, error_code, error FROM headrace.dead_letter").fetchall() == [
        ("17", code, message)
    ]
    assert len(applied(admin)) == 99
    row = admin.execute("SELECT headrace.is_data_error(%s, %s)", [code, message]).fetchone()
    assert row == (is_data_error(code, message),) == (True,)


def test_another_internal_error_is_no_error_of_the_data(admin: psycopg.Connection[Any]) -> None:
    for message in ("could not open relation with OID 1", "", None):
        row = admin.execute("SELECT headrace.is_data_error('XX000', %s)", [message]).fetchone()
        assert row == (is_data_error("XX000", message),) == (False,)


def test_many_dead_letters_are_tried_again_in_portions(database: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute("INSERT INTO probe.poison SELECT n::text FROM generate_series(1, 1200) n")
    admin.execute("""
        INSERT INTO headrace.dead_letter (stream, shard, change, pos, entity_id, error_code, error)
        SELECT 'items', 0, ROW(n, '3', now(), 'items', 'D', n::text, NULL, NULL, NULL)::headrace.change_log, n, n::text, '22000', 'poison'
        FROM generate_series(1, 1200) n
    """)
    admin.execute("DELETE FROM probe.poison WHERE entity_id <> '1150'")
    ((done, failed, rest),) = admin.execute("SELECT * FROM headrace.dead_letter_retry()").fetchall()
    assert 0 < done <= 1000
    assert (failed, len(rest)) == (0, 1200 - done)
    letters = admin.execute("SELECT id FROM headrace.dead_letter ORDER BY pos").fetchall()
    assert rest == [letter for (letter,) in letters]
    told = CliRunner(env={"HEADRACE_DATABASE_URL": database}).invoke(main, ["dead-letters", "retry"])
    assert (told.exit_code, told.output) == (1, f"{1199 - done} applied, 1 failed again\n")
    assert applied(admin) == [str(n) for n in range(1, 1201) if n != 1150]
