"""The SQL files: their headers, their names, the order they are applied in, and how scripts are split into statements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from orchestration.database.sql_files import (
    RUN_BY_PYTHON,
    SqlObject,
    in_dependency_order,
    load_objects,
    split_statements,
    sql_file_names,
)
from orchestration.install.contract import read_contract

REPOSITORY = Path(__file__).resolve().parents[2]
ROOT = REPOSITORY / "dbt_like_sql"
DUMP = ROOT / "schema.sql"
# Written by a database, not by hand.
FILES = sorted(
    [*(path for path in ROOT.rglob("*.sql") if path != DUMP), *(REPOSITORY / "orchestration").rglob("*.sql")]
)
HEADER = ["purpose", "grain", "reads", "writes", "locks"]
DOMAINS = ["engine", *read_contract()]


def relative(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


# --- headers and names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_begins_with_what_it_is_for_its_grain_and_what_it_reads_writes_and_locks(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for name, line in zip(HEADER, lines, strict=False):
        assert re.match(rf"-- {name}: +\S", line), line


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_reads_the_same_in_every_encoding_and_by_every_reading_of_literals(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.isascii(), "a database in LATIN1 or EUC_JP has other characters"
    # An E'...' means the same whatever standard_conforming_strings is; a body is parsed in its caller's session.
    tokens = re.findall(r"--.*|\b[Ee]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'", text)
    plain = [token for token in tokens if token.startswith("'")]
    assert [literal for literal in plain if "\\" in literal] == []


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parent.name not in ("versions", "demo")], ids=relative
)
def test_a_file_makes_the_one_object_of_its_name(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    made = re.findall(
        r"^\s*CREATE (?:OR REPLACE )?(?:VIEW|FUNCTION|TYPE) headrace\.(\w+)", text, re.MULTILINE
    )
    called = re.findall(r"^SELECT headrace\.(\w+)\(", text, re.MULTILINE)
    match path.parent.name:
        case "capture":
            if path.parent.parent.name == "engine":
                assert made == [path.stem]
            else:
                assert called == ["capture_spec"]
                assert f"regclass('{path.stem}')" in text
        case "streams" if called:
            assert called == ["register_stream"]
            assert f"'{path.stem}'" in text
        case folder if path.stem == "grants" or folder in RUN_BY_PYTHON:
            assert made == []
        case _:
            assert made == [path.stem]


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_changes_case_by_no_language(path: Path) -> None:
    calls = re.findall(
        r"\b(?:upper|lower|initcap)\([^\n]*", re.sub(r"--.*", "", path.read_text(encoding="utf-8"))
    )
    assert [call for call in calls if 'COLLATE "C")' not in call] == [], "in Turkish, insert is İNSERT"


def test_names_are_unique_over_all_domains_but_for_grants() -> None:
    names = [name for domain in DOMAINS for name in sql_file_names(domain, "")]
    twice = {name for name in names if names.count(name) > 1}
    streams_and_captures = {
        name for domain in DOMAINS for kind in ("streams", "capture") for name in sql_file_names(domain, kind)
    }
    assert twice - streams_and_captures <= {"grants"}


def test_every_view_function_type_and_trigger_of_a_migrated_database_has_a_file_of_its_name(
    database: str,
) -> None:
    files = {name for domain in DOMAINS for name in sql_file_names(domain, "")}
    captured = {name for domain in read_contract() for name in sql_file_names(domain, "capture")}
    with psycopg.connect(database) as connection:
        made = connection.execute("""
            SELECT proname FROM pg_proc
            WHERE pronamespace = 'headrace'::regnamespace AND prorettype <> 'trigger'::regtype
            UNION ALL SELECT relname FROM pg_class WHERE relnamespace = 'headrace'::regnamespace AND relkind IN ('v', 'm', 'c')
        """).fetchall()
        generated = connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'headrace'::regnamespace"
            " AND prorettype = 'trigger'::regtype"
        ).fetchall()
        triggers = connection.execute(
            "SELECT tgrelid::regclass::text, tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
            " WHERE pronamespace = 'headrace'::regnamespace"
        ).fetchall()
    operations = ("insert", "update", "delete", "truncate")
    assert {name for (name,) in made} <= files
    assert {name for (name,) in generated} - files == {
        f"capture_{table}_{op}" for table in captured for op in operations
    }
    assert set(triggers) == {(table, f"!headrace_{op}") for table in captured for op in operations}


def test_every_file_of_a_function_or_view_is_in_a_migrated_database(database: str) -> None:
    elsewhere = ("streams", "capture")
    files = {name for domain in DOMAINS for name in sql_file_names(domain, "")} - {"grants"}
    files -= {
        name for domain in read_contract() for kind in elsewhere for name in sql_file_names(domain, kind)
    } - {"campaign_stats"}
    with psycopg.connect(database) as connection:
        made = connection.execute("""
            SELECT proname FROM pg_proc WHERE pronamespace = 'headrace'::regnamespace
            UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'headrace'::regnamespace
        """).fetchall()
    assert files <= {name for (name,) in made}


def test_every_function_passes_the_servers_check_once_everything_is_there(database: str) -> None:
    """Migrations create functions unchecked and in any order: here each is created again, with everything it names in place."""
    with psycopg.connect(database, autocommit=True) as connection:
        made = connection.execute(
            "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'headrace'::regnamespace"
        ).fetchall()
        assert len(made) > 40
        connection.execute("SET check_function_bodies = on")
        for (definition,) in made:
            connection.execute(definition)


def test_whatever_of_ours_a_function_mentions_exists(database: str) -> None:
    """The server checks the statements of a PL/pgSQL function only when they are reached."""
    with psycopg.connect(database) as connection:
        existing = connection.execute("""
            SELECT relname FROM pg_class WHERE relnamespace = 'headrace'::regnamespace
            UNION SELECT proname FROM pg_proc WHERE pronamespace = 'headrace'::regnamespace
            UNION SELECT typname FROM pg_type WHERE typnamespace = 'headrace'::regnamespace
        """).fetchall()
        bodies = connection.execute(
            "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'headrace'::regnamespace"
        ).fetchall()
    # settings, a setting's value, and the beginning of a partition's name
    not_relations = {"cause", "not_readable", "archive", "change_log_"}
    for function, body in bodies:
        mentioned = set(re.findall(r"headrace\.([a-z]\w*)", re.sub(r"--.*", "", body)))
        assert mentioned - not_relations <= {name for (name,) in existing}, function


# --- rendering -----------------------------------------------------------------------------------------------------


def test_files_are_rendered_for_a_schema_with_any_name_and_the_columns_that_are_there() -> None:
    types = {
        "campaigns": {"id": "uuid"},
        "send_queue": {"id": "bigint"},
        "message_status_logs": {},
        "messages": {"context_message_id": "text"},
    }
    seconds = {"reply_window": "1.5", "settle_window": "2.5"}
    objects = load_objects("campaign_stats", """a "b" 'c'""", types, seconds)
    by_name = {(item.kind, item.name): item.sql for item in objects}
    assert 'FROM "a ""b"" \'c\'".campaigns c' in by_name["staging", "stg_campaigns"]
    assert "c.created_at, NULL::timestamptz FROM" in re.sub(r"\s+", " ", by_name["staging", "stg_campaigns"])
    assert "m.context_message_id::text" in by_name["staging", "stg_incoming_messages"]
    assert """'"a ""b"" ''c''"."messages"'""" in by_name["capture", "messages"]
    assert "RETURN 1.5::numeric" in by_name["definitions", "reply_window"]
    assert {name for item in objects for name in item.settings} == set(seconds)
    assert "make_interval(secs => 2.5)" in by_name["lifecycle", "settle_window"]
    assert "::bigint" in by_name["functions", "outcomes_by_message"]
    assert not [name for name, sql in by_name.items() if "{{" in sql or "{%" in sql]


# --- the order they are applied in ---------------------------------------------------------------------------------


def an_object(name: str, sql: str) -> SqlObject:
    return SqlObject(name, "domain", "functions", sql)


def test_an_object_comes_after_those_it_names() -> None:
    first, second, third = (
        an_object("z_first", "SELECT 1"),
        an_object("m_second", "SELECT headrace.z_first(), headrace.not_ours, headrace.m_second()"),
        an_object("a_third", "SELECT FROM headrace.m_second"),
    )
    assert in_dependency_order([third, second, first]) == [first, second, third]
    assert in_dependency_order([first, second, third]) == [first, second, third]


def test_what_only_a_comment_names_is_no_dependency() -> None:
    names = in_dependency_order(
        [an_object("a", "-- reads: headrace.b\nSELECT 1"), an_object("b", "SELECT headrace.a()")]
    )
    assert [item.name for item in names] == ["a", "b"]


def test_the_order_does_not_depend_on_how_files_were_found() -> None:
    independent = [an_object(name, "SELECT 1") for name in "cab"]
    assert [item.name for item in in_dependency_order(independent)] == ["a", "b", "c"]


# --- statements ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        ("", []),
        ("-- only\n-- comments;\n\n", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;\nSELECT 2;\n", ["SELECT 1;", "SELECT 2;"]),
        ("SELECT 1;  \n\nSELECT\n  2\n;\n", ["SELECT 1;", "SELECT\n  2\n;"]),
        ("SELECT 1; SELECT 2;", ["SELECT 1; SELECT 2;"]),
        ("-- says;\nSELECT 1;", ["-- says;\nSELECT 1;"]),
        ("DO $$\nBEGIN;\nEND;\n$$;\nSELECT 2;", ["DO $$\nBEGIN;\nEND;\n$$;", "SELECT 2;"]),
        ("DO $a$\n x;\n $$ y; $$\n z;\n$a$;\nSELECT 2;", ["DO $a$\n x;\n $$ y; $$\n z;\n$a$;", "SELECT 2;"]),
        ("DO $$ BEGIN x; END $$;\nSELECT 2;", ["DO $$ BEGIN x; END $$;", "SELECT 2;"]),
        ("SELECT 1;\n-- the end;", ["SELECT 1;"]),
    ],
)
def test_a_script_is_cut_at_the_ends_of_its_statements(script: str, statements: list[str]) -> None:
    assert split_statements(script) == statements


def migrations() -> Iterator[Path]:
    yield from sorted((ROOT / "migrations" / "versions").glob("*.sql"))


@pytest.mark.parametrize("path", migrations(), ids=relative)
def test_a_migration_loses_nothing_when_it_is_cut(path: Path) -> None:
    script = path.read_text(encoding="utf-8")
    statements = split_statements(script)
    assert len(statements) > 1
    assert "".join("".join(statements).split()) == "".join(script.split())
    assert all(statement.endswith(";") for statement in statements)
