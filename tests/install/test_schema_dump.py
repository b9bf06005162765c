"""The committed dump of schema headrace equals what migrations and SQL files make; so every change shows up in review."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import psycopg
import pytest

from orchestration.local.wheel import MAJOR
from tests.schema_dump import normal, schema_dump

COMMITTED = Path(__file__).resolve().parents[2] / "dbt_like_sql" / "schema.sql"
RENEW = "HEADRACE_RENEW_SCHEMA"


def test_the_committed_dump_is_what_migrate_makes(database: str) -> None:
    with psycopg.connect(database) as connection:
        if connection.info.server_version // 10000 != MAJOR:
            pytest.skip(f"the dump is that of PostgreSQL {MAJOR}")
    made = schema_dump(database)
    if os.environ.get(RENEW):
        COMMITTED.write_text(made, encoding="utf-8")
    difference = difflib.unified_diff(
        COMMITTED.read_text(encoding="utf-8").splitlines(),
        made.splitlines(),
        "dbt_like_sql/schema.sql",
        "migrated",
        lineterm="",
    )
    shown = "\n".join(list(difference)[:60])
    assert not shown, f"if this is meant: {RENEW}=1 pytest tests/install/{Path(__file__).name}\n{shown}"


def test_a_dump_bears_no_dates_versions_or_keys(database: str) -> None:
    made = schema_dump(database)
    assert "CREATE TABLE headrace.change_log (" in made
    assert "change_log_2" not in made
    assert "Dumped" not in made
    assert "restrict " not in made


def test_only_what_stands_between_objects_is_left_out() -> None:
    dumped = (
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n-- Dumped from database version 18.4\n\nSET x = 1;\n\n"
        "CREATE FUNCTION f() AS $$\n--\nSET y = 2;   \n$$;\n\n\\unrestrict abc\n"
    )
    assert normal(dumped) == "-- PostgreSQL database dump\n\nCREATE FUNCTION f() AS $$\n--\nSET y = 2;\n$$;\n"
