"""What doctor prints really fixes a database, and it judges indexes as the server does."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from orchestration.database.connections import engine
from orchestration.errors import Problem
from orchestration.install.contract import check_contract, read_catalog, read_contract
from orchestration.install.doctor import diagnose
from orchestration.install.migrate import migrate
from orchestration.settings import Settings


def contract_problems(url: str) -> list[Problem]:
    database = engine(url)
    with database.connect() as connection:
        return check_contract(read_contract().values(), read_catalog(connection, "public"), "public")


def mend(url: str) -> int:
    """Does what is printed until nothing more is; returns the number of rounds."""
    for rounds in range(10):
        found = contract_problems(url)
        if not found:
            return rounds
        with psycopg.connect(url, autocommit=True) as connection:
            for problem in found:
                connection.execute(problem.remedy.encode())
    raise AssertionError(f"still wrong after ten rounds: {found}")


def test_a_schema_made_only_of_remedies_migrates(
    new_database: Callable[[str | None], str], settings: Settings
) -> None:
    url = new_database(None)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE send_queue ()")
    assert mend(url) == 2  # columns and tables first, then the indexes on them
    assert migrate(url, settings).domains == ("campaign_stats",)
    assert diagnose(url, settings).errors == ()


BROKEN = {
    "a table is missing": "DROP TABLE campaign_contacts",
    "a column is missing": "ALTER TABLE send_queue DROP COLUMN sent_at",
    "an index is missing": "DROP INDEX send_queue_conversation",
    "an index is on other columns": "DROP INDEX messages_incoming; CREATE INDEX ON messages (user_phone, created_at)",
    "the partial index is for others": "DROP INDEX messages_incoming;"
    " CREATE INDEX ON messages (user_phone, whatsapp_number_id, created_at) WHERE direction = 'outgoing'",
    "an optional column came without index": "DROP INDEX messages_reference",
    "ids are integers": "DROP TABLE message_status_logs; CREATE TABLE message_status_logs"
    " (id serial PRIMARY KEY, whatsapp_message_id text, status text, created_at timestamptz)",
    "times are without zone": "ALTER TABLE messages ALTER created_at TYPE timestamp USING created_at AT TIME ZONE 'UTC'",
    "a status is an enum": "CREATE TYPE logged AS ENUM ('sent', 'read');"
    " ALTER TABLE message_status_logs ALTER status DROP DEFAULT, ALTER status TYPE logged USING status::logged",
    "the campaign's id is text": "ALTER TABLE campaign_contacts DROP CONSTRAINT campaign_contacts_campaign_id_fkey,"
    " ALTER campaign_id TYPE varchar(36)",
    "the queue is partitioned and has no index": "DROP TABLE send_queue; CREATE TABLE send_queue (id uuid, campaign_id uuid,"
    " user_phone text, whatsapp_number_id text, template_name text, status text, whatsapp_message_id text,"
    " sent_at timestamptz, created_at timestamptz) PARTITION BY RANGE (created_at)",
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN.keys())
def test_each_remedy_mends_what_it_is_printed_for(change: str, app_database: str) -> None:
    with psycopg.connect(app_database, autocommit=True) as connection:
        connection.execute(change.encode())
    assert mend(app_database) >= 1


SERVING = {
    "with a further column": "CREATE INDEX ON send_queue (user_phone, whatsapp_number_id, coalesce(sent_at, created_at), id, status)",
    "descending": "CREATE INDEX ON send_queue"
    " (user_phone DESC, whatsapp_number_id DESC, coalesce(sent_at, created_at) DESC, id DESC)",
    "with included columns": "CREATE INDEX ON send_queue"
    " (user_phone, whatsapp_number_id, coalesce(sent_at, created_at), id) INCLUDE (status)",
    "on varchar": "ALTER TABLE send_queue ALTER user_phone TYPE varchar(40), ALTER whatsapp_number_id TYPE varchar;"
    " CREATE INDEX ON send_queue (user_phone, whatsapp_number_id, coalesce(sent_at, created_at), id)",
    "on rounded times": "ALTER TABLE send_queue ALTER sent_at TYPE timestamptz(3), ALTER created_at TYPE timestamptz(6);"
    " CREATE INDEX ON send_queue (user_phone, whatsapp_number_id, coalesce(sent_at, created_at), id)",
}


@pytest.mark.parametrize("change", SERVING.values(), ids=SERVING.keys())
def test_the_servers_spelling_of_a_serving_index_is_understood(change: str, app_database: str) -> None:
    with psycopg.connect(app_database, autocommit=True) as connection:
        connection.execute("DROP INDEX send_queue_conversation")
        assert len(contract_problems(app_database)) == 1
        connection.execute(change.encode())
    assert contract_problems(app_database) == []


@pytest.mark.parametrize(
    "create",
    [
        "CREATE INDEX ON messages (user_phone, whatsapp_number_id, created_at)",
        "CREATE INDEX ON messages (user_phone, whatsapp_number_id, created_at) WHERE direction IN ('incoming')",
        "CREATE INDEX ON messages (user_phone, whatsapp_number_id, created_at) WHERE (direction)::varchar = 'incoming'::varchar",
        "ALTER TABLE messages ALTER direction TYPE varchar(10);"
        " CREATE INDEX ON messages (user_phone, whatsapp_number_id, created_at) WHERE direction = 'incoming'",
    ],
)
def test_the_servers_spelling_of_a_partial_index_is_understood(create: str, app_database: str) -> None:
    with psycopg.connect(app_database, autocommit=True) as connection:
        connection.execute("DROP INDEX messages_incoming")
        connection.execute(create.encode())
    assert contract_problems(app_database) == []


def test_a_hash_index_serves_a_single_column(app_database: str) -> None:
    with psycopg.connect(app_database, autocommit=True) as connection:
        connection.execute(
            "DROP INDEX send_queue_message; CREATE INDEX ON send_queue USING hash (whatsapp_message_id)"
        )
    assert contract_problems(app_database) == []


def test_an_index_whose_building_failed_does_not_count(app_database: str) -> None:
    with psycopg.connect(app_database, autocommit=True) as connection:
        connection.execute("DROP INDEX message_status_logs_message")
        connection.execute(
            "INSERT INTO message_status_logs (whatsapp_message_id) VALUES ('twice'), ('twice')"
        )
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(
                "CREATE UNIQUE INDEX CONCURRENTLY failed ON message_status_logs (whatsapp_message_id)"
            )
        row = connection.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'failed'::regclass"
        ).fetchone()
        assert row == (False,)
    (problem,) = contract_problems(app_database)
    assert problem.what.startswith("table message_status_logs lacks an index on (whatsapp_message_id)")
