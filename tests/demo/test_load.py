"""The example's tables and rows: exact counts, the same every time, and untidy as promised."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from orchestration.database.connections import connected
from orchestration.demo.campaign_stats.load import COLUMNS, LoadedCampaign, campaign_id, create_schema, load
from orchestration.errors import HeadraceError
from tests.databases import with_database

NOW = datetime(2026, 3, 15, tzinfo=UTC)
TABLES = tuple(COLUMNS)


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode()).fetchall()


def number(url: str, statement: str) -> int:
    return int(rows(url, statement)[0][0])


def contents(url: str) -> dict[str, str]:
    """A hash over every row of every table, including generated ids."""
    with psycopg.connect(url) as connection:
        return {
            table: connection.execute(
                sql.SQL(
                    "SELECT md5(string_agg(t::text, '|' ORDER BY t::text COLLATE \"C\")) FROM {} AS t"
                ).format(sql.Identifier("public", table))
            ).fetchall()[0][0]
            for table in TABLES
        }


@pytest.fixture(scope="module")
def loaded(server_url: str) -> Iterator[str]:
    """URL of a database with three small campaigns; only for reading."""
    name = f"demo_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        url = with_database(server_url, name)
        create_schema(url, "public")
        load(url, "public", 3, seed=1, now=NOW, scale=0.1)
        yield url
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_a_campaign_has_the_promised_number_of_rows_to_the_row(example: str) -> None:
    report = load(example, "public", 1, seed=1, now=NOW)

    promised = {
        "send_queue": 50_857,
        "message_status_logs": 121_679,
        "messages": 49_694,
        "campaign_contacts": 50_857,
    }
    assert report.campaigns[0].rows == promised
    assert report.total == sum(promised.values())
    assert {table: number(example, f"SELECT count(*) FROM {table}") for table in promised} == promised
    assert number(example, "SELECT count(*) FROM campaigns") == 1
    assert number(example, "SELECT count(*) FROM send_queue WHERE campaign_id IS NULL") == 0


@pytest.mark.parametrize("scale", [0.002, 0.0137])
def test_small_campaigns_have_their_exact_share_of_rows(example: str, scale: float) -> None:
    report = load(example, "public", 5, seed=3, now=NOW, scale=scale)

    for campaign in report.campaigns:
        assert campaign.rows == {
            "send_queue": round(50_857 * scale),
            "message_status_logs": round(121_679 * scale),
            "messages": round(49_694 * scale),
            "campaign_contacts": round(50_857 * scale),
        }


def test_the_same_seed_gives_the_same_rows_in_another_database(empty_database: Callable[[], str]) -> None:
    first, second, other = empty_database(), empty_database(), empty_database()
    for url, seed in ((first, 7), (second, 7), (other, 8)):
        create_schema(url, "public")
        load(url, "public", 2, seed=seed, now=NOW, scale=0.02)

    assert contents(first) == contents(second)
    assert not set(contents(first).values()) & set(contents(other).values())


def test_how_many_campaigns_are_loaded_does_not_change_the_first_of_them(
    empty_database: Callable[[], str],
) -> None:
    few, many = empty_database(), empty_database()
    for url, campaigns in ((few, 1), (many, 3)):
        create_schema(url, "public")
        load(url, "public", campaigns, seed=7, now=NOW, scale=0.01)

    statement = f"SELECT * FROM send_queue WHERE campaign_id = '{campaign_id(7, 0)}' ORDER BY id"
    assert rows(few, statement) == rows(many, statement)


def test_another_day_moves_the_rows_and_keeps_their_ids(empty_database: Callable[[], str]) -> None:
    today, tomorrow = empty_database(), empty_database()
    for url, now in ((today, NOW), (tomorrow, NOW + timedelta(days=1))):
        create_schema(url, "public")
        load(url, "public", 1, seed=7, now=now, scale=0.01)

    assert rows(today, "SELECT id, created_at + '1 day' FROM send_queue ORDER BY id") == rows(
        tomorrow, "SELECT id, created_at FROM send_queue ORDER BY id"
    )


def test_a_seed_is_not_loaded_twice(example: str) -> None:
    load(example, "public", 2, seed=5, now=NOW, scale=0.01)
    before = contents(example)

    with pytest.raises(HeadraceError, match=r"seed 5 are in schema public already .*another --seed"):
        load(example, "public", 3, seed=5, now=NOW + timedelta(days=1), scale=0.01)

    assert contents(example) == before
    load(example, "public", 1, seed=6, now=NOW, scale=0.01)


def test_campaigns_lie_in_the_ten_days_before_and_in_every_state(example: str) -> None:
    load(example, "public", 12, seed=2, now=NOW, scale=0.002)

    states = {status for (status,) in rows(example, "SELECT status FROM campaigns")}
    created = [stamp for (stamp,) in rows(example, "SELECT created_at FROM campaigns")]
    assert states == {"running", "completed", "paused"}
    assert len({stamp.date() for stamp in created}) >= 6
    assert all(NOW - timedelta(days=10) < stamp < NOW for stamp in created)
    assert (
        number(
            example,
            "SELECT count(*) FROM campaigns WHERE (status = 'completed') <> (completed_at IS NOT NULL)",
        )
        == 0
    )


def test_nothing_lies_after_now(loaded: str) -> None:
    latest = rows(
        loaded,
        "SELECT greatest((SELECT max(completed_at) FROM campaigns), (SELECT max(sent_at) FROM send_queue),"
        " (SELECT max(created_at) FROM message_status_logs), (SELECT max(created_at) FROM messages))",
    )[0][0]
    assert latest < NOW


def test_each_campaign_has_a_few_templates_with_a_funnel(loaded: str) -> None:
    found = rows(
        loaded,
        """
        WITH status AS (
            SELECT whatsapp_message_id,
                   bool_or(status IN ('delivered', 'read', 'played')) AS delivered,
                   bool_or(status IN ('read', 'played')) AS read
            FROM message_status_logs GROUP BY whatsapp_message_id
        )
        SELECT campaign_id, template_name,
               count(*), count(*) FILTER (WHERE delivered), count(*) FILTER (WHERE read)
        FROM send_queue LEFT JOIN status USING (whatsapp_message_id) GROUP BY campaign_id, template_name
        """,
    )
    assert all(total > delivered > read > 0 for _, _, total, delivered, read in found)
    templates = [sum(campaign == row[0] for row in found) for campaign in {row[0] for row in found}]
    assert all(3 <= count <= 6 for count in templates)


# What a campaign has some of, as a query that counts it.
UNTIDY = {
    "statuses that came twice": """
        SELECT count(*) FROM (
            SELECT FROM message_status_logs GROUP BY whatsapp_message_id, status
            HAVING count(*) > 1) AS twice""",
    "statuses read before delivered": """
        SELECT count(*) FROM message_status_logs AS r
        JOIN message_status_logs AS d USING (whatsapp_message_id)
        WHERE r.status = 'read' AND d.status = 'delivered' AND r.created_at < d.created_at AND r.id < d.id""",
    "statuses stored in another order than they happened": """
        SELECT count(*) FROM (
            SELECT created_at < lag(created_at) OVER (ORDER BY id) AS back FROM message_status_logs) AS logs
        WHERE back""",
    "statuses that came days later": """
        SELECT count(*) FROM message_status_logs AS l JOIN send_queue AS q USING (whatsapp_message_id)
        WHERE l.created_at > q.sent_at + interval '2 days'""",
    "messages read that were never delivered": """
        SELECT count(*) FROM (
            SELECT FROM message_status_logs GROUP BY whatsapp_message_id
            HAVING bool_or(status = 'read') AND NOT bool_or(status = 'delivered')) AS skipped""",
    "messages that failed and were delivered after all": """
        SELECT count(*) FROM message_status_logs AS f
        JOIN message_status_logs AS d USING (whatsapp_message_id)
        WHERE f.status = 'failed' AND d.status = 'delivered' AND f.created_at < d.created_at""",
    "messages of which sent came after failed": """
        SELECT count(*) FROM message_status_logs AS f
        JOIN message_status_logs AS s USING (whatsapp_message_id)
        WHERE f.status = 'failed' AND s.status = 'sent' AND f.created_at < s.created_at""",
    "deleted": "SELECT count(*) FROM message_status_logs WHERE status = 'deleted'",
    "warning": "SELECT count(*) FROM message_status_logs WHERE status = 'warning'",
    "played": "SELECT count(*) FROM message_status_logs WHERE status = 'played'",
    "statuses without a message": """
        SELECT count(*) FROM message_status_logs AS l
        WHERE NOT EXISTS (SELECT FROM send_queue AS q WHERE q.whatsapp_message_id = l.whatsapp_message_id)""",
    "statuses that do not name their campaign": """
        SELECT count(*) FROM message_status_logs WHERE campaign_id IS NULL""",
    "failures with an error": """
        SELECT count(*) FROM message_status_logs WHERE status = 'failed' AND errors -> 0 ? 'code'""",
    "queued": "SELECT count(*) FROM send_queue WHERE status = 'queued'",
    "queued, yet delivered": """
        SELECT count(*) FROM send_queue AS q WHERE status = 'queued' AND EXISTS (
            SELECT FROM message_status_logs AS l
            WHERE l.whatsapp_message_id = q.whatsapp_message_id AND l.status = 'delivered')""",
    "failed": "SELECT count(*) FROM send_queue WHERE status = 'failed' AND whatsapp_message_id IS NULL",
    "failed, yet delivered": """
        SELECT count(*) FROM send_queue AS q WHERE status = 'failed' AND EXISTS (
            SELECT FROM message_status_logs AS l
            WHERE l.whatsapp_message_id = q.whatsapp_message_id AND l.status = 'delivered')""",
    "sent at an unknown time": "SELECT count(*) FROM send_queue WHERE status = 'sent' AND sent_at IS NULL",
    "sent under an unknown id": """
        SELECT count(*) FROM send_queue WHERE status = 'sent' AND whatsapp_message_id IS NULL""",
    "people who hear from several campaigns, from one number": """
        SELECT count(*) FROM (
            SELECT FROM send_queue GROUP BY user_phone, whatsapp_number_id
            HAVING count(DISTINCT campaign_id) > 1) AS shared""",
    "people whom one campaign writes twice": """
        SELECT count(*) FROM (
            SELECT FROM send_queue GROUP BY user_phone, campaign_id HAVING count(*) > 1) AS twice""",
    "replies that quote a message": """
        SELECT count(*) FROM messages AS m
        JOIN send_queue AS q ON q.whatsapp_message_id = m.context_message_id
        WHERE m.direction = 'incoming'""",
    "replies that quote what is nobody's": """
        SELECT count(*) FROM messages AS m WHERE context_message_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM message_status_logs AS l WHERE l.whatsapp_message_id = m.context_message_id)""",
    "replies long after the last message": """
        SELECT count(*) FROM messages AS m JOIN LATERAL (
            SELECT max(sent_at) AS last FROM send_queue AS q
            WHERE q.user_phone = m.user_phone AND q.whatsapp_number_id = m.whatsapp_number_id
              AND q.sent_at < m.created_at) AS q ON true
        WHERE m.direction = 'incoming' AND m.created_at > q.last + interval '7 days'""",
    "people who wrote before any message": """
        SELECT count(*) FROM messages AS m WHERE direction = 'incoming'
        AND EXISTS (SELECT FROM send_queue AS q WHERE q.user_phone = m.user_phone)
        AND NOT EXISTS (SELECT FROM send_queue AS q
                        WHERE q.user_phone = m.user_phone
                          AND coalesce(sent_at, q.created_at) < m.created_at)""",
    "strangers who wrote": """
        SELECT count(*) FROM messages AS m WHERE NOT EXISTS (
            SELECT FROM send_queue AS q WHERE q.user_phone = m.user_phone)""",
    "outgoing messages of no campaign": """
        SELECT count(*) FROM messages AS m WHERE direction = 'outgoing' AND NOT EXISTS (
            SELECT FROM send_queue AS q WHERE q.whatsapp_message_id = m.whatsapp_message_id)""",
}


@pytest.mark.parametrize("what", UNTIDY)
def test_among_the_rows_there_are(loaded: str, what: str) -> None:
    assert number(loaded, UNTIDY[what]) > 0


def test_the_example_fits_any_schema_name(empty_database: Callable[[], str]) -> None:
    url, schema = empty_database(), 'my "own" {app}'
    create_schema(url, schema)

    load(url, schema, 1, seed=1, now=NOW, scale=0.01)

    assert number(url, 'SELECT count(*) FROM "my ""own"" {app}".send_queue') == 509


def test_making_the_tables_again_keeps_their_rows(example: str) -> None:
    load(example, "public", 1, seed=1, now=NOW, scale=0.01)
    before = contents(example)

    create_schema(example, "public")

    assert contents(example) == before


def test_tables_of_another_application_are_not_taken_for_the_example(
    empty_database: Callable[[], str],
) -> None:
    url = empty_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE send_queue (id integer)")

    with pytest.raises(HeadraceError, match=r"cannot be made in schema public .*HEADRACE_SOURCE_SCHEMA"):
        create_schema(url, "public")

    assert number(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 1


def test_without_tables_the_user_is_told_to_make_them(empty_database: Callable[[], str]) -> None:
    with pytest.raises(HeadraceError, match=r"not in schema public .*`headrace demo schema`"):
        load(empty_database(), "public", 1, seed=1, now=NOW, scale=0.01)


def test_a_campaign_is_loaded_whole_or_not_at_all(example: str) -> None:
    with psycopg.connect(example) as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'no more of these'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON message_status_logs FOR EACH ROW"
            f" WHEN (new.campaign_id = '{campaign_id(1, 1)}') EXECUTE FUNCTION refuse()"
        )
    told: list[LoadedCampaign] = []

    with pytest.raises(HeadraceError, match=r"stopped after 1 of 3 campaigns \(no more of these\)"):
        load(example, "public", 3, seed=1, now=NOW, scale=0.01, on_campaign=told.append)

    assert [campaign.id for campaign in told] == [campaign_id(1, 0)]
    assert rows(example, "SELECT id FROM campaigns") == [(campaign_id(1, 0),)]
    assert number(example, "SELECT count(DISTINCT campaign_id) FROM send_queue") == 1


def test_a_day_without_time_zone_is_refused(example: str) -> None:
    with pytest.raises(ValueError, match="time zone"):
        load(example, "public", 1, seed=1, now=datetime(2026, 3, 15), scale=0.01)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:secret@127.0.0.1:1/app",
        "postgresql://someone:sec ret@127.0.0.1:1/app?secret=secret",
    ],
)
def test_a_wrong_url_is_a_sentence_without_the_password(url: str) -> None:
    with pytest.raises(HeadraceError, match="HEADRACE_DATABASE_URL") as caught, connected(url):
        pass

    assert "sec" not in str(caught.value)
