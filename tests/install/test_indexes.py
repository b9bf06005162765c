"""If the contract accepts an index, the server uses it for Headrace's own statements; if the contract refuses it, it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from orchestration.database.connections import engine
from orchestration.install.contract import check_contract, read_catalog, read_contract

# The lookups of folds and rebuilds, as staging passes them to the source tables.
UUID = "00000000-0000-4000-8000-000000000000"
LOOKUPS = {
    "campaigns.id": f"SELECT FROM campaigns c WHERE c.id = '{UUID}'",
    "send_queue.id": f"SELECT FROM send_queue q WHERE q.id = '{UUID}'",
    "send_queue.message": "SELECT FROM send_queue q WHERE q.whatsapp_message_id::text = 'w'::text",
    "send_queue.campaign": f"SELECT FROM send_queue q WHERE q.campaign_id = '{UUID}'",
    "send_queue.place": "SELECT FROM send_queue q WHERE q.user_phone::text = 'p'::text AND q.whatsapp_number_id::text = 'n'::text"
    f" AND (coalesce(q.sent_at, q.created_at), q.id) < (now(), '{UUID}')"
    " ORDER BY coalesce(q.sent_at, q.created_at) DESC, q.id DESC LIMIT 1",
    "message_status_logs.message": "SELECT FROM message_status_logs l WHERE l.whatsapp_message_id::text = 'w'::text",
    "messages.incoming": "SELECT FROM messages m WHERE m.user_phone::text = 'p'::text AND m.whatsapp_number_id::text = 'n'::text"
    " AND m.created_at > now() AND m.direction = 'incoming'",
    "messages.reference": "SELECT FROM messages m WHERE m.context_message_id::text = 'w'::text",
    "campaign_contacts.campaign": f"SELECT FROM campaign_contacts k WHERE k.campaign_id = '{UUID}'",
}
PLACE = "(user_phone, whatsapp_number_id, coalesce(sent_at, created_at), id)"
INCOMING = "(user_phone, whatsapp_number_id, created_at)"

SERVING = {
    "on an id": ("send_queue.id", "CREATE UNIQUE INDEX i ON send_queue (id)"),
    "on an id, with more included": (
        "send_queue.id",
        "CREATE UNIQUE INDEX i ON send_queue (id) INCLUDE (status)",
    ),
    "of a constraint that is deferred": (
        "campaigns.id",
        "ALTER TABLE campaigns ADD CONSTRAINT i UNIQUE (id) DEFERRABLE",
    ),
    "hashed": ("send_queue.message", "CREATE INDEX i ON send_queue USING hash (whatsapp_message_id)"),
    "hashed by pattern": (
        "send_queue.message",
        "CREATE INDEX i ON send_queue USING hash (whatsapp_message_id text_pattern_ops)",
    ),
    "by pattern": (
        "send_queue.message",
        "CREATE INDEX i ON send_queue (whatsapp_message_id text_pattern_ops)",
    ),
    "by varchar's name for the same": (
        "send_queue.message",
        "CREATE INDEX i ON send_queue (whatsapp_message_id varchar_ops)",
    ),
    "descending": (
        "send_queue.message",
        "CREATE INDEX i ON send_queue (whatsapp_message_id DESC NULLS LAST)",
    ),
    "for what is not null": (
        "send_queue.message",
        "CREATE INDEX i ON send_queue (whatsapp_message_id) WHERE whatsapp_message_id IS NOT NULL",
    ),
    "unique for what is not null": (
        "send_queue.message",
        "CREATE UNIQUE INDEX i ON send_queue (whatsapp_message_id) WHERE whatsapp_message_id IS NOT NULL",
    ),
    "of a column with a collation": (
        "send_queue.message",
        'ALTER TABLE send_queue ALTER whatsapp_message_id TYPE text COLLATE "C"; CREATE INDEX i ON send_queue (whatsapp_message_id)',
    ),
    "with a further column": (
        "send_queue.campaign",
        "CREATE INDEX i ON send_queue (campaign_id, template_name)",
    ),
    "of places": ("send_queue.place", f"CREATE INDEX i ON send_queue {PLACE}"),
    "of places, backwards": (
        "send_queue.place",
        "CREATE INDEX i ON send_queue (user_phone, whatsapp_number_id DESC, coalesce(sent_at, created_at) DESC, id DESC)",
    ),
    "of places, on varchar and rounded times": (
        "send_queue.place",
        "ALTER TABLE send_queue ALTER user_phone TYPE varchar(40), ALTER sent_at TYPE timestamptz(3), ALTER created_at TYPE"
        f" timestamptz(6); CREATE INDEX i ON send_queue {PLACE}",
    ),
    "of places, phones by pattern": (
        "send_queue.place",
        "CREATE INDEX i ON send_queue"
        " (user_phone text_pattern_ops, whatsapp_number_id, coalesce(sent_at, created_at), id)",
    ),
    "of incoming messages": (
        "messages.incoming",
        f"CREATE INDEX i ON messages {INCOMING} WHERE direction = 'incoming'",
    ),
    "of incoming messages, by a list": (
        "messages.incoming",
        f"CREATE INDEX i ON messages {INCOMING} WHERE direction IN ('incoming')",
    ),
    "of incoming messages, by another type's name": (
        "messages.incoming",
        f"CREATE INDEX i ON messages {INCOMING} WHERE direction::varchar = 'incoming'::varchar",
    ),
    "of incoming messages, as varchar": (
        "messages.incoming",
        "ALTER TABLE messages ALTER direction TYPE varchar(10);"
        f" CREATE INDEX i ON messages {INCOMING} WHERE direction = 'incoming'",
    ),
    "of incoming messages with a phone": (
        "messages.incoming",
        f"CREATE INDEX i ON messages {INCOMING} WHERE direction = 'incoming' AND user_phone IS NOT NULL",
    ),
    "of all messages": ("messages.incoming", f"CREATE INDEX i ON messages {INCOMING}"),
    "of references": ("messages.reference", "CREATE INDEX i ON messages (context_message_id)"),
    "of statuses": (
        "message_status_logs.message",
        "CREATE INDEX i ON message_status_logs (whatsapp_message_id)",
    ),
    "of contacts": ("campaign_contacts.campaign", "CREATE INDEX i ON campaign_contacts (campaign_id)"),
}
# For a unique index the planner is not asked: it may be used, but that says nothing about ids.
NOT_SERVING = {
    "on another column of almost the name": (
        "send_queue.campaign",
        'ALTER TABLE send_queue ADD "Campaign_ID" uuid; CREATE INDEX i ON send_queue ("Campaign_ID")',
    ),
    "with another collation": (
        "send_queue.message",
        'CREATE INDEX i ON send_queue (whatsapp_message_id COLLATE "C")',
    ),
    "with the default collation, of a column that has another": (
        "send_queue.message",
        'ALTER TABLE send_queue ALTER whatsapp_message_id TYPE text COLLATE "C";'
        ' CREATE INDEX i ON send_queue (whatsapp_message_id COLLATE "default")',
    ),
    "hashed with another collation": (
        "send_queue.message",
        'CREATE INDEX i ON send_queue USING hash (whatsapp_message_id COLLATE "C")',
    ),
    "on an expression": ("send_queue.message", "CREATE INDEX i ON send_queue (lower(whatsapp_message_id))"),
    "on a longer cast": (
        "send_queue.message",
        "CREATE INDEX i ON send_queue ((whatsapp_message_id::varchar(200)))",
    ),
    "for other rows": (
        "send_queue.message",
        "CREATE INDEX i ON send_queue (whatsapp_message_id) WHERE status = 'sent'",
    ),
    "as an included column": (
        "send_queue.message",
        "CREATE INDEX i ON send_queue (status) INCLUDE (whatsapp_message_id)",
    ),
    "of messages in another spelling": (
        "messages.incoming",
        f"CREATE INDEX i ON messages {INCOMING} WHERE lower(direction) = 'incoming'",
    ),
    "of places, without the time": (
        "send_queue.place",
        "CREATE INDEX i ON send_queue (user_phone, whatsapp_number_id, id)",
    ),
    "of places, by a cast of rounded times": (
        "send_queue.place",
        "ALTER TABLE send_queue ALTER created_at TYPE timestamptz(3); CREATE INDEX i ON send_queue"
        " (user_phone, whatsapp_number_id, coalesce(sent_at, created_at::timestamptz), id)",
    ),
    "of places, by days": (
        "send_queue.place",
        "CREATE INDEX i ON send_queue (user_phone, whatsapp_number_id, coalesce(sent_at, created_at AT TIME ZONE 'UTC' AT TIME"
        " ZONE 'UTC'), id)",
    ),
    "of places, to and fro": (
        "send_queue.place",
        "CREATE INDEX i ON send_queue (user_phone, whatsapp_number_id, coalesce(sent_at, created_at), id DESC)",
    ),
    "of places, with nulls at the other end": (
        "send_queue.place",
        "CREATE INDEX i ON send_queue"
        " (user_phone, whatsapp_number_id, coalesce(sent_at, created_at) NULLS FIRST, id NULLS FIRST)",
    ),
}
# The server may use these if it finds nothing better, but then reads far more.
POOR = {
    "behind another column": (
        "send_queue.message",
        "CREATE INDEX i ON send_queue (status, whatsapp_message_id)",
    ),
    "by blocks": ("send_queue.message", "CREATE INDEX i ON send_queue USING brin (whatsapp_message_id)"),
    "of outgoing messages": (
        "messages.incoming",
        f"CREATE INDEX i ON messages {INCOMING} WHERE direction = 'outgoing'",
    ),
    "of places, by phone only": ("send_queue.place", "CREATE INDEX i ON send_queue (user_phone)"),
}
NOT_UNIQUE = {
    "plain": "CREATE INDEX i ON send_queue (id)",
    "of some rows": "CREATE UNIQUE INDEX i ON send_queue (id) WHERE status = 'sent'",
    "together with another column": "CREATE UNIQUE INDEX i ON send_queue (id, campaign_id)",
    "of an expression": "CREATE UNIQUE INDEX i ON send_queue ((id::text))",
}


@pytest.fixture
def app(app_database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(app_database, autocommit=True) as connection:
        yield connection


def alone(app: psycopg.Connection[Any], lookup: str, create: str) -> None:
    """Makes this index, named i, the only one on its table."""
    table = lookup.split(".")[0]
    app.execute(
        "ALTER TABLE campaign_contacts DROP CONSTRAINT IF EXISTS campaign_contacts_campaign_id_fkey;"
        " ALTER TABLE send_queue DROP CONSTRAINT IF EXISTS send_queue_campaign_id_fkey"
    )
    constraints = app.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('p', 'u')", [table]
    )
    for (name,) in constraints.fetchall():
        app.execute(
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT {} CASCADE").format(
                sql.Identifier(table), sql.Identifier(name)
            )
        )
    indexes = app.execute(
        "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = %s::regclass", [table]
    )
    for (name,) in indexes.fetchall():
        app.execute(f"DROP INDEX {name}".encode())
    app.execute(create.encode())


def accepted(url: str, lookup: str) -> bool:
    """Whether the contract asks for no other index for this lookup."""
    database = engine(url)
    with database.connect() as connection:
        found = check_contract(read_contract().values(), read_catalog(connection, "public"), "public")
    database.dispose()
    table, _, what = lookup.partition(".")
    keys = {
        "id": "(id)",
        "message": "(whatsapp_message_id)",
        "campaign": "(campaign_id)",
        "place": "(user_phone, whatsapp_number_id, COALESCE",
        "incoming": "(user_phone, whatsapp_number_id, created_at)",
        "reference": "(context_message_id)",
    }[what]
    assert all("lacks" in problem.what or "collation" in problem.what for problem in found)
    return not any(f"{table} lacks" in problem.what and f"on {keys}" in problem.what for problem in found)


def used(app: psycopg.Connection[Any], lookup: str) -> bool:
    """Whether the server, unable to scan the table, finds the rows by all of the index's keys, in its order."""
    with app.transaction():
        app.execute("SET LOCAL enable_seqscan = off")
        row = app.execute(f"EXPLAIN (FORMAT JSON) {LOOKUPS[lookup]}".encode()).fetchone()
    assert row is not None
    nodes = list(walk(row[0][0]["Plan"]))
    conditions = [node.get("Index Cond", "") for node in nodes if node.get("Index Name") == "i"]
    if not conditions or not conditions[0]:
        return False
    sorts = any("Sort" in node["Node Type"] for node in nodes)
    return not sorts and (not lookup.endswith(".place") or "ROW(COALESCE" in conditions[0])


def walk(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from walk(part)


@pytest.mark.parametrize(("lookup", "create"), SERVING.values(), ids=SERVING.keys())
def test_an_index_that_is_accepted_is_used(
    lookup: str, create: str, app: psycopg.Connection[Any], app_database: str
) -> None:
    alone(app, lookup, create)
    assert accepted(app_database, lookup)
    assert used(app, lookup)


@pytest.mark.parametrize(("lookup", "create"), NOT_SERVING.values(), ids=NOT_SERVING.keys())
def test_an_index_that_is_refused_is_not_used_for_all_that_it_is_for(
    lookup: str, create: str, app: psycopg.Connection[Any], app_database: str
) -> None:
    alone(app, lookup, create)
    assert not accepted(app_database, lookup)
    assert not used(app, lookup)


@pytest.mark.parametrize(("lookup", "create"), POOR.values(), ids=POOR.keys())
def test_an_index_that_serves_poorly_is_refused(
    lookup: str, create: str, app: psycopg.Connection[Any], app_database: str
) -> None:
    alone(app, lookup, create)
    assert not accepted(app_database, lookup)


@pytest.mark.parametrize("create", NOT_UNIQUE.values(), ids=NOT_UNIQUE.keys())
def test_an_index_that_lets_ids_repeat_is_refused(
    create: str, app: psycopg.Connection[Any], app_database: str
) -> None:
    alone(app, "send_queue.id", create)
    assert not accepted(app_database, "send_queue.id")


def test_every_lookup_uses_an_index_that_the_contract_prints(
    app: psycopg.Connection[Any], app_database: str
) -> None:
    """The statements that doctor prints for a database without indexes, one by one."""
    needed = [
        (f"{table.name}.", index)
        for domain in read_contract().values()
        for table in domain.tables
        for index in table.indexes
    ]
    assert len(needed) == len(LOOKUPS)
    database = engine(app_database)
    for lookup in LOOKUPS:
        table = lookup.split(".")[0]
        alone(app, lookup, "SELECT")
        with database.connect() as connection:
            problems = check_contract(read_contract().values(), read_catalog(connection, "public"), "public")
        printed = [p.remedy for p in problems if f"{table} lacks" in p.what]
        assert printed
        made = []
        for remedy in printed:
            app.execute("DROP INDEX IF EXISTS i")
            app.execute(remedy.replace(" ON ", " i ON ", 1).encode())
            made.append(used(app, lookup))
        assert any(made), lookup
    database.dispose()


def test_of_a_partitioned_table_an_index_counts_once_every_partition_has_it(
    app: psycopg.Connection[Any], app_database: str
) -> None:
    app.execute("DROP TABLE campaign_contacts")
    app.execute(
        "CREATE TABLE campaign_contacts (campaign_id uuid, template_name text) PARTITION BY HASH (campaign_id);"
        " CREATE TABLE part_0 PARTITION OF campaign_contacts FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        " CREATE TABLE part_1 PARTITION OF campaign_contacts FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
        " CREATE INDEX i ON ONLY campaign_contacts (campaign_id);"
        " CREATE INDEX i_0 ON part_0 (campaign_id); ALTER INDEX i ATTACH PARTITION i_0; CREATE INDEX i_1 ON part_1 (campaign_id)"
    )
    assert not accepted(app_database, "campaign_contacts.campaign")
    app.execute("ALTER INDEX i ATTACH PARTITION i_1")
    assert accepted(app_database, "campaign_contacts.campaign")
