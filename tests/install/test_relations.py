"""Tables and columns that are not what they seem: doctor and migrate refuse them with a remedy, or they are counted right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from orchestration.database.connections import engine
from orchestration.engine.stream import drain
from orchestration.errors import HeadraceError, Problem
from orchestration.install.contract import advise, check_contract, read_catalog, read_contract
from orchestration.install.migrate import migrate
from orchestration.settings import Settings
from tests.campaign_stats.oracle import assert_all_agree
from tests.rows import a_history
from tests.sessions import open_transaction

NEW_VIRTUAL = 180000  # the first server whose generated columns are virtual unless told otherwise


@pytest.fixture
def app(app_database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(app_database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def problems(app_database: str) -> Callable[[], list[Problem]]:
    def read() -> list[Problem]:
        database = engine(app_database)
        with database.connect() as connection:
            found = check_contract(read_contract().values(), read_catalog(connection, "public"), "public")
        database.dispose()
        return found

    return read


def assert_counts_right(url: str, app: psycopg.Connection[Any], settings: Settings) -> None:
    migrate(url, settings)
    a_history(app)
    asyncio.run(drain(url))
    assert_all_agree(app)
    replied = app.execute(
        "SELECT sum(replied), sum(delivered) FROM headrace.campaign_template_stats"
    ).fetchone()
    assert replied is not None
    assert all(replied)


def mend(app: psycopg.Connection[Any], problems: Callable[[], list[Problem]]) -> list[str]:
    """Does what is printed until nothing more is; returns what was wrong at first."""
    first = found = problems()
    for _ in range(3):
        for problem in found:
            app.execute(problem.remedy.encode())
        found = problems()
        if not found:
            break
    assert found == []
    return [problem.what for problem in first]


# --- collations -----------------------------------------------------------------------------------------------------


def test_two_collations_that_are_compared_are_refused_and_the_printed_statement_mends_it(
    app: psycopg.Connection[Any], problems: Callable[[], list[Problem]], app_database: str, settings: Settings
) -> None:
    app.execute(
        'ALTER TABLE send_queue ALTER whatsapp_message_id TYPE text COLLATE "C";'
        ' ALTER TABLE message_status_logs ALTER whatsapp_message_id TYPE text COLLATE "POSIX"'
    )
    with pytest.raises(HeadraceError, match="which it is compared with"):
        migrate(app_database, settings)
    assert mend(app, problems) == [
        f"the collation {now} of column whatsapp_message_id of table {table} differs from that of messages.context_message_id, "
        "messages.whatsapp_message_id, which it is compared with; see dbt_like_sql/sources.yml"
        for now, table in (('pg_catalog."C"', "send_queue"), ('pg_catalog."POSIX"', "message_status_logs"))
    ]
    assert_counts_right(app_database, app, settings)


def test_one_collation_of_its_own_for_every_text_counts_as_any_other(
    app: psycopg.Connection[Any], problems: Callable[[], list[Problem]], app_database: str, settings: Settings
) -> None:
    columns = app.execute(
        "SELECT a.attrelid::regclass::text, quote_ident(a.attname) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.atttypid = 'text'::regtype AND a.attnum > 0"
    )
    for table, column in columns.fetchall():
        app.execute(f'ALTER TABLE {table} ALTER {column} TYPE text COLLATE "C"'.encode())
    assert problems() == []
    assert_counts_right(app_database, app, settings)


def test_a_collation_that_takes_different_texts_for_equal_is_refused_where_texts_are_compared(
    app: psycopg.Connection[Any], problems: Callable[[], list[Problem]], app_database: str, settings: Settings
) -> None:
    try:
        app.execute(
            "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        )
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("the server was built without ICU")
    for table, column in (
        ("campaigns", "name"),
        ("message_status_logs", "status"),
        ("send_queue", "user_phone"),
    ):
        app.execute(f"ALTER TABLE {table} ALTER {column} TYPE text COLLATE loose".encode())
    assert [what.split(";")[0] for what in mend(app, problems)] == [
        f"the collation public.loose of column {column} of table {table} takes different texts for equal"
        for table, column in (("send_queue", "user_phone"), ("message_status_logs", "status"))
    ]
    assert_counts_right(app_database, app, settings)


# --- types ----------------------------------------------------------------------------------------------------------


def test_a_domain_is_named_as_one_and_mended(
    app: psycopg.Connection[Any], problems: Callable[[], list[Problem]], app_database: str, settings: Settings
) -> None:
    app.execute(
        "CREATE DOMAIN phone AS text CHECK (VALUE <> ''); ALTER TABLE messages ALTER user_phone TYPE phone;"
        " CREATE TYPE way AS ENUM ('incoming', 'outgoing'); DROP INDEX messages_incoming;"
        " ALTER TABLE messages DROP CONSTRAINT IF EXISTS messages_direction_check, ALTER direction TYPE way USING direction::way"
    )
    whats = mend(app, problems)
    assert [what.split(",")[0].replace("public.", "") for what in whats] == [
        "column user_phone of table messages is the domain phone over text",
        "column direction of table messages is way",
    ]
    assert_counts_right(app_database, app, settings)


def test_generated_columns_count_where_they_are_stored_and_virtual_ones_are_refused(
    app: psycopg.Connection[Any], problems: Callable[[], list[Problem]], app_database: str, settings: Settings
) -> None:
    new = app.info.server_version >= NEW_VIRTUAL
    app.execute("ALTER TABLE send_queue ADD payload jsonb, DROP template_name")
    app.execute(
        "ALTER TABLE send_queue ADD template_name text GENERATED ALWAYS AS (payload ->> 'template')"
        + ("" if new else " STORED")
    )
    if new:
        with pytest.raises(HeadraceError, match="it must be stored"):
            migrate(app_database, settings)
    assert (
        mend(app, problems)
        == [
            "column template_name of table send_queue is generated and virtual: no trigger sees it change; it must be stored"
        ]
        * new
    )
    migrate(app_database, settings)
    app.execute("INSERT INTO campaigns (name, status) VALUES ('c', 'running')")
    app.execute(
        "INSERT INTO send_queue (campaign_id, payload, status)"
        " SELECT id, '{\"template\": \"a\"}', 'sent' FROM campaigns, generate_series(1, 3)"
    )
    asyncio.run(drain(app_database))
    app.execute('UPDATE send_queue SET payload = \'{"template": "b"}\'')
    asyncio.run(drain(app_database))
    counted = app.execute("SELECT template_name, total FROM headrace.campaign_template_stats").fetchall()
    assert counted == [("b", 3)]


def test_identity_columns_count_as_any_other(
    app: psycopg.Connection[Any], problems: Callable[[], list[Problem]], app_database: str, settings: Settings
) -> None:
    app.execute(
        "ALTER TABLE message_status_logs DROP COLUMN id, ADD id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;"
        " ALTER TABLE messages DROP COLUMN id, ADD id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"
    )
    assert problems() == []
    assert_counts_right(app_database, app, settings)


# --- what bears a table's name --------------------------------------------------------------------------------------

SEEMING = {
    "a view": (
        "ALTER TABLE messages RENAME TO every_message; CREATE VIEW messages AS SELECT * FROM every_message",
        "messages in schema public is a view, but must be a table: triggers see no change of a view's rows",
    ),
    "a materialized view": (
        "ALTER TABLE messages RENAME TO every_message; CREATE MATERIALIZED VIEW messages AS SELECT * FROM every_message",
        "messages in schema public is a materialized view, but must be a table: triggers see no change of a view's rows",
    ),
    "a foreign table": (
        "CREATE FOREIGN DATA WRAPPER far; CREATE SERVER far FOREIGN DATA WRAPPER far; DROP TABLE messages;"
        " CREATE FOREIGN TABLE messages (id uuid) SERVER far",
        "messages in schema public is a foreign table: no trigger sees what its own server changes",
    ),
    "a partition": (
        "CREATE TABLE every_message (LIKE messages) PARTITION BY LIST (direction);"
        " ALTER TABLE every_message ATTACH PARTITION messages DEFAULT",
        "table messages is a partition of public.every_message: rows that are written by that name are not seen",
    ),
    "a child": (
        "CREATE TABLE every_message (id uuid NOT NULL); ALTER TABLE messages INHERIT every_message",
        "table messages inherits from public.every_message: rows that are changed by that name are not seen",
    ),
    "a parent": (
        "CREATE TABLE some_messages () INHERITS (messages)",
        "rows of public.some_messages are read as those of table messages, from which it inherits, but their changes are not seen",
    ),
    "a partition on another server": (
        "CREATE FOREIGN DATA WRAPPER far; CREATE SERVER far FOREIGN DATA WRAPPER far; DROP TABLE campaign_contacts;"
        " CREATE TABLE campaign_contacts (campaign_id uuid, template_name text) PARTITION BY LIST (campaign_id);"
        " CREATE INDEX ON campaign_contacts (campaign_id);"
        " CREATE FOREIGN TABLE far_contacts PARTITION OF campaign_contacts DEFAULT SERVER far",
        "table campaign_contacts has partitions on another server, whose own changes are not seen: public.far_contacts",
    ),
}


@pytest.mark.parametrize(("change", "what"), SEEMING.values(), ids=SEEMING.keys())
def test_what_is_no_table_of_its_own_is_refused_with_what_mends_it(
    change: str,
    what: str,
    app: psycopg.Connection[Any],
    problems: Callable[[], list[Problem]],
    app_database: str,
    settings: Settings,
) -> None:
    app.execute(change.encode())
    (problem,) = problems()
    assert problem.what == what
    with pytest.raises(
        HeadraceError, match="the database does not fit what Headrace reads; nothing was changed"
    ):
        migrate(app_database, settings)
    if problem.remedy.startswith("ALTER TABLE"):
        assert mend(app, problems) == [what]


def test_unlogged_tables_are_noted_and_the_printed_statement_mends_it(
    app: psycopg.Connection[Any], app_database: str
) -> None:
    app.execute("ALTER TABLE message_status_logs SET UNLOGGED")
    database = engine(app_database)
    with database.connect() as connection:
        (note,) = advise(read_contract().values(), read_catalog(connection, "public"), "public")
    assert (
        note.what
        == "unlogged, and so emptied by a crash of the server without any trigger: public.message_status_logs"
    )
    app.execute(note.remedy.encode())
    with database.connect() as connection:
        assert advise(read_contract().values(), read_catalog(connection, "public"), "public") == []
    database.dispose()


def test_types_are_read_whatever_strings_conform_to(
    app: psycopg.Connection[Any], problems: Callable[[], list[Problem]]
) -> None:
    name = app.info.dbname
    app.execute(f"ALTER DATABASE {name} SET standard_conforming_strings = off".encode())
    assert problems() == []


def test_partitions_are_looked_at_without_a_lock(
    app: psycopg.Connection[Any], problems: Callable[[], list[Problem]], app_database: str
) -> None:
    app.execute(
        "DROP TABLE campaign_contacts;"
        " CREATE TABLE campaign_contacts (campaign_id uuid, template_name text) PARTITION BY HASH (campaign_id);"
        " CREATE INDEX ON campaign_contacts (campaign_id);"
        " CREATE TABLE part PARTITION OF campaign_contacts FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
    )
    with open_transaction(app_database, "LOCK TABLE part IN ACCESS EXCLUSIVE MODE"):
        assert problems() == []
