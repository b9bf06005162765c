"""Refused parts of a webhook can be retried, by function and by command; doctor reports them."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import Any

import psycopg
import pytest

from orchestration.install.doctor import diagnose
from orchestration.settings import Settings
from tests.campaign_stats.webhooks import Connection, counts, envelope, ingest, message, rejects, status
from tests.commands import Headrace, a_sentence, run
from tests.sessions import as_role

LACKS_A_DEFAULT = "ALTER TABLE messages ALTER COLUMN id DROP DEFAULT"
HAS_A_DEFAULT = "ALTER TABLE messages ALTER COLUMN id SET DEFAULT gen_random_uuid()"


@pytest.fixture
def headrace(database: str) -> Headrace:
    return lambda *arguments: run(*arguments, HEADRACE_DATABASE_URL=database)


def retry(
    connection: Connection, ids: list[int] | None = None, any_type: bool = False
) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT * FROM headrace.retry_webhook_rejects(%s, %s)", [ids, any_type]
    ).fetchall()


def ids(connection: Connection) -> list[int]:
    return [row[0] for row in connection.execute("SELECT id FROM headrace.webhook_reject ORDER BY id")]


def test_once_the_cause_is_mended_all_that_was_refused_goes_in(app: Connection) -> None:
    """Each item goes in with its number and its sender, which were elsewhere in the body."""
    app.execute(LACKS_A_DEFAULT)
    sent = [
        message("m1", "4917", context={"id": "wamid.1"}),
        {"id": "m2", "timestamp": "1700000000", "type": "text", "text": {}, "from_user_id": "US.2"},
    ]
    contacts = [{"wa_id": "4918", "user_id": "US.2"}, {"wa_id": "4917", "user_id": "US.1"}]
    body = envelope({"contacts": contacts, "messages": sent}, number="200")
    assert ingest(app, body)["messages"] == counts()
    first, second = ids(app)
    reason = '23502 null value in column "id" of relation "messages" violates not-null constraint'
    assert retry(app) == [(first, 0, 0, 0, reason), (second, 0, 0, 0, reason)]
    assert ids(app) == [first, second]
    app.execute(HAS_A_DEFAULT)
    assert retry(app, [second]) == [(second, 1, 0, 0, None)]
    assert ids(app) == [first]
    assert ingest(app, body)["messages"] == counts(1, 1)  # meanwhile the provider delivered it again
    assert retry(app) == [(first, 0, 1, 0, None)]
    assert ids(app) == []
    assert app.execute(
        "SELECT whatsapp_message_id, user_phone, whatsapp_number_id, context_message_id FROM messages ORDER BY 1"
    ).fetchall() == [("m1", "4917", "200", "wamid.1"), ("m2", "4918", "200", None)]


def test_what_is_refused_again_stays_with_its_reason_of_today(app: Connection) -> None:
    ingest(app, envelope({"messages": [message("m", type="birthday")]}))
    (reject,) = ids(app)
    unknown = 'type "birthday" is not known to be a message of the contact'
    assert retry(app) == [(reject, 0, 0, 0, unknown)]
    app.execute(LACKS_A_DEFAULT)
    ((_, *_, reason),) = retry(app, any_type=True)
    assert reason.startswith("23502")
    assert app.execute("SELECT id, reason, times FROM headrace.webhook_reject").fetchall() == [
        (reject, reason, 1)
    ]
    # It was refused for the same reason before, and counted.
    ingest(app, envelope({"messages": [message("m", type="birthday")]}))
    retry(app, any_type=True)
    assert app.execute("SELECT reason, times FROM headrace.webhook_reject").fetchall() == [(reason, 2)]
    app.execute(HAS_A_DEFAULT)
    assert [row[1:] for row in retry(app, any_type=True)] == [(1, 0, 0, None)]


def test_a_notice_is_tried_again_only_by_name_and_never_taken(app: Connection) -> None:
    ingest(app, envelope({"messages": [message("m", type="system")]}))
    assert retry(app) == []
    (reject,) = ids(app)
    assert retry(app, [reject], any_type=True) == [
        (reject, 0, 0, 0, "a notice of the system, not a message of the contact")
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"value": {"statuses": [status()]}},
        {"statuses": [{"id": 1}]},
        {"entry": [{"changes": [{"field": "calls", "value": {"statuses": [status()]}}]}]},
        {"entry": [{"changes": [7]}, {}]},
        {"entry": [{"changes": [{"value": 7}]}]},
        {"entry": []},
        "text",
        envelope({"statuses": {}, "errors": [{"code": 1}], "messages": [{}, 7]}),
        envelope({"polls": []}, {"statuses": [], "polls": []}),
        {"changes": [{"value": {"messages": [message()]}}]},
    ],
)
def test_a_part_that_is_tried_again_says_the_same_of_itself(body: object, app: Connection) -> None:
    ingest(app, body)
    kept = rejects(app)
    before = ids(app)
    assert kept
    retry(app, before)
    assert sorted(rejects(app)) == sorted(kept)
    assert ids(app) == before


def test_a_larger_part_falls_into_what_it_holds(app: Connection) -> None:
    """As after an upgrade to a version that understands the part."""
    value = envelope({"statuses": [status(), {"id": "x"}]})["entry"][0]["changes"][0]["value"]
    (reject,) = app.execute(
        "INSERT INTO headrace.webhook_reject (path, reason, item) VALUES ('entry[4].changes[2].value', 'r', %s) RETURNING id",
        [json.dumps(value)],
    ).fetchall()[0]
    assert retry(app) == [(reject, 1, 0, 0, "no status; no timestamp")]
    assert rejects(app) == [("entry[0].changes[0].value.statuses[1]", "no status; no timestamp")]


def test_who_is_not_there_is_named_and_nothing_is_done(app: Connection) -> None:
    app.execute(LACKS_A_DEFAULT)
    ingest(app, envelope({"messages": [message()]}))
    app.execute(HAS_A_DEFAULT)
    with pytest.raises(psycopg.errors.NoDataFound, match="there is no webhook reject 99"):
        retry(app, [*ids(app), 99])
    assert app.execute("SELECT count(*) FROM messages").fetchone() == (0,)


def test_retries_and_deliveries_of_the_same_items_at_once_store_each_once(
    app: Connection, database: str
) -> None:
    app.execute(LACKS_A_DEFAULT)
    bodies = [
        envelope({"messages": [message(f"m{n}") for n in range(first, first + 10)]})
        for first in range(0, 60, 5)
    ]
    for body in bodies:
        ingest(app, body)
    app.execute(HAS_A_DEFAULT)
    failures: list[Exception] = []

    def work(turn: int) -> None:
        try:
            with psycopg.connect(database, autocommit=True) as opened:
                for body in bodies[turn:] + bodies[:turn]:
                    ingest(opened, body)
                    for reject in opened.execute(
                        "SELECT id FROM headrace.webhook_reject ORDER BY id LIMIT 3"
                    ).fetchall():
                        with contextlib.suppress(psycopg.errors.NoDataFound, psycopg.errors.DeadlockDetected):
                            retry(opened, [reject[0]])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(turn,)) for turn in (0, 4, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    retry(app)
    assert app.execute("SELECT count(*), count(DISTINCT whatsapp_message_id) FROM messages").fetchone() == (
        65,
        65,
    )
    assert ids(app) == []


def test_a_worker_may_try_again_and_not_discard_and_an_application_neither(
    app: Connection, database: str
) -> None:
    ingest(app, envelope({"messages": [message("m", type="birthday")]}))
    with psycopg.connect(as_role(database, "headrace_worker"), autocommit=True) as worker:
        assert len(retry(worker)) == 1
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            worker.execute("SELECT headrace.discard_webhook_rejects(ARRAY[1])")
    with (
        psycopg.connect(as_role(database, "headrace_app"), autocommit=True) as application,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        retry(application)


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_lists_retries_and_discards(headrace: Headrace, app: Connection) -> None:
    assert headrace("webhooks", "rejects", "list").stdout == (
        "every part of every webhook was taken in, but for notices\n"
    )
    app.execute(LACKS_A_DEFAULT)
    for sent in (message("m1"), message("m2", type="\x1b[31mred"), message("m3", type="system")):
        ingest(app, envelope({"messages": [sent]}))
    refused, unknown, notice = ids(app)
    listed = headrace("webhooks", "rejects", "list").stdout
    assert "23502 null value" in listed
    assert "\x1b" not in listed
    assert "a notice of the system" not in listed
    assert [row["id"] for row in json.loads(headrace("webhooks", "rejects", "list", "--json").stdout)] == [
        unknown,
        refused,
    ]
    with_notices = headrace("webhooks", "rejects", "list", "--json", "--notices", "--limit", "1")
    assert [(row["id"], row["notice"]) for row in json.loads(with_notices.stdout)] == [(notice, True)]

    again = headrace("webhooks", "rejects", "retry")
    assert again.exit_code == 1
    assert again.stdout == "0 stored, 0 there already, 0 suppressed by a trigger, 2 refused again\n"
    assert again.stderr.startswith(f"  {refused}: 23502 null value")
    app.execute(HAS_A_DEFAULT)
    assert a_sentence(headrace("webhooks", "rejects", "retry", str(refused), "99"), 1) == (
        "headrace: there is no webhook reject 99; headrace webhooks rejects list shows those there are"
    )
    done = headrace("webhooks", "rejects", "retry", str(refused))
    assert (done.exit_code, done.stdout) == (
        0,
        "1 stored, 0 there already, 0 suppressed by a trigger, 0 refused again\n",
    )
    assert headrace("webhooks", "rejects", "retry", "--any-type").exit_code == 0
    assert app.execute("SELECT count(*) FROM messages").fetchone() == (2,)
    assert ids(app) == [notice]

    assert a_sentence(headrace("webhooks", "rejects", "discard"), 2) == (
        "headrace: name rejects by id, or say --all or --notices"
    )
    assert "there is no webhook reject 99" in a_sentence(headrace("webhooks", "rejects", "discard", "99"), 1)
    assert headrace("webhooks", "rejects", "discard", "--notices").stdout == "1 discarded\n"
    assert ids(app) == []


# --- doctor ---------------------------------------------------------------------------------------------------------


def test_doctor_names_what_the_tables_refused_and_the_column_that_nothing_fills(
    app: Connection, database: str, settings: Settings
) -> None:
    ingest(app, envelope({"messages": [message("m1", type="birthday"), message("m2", type="system")]}))
    assert diagnose(database, settings).errors == ()
    app.execute(LACKS_A_DEFAULT)
    notes = [note for note in diagnose(database, settings).notes if "ingest" in note.what]
    assert [note.what for note in notes] == [
        "ingest_whatsapp_webhook can store nothing in messages: column id must not be null and has no default"
    ]
    ingest(app, envelope({"messages": [message("m3")]}))
    (error,) = diagnose(database, settings).errors
    assert error.what.startswith(
        "the application's tables refused 1 part of webhooks, which are kept; the latest: 23502 null value in column"
    )
    app.execute(notes[0].remedy.encode())
    assert [note for note in diagnose(database, settings).notes if "ingest" in note.what] == []
    assert retry(app, any_type=True)[-1][1:] == (1, 0, 0, None)
    assert diagnose(database, settings).errors == ()
