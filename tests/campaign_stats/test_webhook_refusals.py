"""Whatever refuses an item, it is kept and the others are stored. Transient errors are raised, so that the provider tries again."""

from __future__ import annotations

import psycopg
import pytest

from tests.campaign_stats.webhooks import Connection, counts, envelope, ingest, message, rejects, status
from tests.sessions import as_role

BODY = envelope({"statuses": [status("good 1"), status("bad"), status("good 2")], "messages": [message()]})


def raising(code: str) -> str:
    """A trigger of the application that refuses an item named bad with this SQLSTATE."""
    return f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.whatsapp_message_id = 'bad' THEN RAISE EXCEPTION 'refused' USING ERRCODE = '{code}'; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON message_status_logs FOR EACH ROW EXECUTE FUNCTION refuse()"""


REFUSALS = {
    "a check": "ALTER TABLE message_status_logs ADD CHECK (whatsapp_message_id <> 'bad')",
    "a unique index": "CREATE UNIQUE INDEX ON message_status_logs ((1)) WHERE whatsapp_message_id = 'bad';"
    " INSERT INTO message_status_logs (whatsapp_message_id, status) VALUES ('bad', 'sent')",
    "a constraint at the end of the transaction": "CREATE TABLE known (id text PRIMARY KEY);"
    " INSERT INTO known VALUES ('good 1'), ('good 2');"
    " ALTER TABLE message_status_logs ADD FOREIGN KEY (whatsapp_message_id) REFERENCES known DEFERRABLE INITIALLY DEFERRED",
    "an assertion": "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN ASSERT NEW.whatsapp_message_id <> 'bad'; RETURN NEW; END $$;"
    " CREATE TRIGGER refuse BEFORE INSERT ON message_status_logs FOR EACH ROW EXECUTE FUNCTION refuse()",
    **{
        f"a trigger with {code}": raising(code)
        for code in ("P0001", "42501", "XYZ00", "0A000", "55000", "XX000", "25000", "42P01", "21000")
    },
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_whoever_refuses_an_item_it_is_kept_and_the_others_go_in(refusal: str, app: Connection) -> None:
    app.execute(REFUSALS[refusal].encode())
    answer = ingest(app, BODY)
    assert answer["statuses"] == counts(2)
    assert answer["messages"] == counts(1)
    ((path, _),) = rejects(app)
    assert path == "entry[0].changes[0].value.statuses[1]"
    assert ingest(app, BODY)["statuses"] == counts(0, 2)


def test_a_value_that_no_index_holds_is_its_items_own_fault(app: Connection) -> None:
    long = "".join(map(chr, range(0x4E00, 0x4E00 + 8000)))  # text that does not compress
    answer = ingest(
        app,
        envelope({"statuses": [status(long), status("2")], "messages": [message("m", long)]}),
    )
    assert (answer["statuses"], answer["messages"]) == (counts(1), counts())
    assert sorted(reason[:5] for _, reason in rejects(app)) == ["54000", "54000"]
    assert all(len(reason) <= 500 for _, reason in rejects(app))


def test_a_table_that_lost_a_column_or_a_right_loses_no_item(app: Connection, database: str) -> None:
    app.execute("ALTER TABLE messages ALTER COLUMN id DROP DEFAULT")
    assert ingest(app, BODY)["messages"] == counts()
    assert ingest(app, BODY)["statuses"] == counts(0, 3)
    assert [reason[:5] for _, reason in rejects(app)] == ["23502"]


def test_what_a_trigger_of_the_application_leaves_out_is_suppressed_and_not_repeated(app: Connection) -> None:
    app.execute("""
        CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RETURN CASE WHEN NEW.whatsapp_message_id = 'bad' THEN NULL ELSE NEW END; END $$;
        CREATE TRIGGER leave_out BEFORE INSERT ON message_status_logs FOR EACH ROW EXECUTE FUNCTION leave_out()""")
    assert ingest(app, BODY)["statuses"] == counts(2, 0, 1)
    assert ingest(app, BODY)["statuses"] == counts(0, 2, 1)
    assert rejects(app) == []


def test_a_trigger_finds_the_applications_tables_as_in_its_own_session(app: Connection) -> None:
    app.execute("""
        CREATE TABLE heard (id text);
        CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN INSERT INTO heard VALUES (NEW.whatsapp_message_id); RETURN NULL; END $$;
        CREATE TRIGGER hear AFTER INSERT ON messages FOR EACH ROW EXECUTE FUNCTION hear()""")
    assert ingest(app, BODY)["messages"] == counts(1)
    assert app.execute("SELECT id FROM heard").fetchall() == [("wamid.in",)]


@pytest.mark.parametrize("code", ["40001", "40P01", "53100", "55P03", "57014", "58030", "08006"])
def test_an_error_of_the_moment_takes_nothing_and_keeps_nothing(code: str, app: Connection) -> None:
    app.execute(raising(code).encode())
    with pytest.raises(psycopg.Error) as raised:
        ingest(app, BODY)
    assert raised.value.sqlstate == code
    assert app.execute("SELECT count(*) FROM message_status_logs").fetchone() == (0,)
    assert rejects(app) == []
    app.execute("DROP TRIGGER refuse ON message_status_logs")
    assert ingest(app, BODY)["statuses"] == counts(3)


def test_a_stranger_holds_up_no_webhook(app: Connection, database: str) -> None:
    app.execute("SET lock_timeout = '5s'")
    with psycopg.connect(as_role(database, "headrace_reader"), autocommit=True) as stranger:
        stranger.execute("SELECT pg_advisory_lock(1752197741, n) FROM generate_series(0, 255) n")
        for locking in (
            "SELECT FROM headrace.webhook_lock FOR UPDATE",
            "BEGIN; LOCK headrace.webhook_lock IN ACCESS SHARE MODE",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                stranger.execute(locking)
            stranger.execute("ROLLBACK")
        assert ingest(app, BODY)["statuses"] == counts(3)


def test_a_lock_table_that_was_not_restored_with_its_rows_locks_all_the_same(
    app: Connection, database: str
) -> None:
    app.execute("DELETE FROM headrace.webhook_lock WHERE bucket % 3 > 0")
    ingest(app, BODY)
    ingest(app, envelope({"statuses": [status(f"m{n}") for n in range(500)]}))
    assert app.execute("SELECT count(*) FROM headrace.webhook_lock").fetchone() == (256,)


def test_deliveries_of_one_item_wait_for_each_other_and_others_do_not(app: Connection, database: str) -> None:
    with psycopg.connect(database) as first:
        ingest(first, envelope({"statuses": [status("one")]}))
        app.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            ingest(app, envelope({"statuses": [status("one")]}))
        # At least one of four other ids does not share the first one's lock.
        others = app.execute(
            "SELECT 'other ' || n FROM generate_series(1, 4) n WHERE hashtext('other ' || n) & 255 <> hashtext('one') & 255"
        ).fetchall()
        for (other,) in others:
            assert ingest(app, envelope({"statuses": [status(other)]}))["statuses"] == counts(1)
        first.commit()
    assert ingest(app, envelope({"statuses": [status("one")]}))["statuses"] == counts(0, 1)


def test_a_trigger_gets_no_right_by_a_webhook_and_its_items_go_in_once_it_has_its_own(
    app: Connection,
) -> None:
    app.execute("""
        CREATE TABLE ledger (id text);
        CREATE FUNCTION enter() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO ledger VALUES (NEW.whatsapp_message_id); RETURN NULL; END $$;
        CREATE TRIGGER enter AFTER INSERT ON messages FOR EACH ROW EXECUTE FUNCTION enter()""")
    assert ingest(app, BODY)["messages"] == counts()
    assert rejects(app) == [
        ("entry[0].changes[0].value.messages[0]", "42501 permission denied for table ledger")
    ]
    app.execute("ALTER FUNCTION enter() SECURITY DEFINER")
    assert app.execute("SELECT stored, reason FROM headrace.retry_webhook_rejects()").fetchall() == [
        (1, None)
    ]
    assert app.execute("SELECT id FROM ledger").fetchall() == [("wamid.in",)]
