"""What the triggers write to the change log: everything watched, once, in order, whoever writes and however."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.concurrency.items import captured
from tests.rows import insert
from tests.sessions import as_role

Change = dict[str, Any]

# Every watched column with a new value, and some columns that nobody watches.
WATCHED: dict[str, dict[str, str]] = {
    "campaigns": {
        "id": "'00000000-0000-4000-8000-00000000000c'",
        "status": "'paused'",
        "created_at": "'2026-01-01'",
        "completed_at": "'2026-01-02'",
    },
    "send_queue": {
        "id": "'00000000-0000-4000-8000-00000000000d'",
        "campaign_id": "'00000000-0000-4000-8000-00000000000a'",
        "template_name": "'other'",
        "status": "'sent'",
        "whatsapp_message_id": "'wamid.2'",
        "user_phone": "'2'",
        "whatsapp_number_id": "NULL",
        "sent_at": "'2026-01-01'",
        "created_at": "'2026-01-02'",
    },
    "message_status_logs": {
        "id": "77",
        "whatsapp_message_id": "'wamid.2'",
        "status": "'read'",
        "created_at": "'2026-01-02'",
    },
    "messages": {
        "id": "'00000000-0000-4000-8000-00000000000e'",
        "user_phone": "'2'",
        "whatsapp_number_id": "NULL",
        "created_at": "'2026-01-02'",
        "direction": "'outgoing'",
        "context_message_id": "'wamid.2'",
    },
}
UNWATCHED = {
    "campaigns": "name = 'other', user_id = gen_random_uuid()",
    "message_status_logs": "errors = '{}', campaign_id = gen_random_uuid()",
    "messages": "whatsapp_message_id = 'other'",
    "campaign_contacts": "template_name = 'other'",
}
# Logged with every change, old and new. For the queue, only the campaign and the place in the conversation that a row leaves.
KEYS: dict[str, set[str]] = {
    "message_status_logs": {"whatsapp_message_id"},
    "messages": {"user_phone", "whatsapp_number_id", "created_at", "context_message_id"},
}
LEFT = {"id", "campaign_id", "user_phone", "whatsapp_number_id", "sent_at", "created_at"}
OTHER_CAMPAIGN = "00000000-0000-4000-8000-00000000000a"


def changes(connection: psycopg.Connection[Any]) -> list[Change]:
    """The log since the last call, in order; it is empty afterwards."""
    cursor = connection.execute(
        "SELECT source, op::text, entity_id, scope, data, cause FROM headrace.change_log ORDER BY pos"
    )
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    connection.execute("DELETE FROM headrace.change_log")
    return found


def ops(found: list[Change]) -> list[tuple[str, str, str]]:
    return [(change["source"], change["op"], change["entity_id"]) for change in found]


@pytest.fixture
def app(database: str) -> Any:
    """A session of the application."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def one_of_each(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Inserts one row in each table; returns their ids as text. The log is empty afterwards."""
    campaign = insert(connection, "campaigns", name="c", status="running")
    insert(connection, "campaigns", id=OTHER_CAMPAIGN)
    ids = {
        "campaigns": campaign,
        "send_queue": insert(
            connection,
            "send_queue",
            campaign_id=campaign,
            user_phone="1",
            whatsapp_number_id="n",
            template_name="t",
            whatsapp_message_id="wamid.1",
        ),
        "message_status_logs": insert(connection, "message_status_logs", whatsapp_message_id="wamid.1"),
        "messages": insert(
            connection, "messages", user_phone="1", whatsapp_number_id="n", direction="incoming"
        ),
        "campaign_contacts": insert(connection, "campaign_contacts", campaign_id=campaign, user_phone="1"),
    }
    assert [change["op"] for change in changes(connection)] == ["I"] * 5  # contacts are not captured
    return {table: str(row_id) for table, row_id in ids.items()}


# --- what is logged --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", WATCHED)
def test_each_watched_column_is_logged_once_with_old_and_new_keys(
    table: str, app: psycopg.Connection[Any]
) -> None:
    row_id = one_of_each(app)[table]
    app.execute("DELETE FROM campaign_contacts")
    app.execute("ALTER TABLE send_queue DROP CONSTRAINT send_queue_campaign_id_fkey")
    for column, value in WATCHED[table].items():
        before = app.execute(f"SELECT to_jsonb(t) FROM {table} t WHERE id::text = %s", [row_id]).fetchall()
        app.execute(f"BEGIN; UPDATE {table} SET {column} = {value} WHERE id::text = '{row_id}'")
        after = app.execute(f"SELECT to_jsonb(t) FROM {table} t").fetchall()
        found = changes(app)
        app.execute("ROLLBACK")
        assert [change["op"] for change in found] == (["U", "U"] if column == "id" else ["U"]), column
        assert {change["entity_id"] for change in found} == {
            row_id,
            value.strip("'") if column == "id" else row_id,
        }
        for change in found:
            sides = change["data"] or {}
            if table == "send_queue":
                assert set(sides) == ({"old"} if column in LEFT else set()), column
            else:
                assert set(sides) == ({"old", "new"} if table in KEYS else set())
            for side, values in sides.items():
                assert set(values) == KEYS.get(table, LEFT)
                written = [same(row[0]) for row in (before if side == "old" else after)]
                assert any(same(values).items() <= row.items() for row in written), (column, side)


def same(values: dict[str, Any]) -> dict[str, str | None]:
    """Values as text, with times in a uniform notation."""
    written = {name: None if value is None else str(value) for name, value in values.items()}
    return {
        name: str(datetime.fromisoformat(value)) if value and name.endswith("_at") else value
        for name, value in written.items()
    }


@pytest.mark.parametrize("table", UNWATCHED)
def test_an_unwatched_column_logs_nothing(table: str, app: psycopg.Connection[Any]) -> None:
    one_of_each(app)
    app.execute(f"UPDATE {table} SET {UNWATCHED[table]}")
    assert changes(app) == []


def test_an_update_that_sets_what_is_there_logs_nothing(app: psycopg.Connection[Any]) -> None:
    one_of_each(app)
    app.execute("UPDATE send_queue SET status = status, sent_at = sent_at, user_phone = user_phone")
    assert changes(app) == []


def test_a_changed_primary_key_logs_both_ids_and_both_scopes(app: psycopg.Connection[Any]) -> None:
    ids = one_of_each(app)
    new = WATCHED["send_queue"]["id"].strip("'")
    app.execute("UPDATE send_queue SET id = %s, campaign_id = %s", [new, OTHER_CAMPAIGN])
    assert [(change["entity_id"], change["scope"]) for change in changes(app)] == [
        (new, OTHER_CAMPAIGN),
        (ids["send_queue"], ids["campaigns"]),
    ]


def test_only_incoming_messages_are_logged_also_when_they_become_or_were_so(
    app: psycopg.Connection[Any],
) -> None:
    app.execute("INSERT INTO messages (direction) VALUES ('outgoing'), (NULL), ('incoming'), ('outgoing')")
    assert len(changes(app)) == 1
    app.execute("UPDATE messages SET user_phone = '1' WHERE direction = 'outgoing'")
    assert changes(app) == []
    app.execute("UPDATE messages SET direction = 'incoming' WHERE direction IS NULL")
    app.execute("UPDATE messages SET direction = 'outgoing' WHERE direction = 'incoming'")
    assert [change["op"] for change in changes(app)] == ["U", "U", "U"]
    app.execute("DELETE FROM messages")
    assert changes(app) == []


# --- every way to write ----------------------------------------------------------------------------------------


def test_an_upsert_logs_what_it_did_to_each_row(app: psycopg.Connection[Any]) -> None:
    ids = one_of_each(app)
    other = WATCHED["send_queue"]["id"].strip("'")
    app.execute(
        "INSERT INTO send_queue (id, status) VALUES (%s, 'sent'), (%s, 'failed')"
        " ON CONFLICT (id) DO UPDATE SET status = excluded.status",
        [ids["send_queue"], other],
    )
    assert set(ops(changes(app))) == {("send_queue", "U", ids["send_queue"]), ("send_queue", "I", other)}
    app.execute("INSERT INTO send_queue (id) VALUES (%s) ON CONFLICT DO NOTHING", [other])
    assert changes(app) == []


def test_copy_and_insert_from_select_log_each_row(app: psycopg.Connection[Any]) -> None:
    with (
        app.cursor() as cursor,
        cursor.copy("COPY message_status_logs (whatsapp_message_id, status) FROM STDIN") as copy,
    ):
        for n in range(100):
            copy.write_row((f"wamid.{n}", "sent"))
    found = changes(app)
    assert [change["data"] for change in found] == [
        {"new": {"whatsapp_message_id": f"wamid.{n}"}} for n in range(100)
    ]
    app.execute("INSERT INTO message_status_logs (whatsapp_message_id) SELECT n FROM generate_series(1, 3) n")
    assert len(changes(app)) == 3


def test_merge_logs_inserts_updates_and_deletes(app: psycopg.Connection[Any]) -> None:
    app.execute("INSERT INTO message_status_logs (id, status) VALUES (1, 'sent'), (2, 'sent')")
    changes(app)
    app.execute("""
        MERGE INTO message_status_logs l USING (VALUES (1, 'read'), (2, NULL), (3, 'sent')) v (id, status) ON l.id = v.id
        WHEN MATCHED AND v.status IS NULL THEN DELETE
        WHEN MATCHED THEN UPDATE SET status = v.status
        WHEN NOT MATCHED THEN INSERT (id, status) VALUES (v.id, v.status)
    """)
    assert {(change["op"], change["entity_id"]) for change in changes(app)} == {
        ("U", "1"),
        ("D", "2"),
        ("I", "3"),
    }


def test_a_delete_logs_the_keys_that_were_and_cascades_are_seen(app: psycopg.Connection[Any]) -> None:
    ids = one_of_each(app)
    app.execute("DELETE FROM campaigns WHERE id = %s", [ids["campaigns"]])
    found = {change["source"]: change for change in changes(app)}
    assert {source: change["op"] for source, change in found.items()} == {"campaigns": "D", "send_queue": "D"}
    assert found["send_queue"]["scope"] == ids["campaigns"]
    assert found["send_queue"]["data"]["old"]["user_phone"] == "1"
    assert found["send_queue"]["data"]["old"].keys() == LEFT


@pytest.mark.parametrize("option", ["", "CASCADE", "RESTART IDENTITY CASCADE"])
def test_truncate_logs_one_change_per_table(option: str, app: psycopg.Connection[Any]) -> None:
    one_of_each(app)
    if option:
        app.execute(f"TRUNCATE campaigns {option}")
        expected = {"campaigns", "send_queue"}
    else:
        app.execute("TRUNCATE message_status_logs, messages")
        expected = {"message_status_logs", "messages"}
    found = [(change["source"], change["op"], change["entity_id"]) for change in changes(app)]
    assert sorted(found) == [(source, "T", None) for source in sorted(expected)]


def test_rows_applied_by_replication_are_captured(app: psycopg.Connection[Any]) -> None:
    app.execute("SET session_replication_role = replica")
    insert(app, "message_status_logs", whatsapp_message_id="1")
    app.execute("UPDATE message_status_logs SET status = 'read'")
    app.execute("DELETE FROM message_status_logs")
    app.execute("TRUNCATE message_status_logs")
    assert [change["op"] for change in changes(app)] == ["I", "U", "D", "T"]


def test_a_rolled_back_transaction_and_savepoint_leave_nothing(app: psycopg.Connection[Any]) -> None:
    with app.transaction(force_rollback=True):
        insert(app, "messages", direction="incoming")
    assert changes(app) == []
    with app.transaction():
        with app.transaction(force_rollback=True):
            insert(app, "messages", direction="incoming", user_phone="undone")
        insert(app, "messages", direction="incoming", user_phone="kept")
    assert [change["data"]["new"]["user_phone"] for change in changes(app)] == ["kept"]


def test_the_capture_fires_before_the_applications_trigger_that_updates_the_row_again(
    app: psycopg.Connection[Any],
) -> None:
    one_of_each(app)
    app.execute("""
        CREATE FUNCTION finish() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            UPDATE send_queue SET whatsapp_number_id = 'second' WHERE id = NEW.id; RETURN NULL;
        END $$;
        CREATE TRIGGER "#finish" AFTER UPDATE ON send_queue FOR EACH ROW
            WHEN (NEW.whatsapp_number_id = 'first') EXECUTE FUNCTION finish()
    """)
    app.execute("UPDATE send_queue SET whatsapp_number_id = 'first'")
    assert [change["data"]["old"]["whatsapp_number_id"] for change in changes(app)] == ["n", "first"]


@pytest.mark.parametrize("style", ["ISO", "SQL, DMY", "Postgres, DMY", "German"])
def test_times_are_read_as_they_were_meant_however_a_session_writes_them(
    style: str, database: str, app: psycopg.Connection[Any]
) -> None:
    moment = "2026-03-01 23:30:00+00"
    one_of_each(app)
    app.execute("UPDATE send_queue SET sent_at = %s", [moment])
    app.execute("UPDATE messages SET created_at = %s", [moment])
    changes(app)
    with psycopg.connect(database, autocommit=True) as session:
        session.execute(f"SET DateStyle = '{style}'; SET TimeZone = 'Asia/Kolkata'")
        session.execute("UPDATE send_queue SET sent_at = NULL")
        session.execute("UPDATE messages SET user_phone = '2'")
    read = app.execute(
        "SELECT (data #>> ARRAY['old', CASE source WHEN 'messages' THEN 'created_at' ELSE 'sent_at' END])::timestamptz"
        " = %s::timestamptz FROM headrace.change_log",
        [moment],
    ).fetchall()
    assert read == [(True,), (True,)]


# --- the cause -------------------------------------------------------------------------------------------------


def test_the_cause_of_a_transaction_is_logged_with_each_of_its_changes(app: psycopg.Connection[Any]) -> None:
    with app.transaction():
        app.execute("SET LOCAL headrace.cause = 'archive'")
        insert(app, "message_status_logs", id=1)
        app.execute("UPDATE message_status_logs SET status = 'read', id = 2")
        app.execute("DELETE FROM message_status_logs")
        app.execute("TRUNCATE messages")
    found = changes(app)
    assert [change["op"] for change in found] == ["I", "U", "U", "D", "T"]
    assert {change["cause"] for change in found} == {"archive"}
    insert(
        app, "message_status_logs", id=3
    )  # once it has been set in a session, the setting is '' and not unknown
    assert [change["cause"] for change in changes(app)] == [None]


# --- whoever writes --------------------------------------------------------------------------------------------


@pytest.fixture
def role_with_app_rights(database: str, plain_role: str) -> str:
    """URL for a role with all rights on the application's tables, and no others."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            sql.SQL(
                "GRANT USAGE ON SCHEMA public TO {0}; GRANT ALL ON ALL TABLES IN SCHEMA public TO {0};"
                " GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {0}; GRANT TEMP, CREATE ON DATABASE {1} TO {0}"
            ).format(sql.Identifier(plain_role), sql.Identifier(connection.info.dbname))
        )
    return as_role(database, plain_role)


def test_a_role_that_knows_only_the_applications_tables_can_write_them(
    role_with_app_rights: str, app: psycopg.Connection[Any]
) -> None:
    with psycopg.connect(role_with_app_rights, autocommit=True) as connection:
        insert(connection, "campaigns", name="c")
        insert(connection, "message_status_logs", id=1)
        connection.execute("UPDATE message_status_logs SET status = 'read'")
        connection.execute("DELETE FROM message_status_logs")
        connection.execute("TRUNCATE messages")
    assert [change["op"] for change in changes(app)] == ["I", "I", "U", "D", "T"]


def test_the_same_role_can_neither_read_nor_write_nor_call_anything_in_schema_headrace(
    role_with_app_rights: str, app: psycopg.Connection[Any]
) -> None:
    relations = app.execute(
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'headrace'::regnamespace AND relkind IN ('r', 'p', 'v')"
    ).fetchall()
    assert len(relations) > 20
    with psycopg.connect(role_with_app_rights, autocommit=True) as connection:
        for (relation,) in relations:
            for statement in (f"SELECT FROM {relation}", f"DELETE FROM {relation}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)
        for call in ("headrace.stream_poll()", "headrace.campaign_stats(gen_random_uuid())"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT {call}")


def test_nobody_can_hang_our_trigger_functions_on_a_table_of_their_own(
    role_with_app_rights: str, plain_role: str, app: psycopg.Connection[Any]
) -> None:
    app.execute(f"GRANT USAGE ON SCHEMA headrace TO {plain_role}")
    with psycopg.connect(role_with_app_rights, autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE mine (id text, status text)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(
                "CREATE TRIGGER t AFTER TRUNCATE ON mine EXECUTE FUNCTION headrace.capture_campaigns_truncate()"
            )


HOSTILE = {
    "a temporary table of the log's name": "CREATE TEMP TABLE change_log (LIKE headrace.change_log)",
    "a temporary schema in front": "CREATE TEMP TABLE change_log (source text);"
    " SET search_path = pg_temp, public",
    "functions in front of pg_catalog": """
        CREATE SCHEMA evil;
        CREATE FUNCTION evil.current_setting(text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT 'diverted' $$;
        CREATE FUNCTION evil.jsonb_build_object(VARIADIC "any") RETURNS jsonb LANGUAGE internal AS 'jsonb_build_object_noargs';
        CREATE TABLE evil.change_log (LIKE headrace.change_log);
        SET search_path = evil, pg_catalog, public""",
}


@pytest.mark.parametrize("trick", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_search_path_or_table_of_a_session_diverts_the_capture(
    trick: str, database: str, app: psycopg.Connection[Any]
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(trick.encode())
        row = insert(connection, "message_status_logs", whatsapp_message_id="w")
        connection.execute("UPDATE public.message_status_logs SET status = 'read'")
        connection.execute("DELETE FROM public.message_status_logs")
    found = changes(app)
    assert ops(found) == [("message_status_logs", op, str(row)) for op in "IUD"]
    assert found[0]["data"] == {"new": {"whatsapp_message_id": "w"}}
    assert {change["cause"] for change in found} == {None}


# --- tables that change -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["template_name", "user_phone", "id", "campaign_id"])
@pytest.mark.parametrize("how", ["RENAME {} TO other", "DROP {} CASCADE"])
def test_a_column_that_is_gone_stops_no_write_and_one_change_a_transaction_stands_for_the_table(
    column: str, how: str, app: psycopg.Connection[Any]
) -> None:
    one_of_each(app)
    app.execute(f"ALTER TABLE send_queue {how.format(column)}".encode())
    app.execute("UPDATE send_queue SET status = 'sent'")
    with app.transaction():
        for status in ("queued", "failed"):
            app.execute("UPDATE send_queue SET status = %s", [status])
    assert ops(changes(app)) == [("send_queue", "X", None)] * 2
    app.execute("INSERT INTO send_queue (status) VALUES ('sent')")
    app.execute("DELETE FROM send_queue")
    assert {op for _, op, _ in ops(changes(app))} == {
        "template_name": {"I", "D"},
        "user_phone": {"I", "X"},
    }.get(column, {"X"})


def test_an_old_session_reads_a_column_by_its_new_type(database: str, app: psycopg.Connection[Any]) -> None:
    ids = one_of_each(app)
    app.execute("DELETE FROM campaign_contacts")
    with psycopg.connect(database, autocommit=True) as session:
        for table in ("send_queue", "messages", "message_status_logs"):
            session.execute(f"UPDATE {table} SET created_at = created_at + interval '1 second'".encode())
            session.execute(f"INSERT INTO {table} DEFAULT VALUES".encode())
        changes(app)
        app.execute("ALTER TABLE send_queue ALTER user_phone TYPE varchar(40), ALTER id TYPE text")
        app.execute("ALTER TABLE messages ALTER user_phone TYPE varchar(40), ALTER id TYPE text")
        app.execute("ALTER TABLE message_status_logs ALTER id DROP IDENTITY")
        app.execute(
            "ALTER TABLE message_status_logs ALTER whatsapp_message_id TYPE varchar(90), ALTER id TYPE text"
        )
        session.execute("UPDATE send_queue SET user_phone = '9' WHERE user_phone = '1'")
        session.execute("UPDATE messages SET user_phone = '9' WHERE user_phone = '1'")
        session.execute(
            "UPDATE message_status_logs SET status = 'read' WHERE whatsapp_message_id = 'wamid.1'"
        )
        found = changes(app)
        assert ops(found) == [
            (table, "U", ids[table]) for table in ("send_queue", "messages", "message_status_logs")
        ]
        assert found[0]["scope"] == ids["campaigns"]
        assert found[0]["data"]["old"].keys() == LEFT
        assert (found[1]["data"]["old"]["user_phone"], found[1]["data"]["new"]["user_phone"]) == ("1", "9")
        assert found[2]["data"] == {side: {"whatsapp_message_id": "wamid.1"} for side in ("old", "new")}
        session.execute("DELETE FROM message_status_logs WHERE whatsapp_message_id = 'wamid.1'")
        session.execute("INSERT INTO message_status_logs (id, whatsapp_message_id) VALUES ('x', 'w')")
    assert ops(changes(app)) == [
        ("message_status_logs", "D", ids["message_status_logs"]),
        ("message_status_logs", "I", "x"),
    ]


def test_an_update_of_nothing_watched_is_told_by_an_old_session_too(
    database: str, app: psycopg.Connection[Any]
) -> None:
    one_of_each(app)
    app.execute("ALTER TABLE message_status_logs ALTER id DROP IDENTITY")
    with psycopg.connect(database, autocommit=True) as session:
        session.execute("UPDATE message_status_logs SET status = 'read'")
        app.execute("ALTER TABLE message_status_logs ALTER id TYPE text")
        changes(app)
        session.execute("UPDATE message_status_logs SET errors = '[]'")
        assert changes(app) == []


def test_a_column_of_a_type_of_the_applications_own_lends_its_cast_no_rights(
    database: str, plain_role: str, app: psycopg.Connection[Any]
) -> None:
    """The cast may do what the writer may do, and add to the log, but no more."""
    one_of_each(app)
    app.execute("CREATE TABLE loot (who text); GRANT INSERT ON loot TO PUBLIC")
    app.execute("CREATE SCHEMA o; CREATE TYPE o.evil AS ENUM ('a', 'b'); GRANT USAGE ON SCHEMA o TO PUBLIC")
    app.execute("""
        CREATE FUNCTION o.evil_text(o.evil) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO public.loot SELECT current_user;
            RETURN 'x';
        END $$;
        CREATE CAST (o.evil AS text) WITH FUNCTION o.evil_text(o.evil) AS IMPLICIT;
        ALTER TABLE message_status_logs RENAME whatsapp_message_id TO old_id;
        ALTER TABLE message_status_logs ADD whatsapp_message_id o.evil;
    """)
    app.execute("INSERT INTO message_status_logs (whatsapp_message_id) VALUES ('a')")
    app.execute("UPDATE message_status_logs SET whatsapp_message_id = 'b'")
    owners = {who for (who,) in app.execute("SELECT DISTINCT who FROM loot")}
    assert owners <= {"headrace_capture"}


def test_the_cause_is_kept_in_bounded_length(app: psycopg.Connection[Any]) -> None:
    with app.transaction():
        app.execute("SELECT set_config('headrace.cause', repeat('long ', 1000000), true)")
        insert(app, "message_status_logs", id=1)
        app.execute("UPDATE message_status_logs SET status = 'read'")
        app.execute("DELETE FROM message_status_logs")
        app.execute("TRUNCATE messages")
    assert [len(change["cause"]) for change in changes(app)] == [200] * 4


def test_a_session_goes_on_when_columns_that_nobody_watches_come_and_go(
    database: str, app: psycopg.Connection[Any]
) -> None:
    ids = one_of_each(app)
    with psycopg.connect(database, autocommit=True) as session:
        for n, change in enumerate(
            ("ADD note text DEFAULT 'n'", "ADD more integer", "DROP note", "ALTER more TYPE bigint")
        ):
            session.execute("UPDATE send_queue SET template_name = %s", [f"before {n}"])
            app.execute(f"ALTER TABLE send_queue {change}")
            session.execute("UPDATE send_queue SET template_name = %s", [f"after {n}"])
    assert ops(changes(app)) == [("send_queue", "U", ids["send_queue"])] * 8


def test_a_partition_with_its_columns_in_another_order_is_compared_column_by_column(
    app: psycopg.Connection[Any],
) -> None:
    app.execute("CREATE TABLE parted (id integer, a text, b text) PARTITION BY RANGE (id)")
    app.execute("CREATE TABLE part (gone integer, b text, id integer, a text); ALTER TABLE part DROP gone")
    app.execute("ALTER TABLE parted ATTACH PARTITION part DEFAULT")
    app.execute(captured("parted", "parted", "'id', NULL, '{a}', '{id,a}'").encode())
    app.execute("INSERT INTO parted VALUES (1, 'x', 'y')")
    changes(app)
    app.execute("UPDATE parted SET b = 'z'")
    assert changes(app) == []
    app.execute("UPDATE part SET a = 'z'")
    assert [change["data"] for change in changes(app)] == [{"old": {"a": "x"}, "new": {"a": "z"}}]


# --- what it costs the application --------------------------------------------------------------------------------


def test_nothing_in_schema_headrace_notifies(app: psycopg.Connection[Any]) -> None:
    rows = app.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'headrace'::regnamespace AND prosrc ~* 'notify'"
    ).fetchall()
    assert rows == []


def test_writers_of_different_rows_do_not_wait_for_each_other(database: str) -> None:
    with psycopg.connect(database) as one, psycopg.connect(database) as other:
        for connection in (one, other):
            connection.execute("SET lock_timeout = '100ms'")
            insert(connection, "messages", direction="incoming")
            insert(connection, "campaigns", name="c")
        other.commit()
        one.commit()


def test_a_table_of_anybody_can_be_captured_and_captured_again(
    app: psycopg.Connection[Any],
) -> None:
    app.execute('CREATE TABLE odd_table ("Key" text, "a b" int, "c%" text)')
    capture = captured("odd_table", "odd", "'Key', NULL, %s, %s").encode()
    assert app.execute(capture, [["a b"], ["Key", "a b"]]).fetchone() == (4,)
    assert app.execute(capture, [["a b"], ["Key", "a b"]]).fetchone() == (0,)
    app.execute("INSERT INTO odd_table VALUES (%s, 1, NULL)", ["k"])
    app.execute('UPDATE odd_table SET "c%%" = %s', ["x"])
    assert len(changes(app)) == 1
    assert app.execute(capture, [["a b", "c%"], ["Key", "a b", "c%"]]).fetchone() == (1,)
    app.execute('UPDATE odd_table SET "c%%" = %s', ["y"])
    (change,) = changes(app)
    assert change["data"] == {"old": {"a b": "1", "c%": "x"}, "new": {"a b": "1", "c%": "y"}}


def test_a_table_filled_by_logical_replication_gets_row_triggers_for_no_others_fire_there(
    app: psycopg.Connection[Any],
) -> None:
    app.execute("CREATE TABLE replicated (id integer PRIMARY KEY, n integer)")
    capture = captured("replicated", "replicated", "'id', NULL, '{n}', '{n}'").encode()
    app.execute(capture)
    app.execute("CREATE SUBSCRIPTION mirror CONNECTION 'dbname=none' PUBLICATION none WITH (connect = false)")
    app.execute("ALTER SUBSCRIPTION mirror SET (slot_name = NONE)")
    try:
        app.execute("SET allow_system_table_mods = on")
        app.execute(
            "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate)"
            " SELECT oid, 'replicated'::regclass, 'r' FROM pg_subscription WHERE subname = 'mirror'"
        )
        assert app.execute(capture).fetchone() == (2,)
    finally:
        app.execute("DROP SUBSCRIPTION mirror")
    for_each_row = app.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'replicated'::regclass AND tgtype & 1 = 1 ORDER BY 1"
    ).fetchall()
    assert for_each_row == [("!headrace_delete",), ("!headrace_insert",), ("!headrace_update",)]
    app.execute("SET session_replication_role = replica")
    app.execute("INSERT INTO replicated VALUES (1, 1), (2, 2); DELETE FROM replicated WHERE id = 1")
    assert [(change["op"], change["entity_id"], change["data"]) for change in changes(app)] == [
        ("I", "1", {"new": {"n": "1"}}),
        ("I", "2", {"new": {"n": "2"}}),
        ("D", "1", {"old": {"n": "1"}}),
    ]


def test_a_key_that_the_table_lacks_is_refused_instead_of_left_out(app: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.UndefinedColumn, match="lacks one of the columns"):
        app.execute(captured("messages", "messages", "'id', NULL, '{user_fone}', '{id}'").encode())
