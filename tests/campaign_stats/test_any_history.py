"""The statistics are right whatever happens to the source rows, in any order and across any transactions."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.campaign_stats.oracle import assert_all_agree, drain

START = datetime(2026, 3, 27, 12, tzinfo=UTC)
CAMPAIGNS = [uuid.UUID(int=n) for n in range(1, 4)]
ROWS = [uuid.UUID(int=n) for n in range(101, 109)]
MESSAGES = [uuid.UUID(int=n) for n in range(201, 206)]
LOGS = list(range(1, 9))

maybe_campaign = st.sampled_from([*CAMPAIGNS * 3, None])
phone = st.sampled_from(["5511"] * 6 + ["5522", None, ""])
number = st.sampled_from(["n1"] * 8 + ["n2", None, ""])
wamid = st.sampled_from(["w1", "w2", "w3", "w4", None, ""])
template = st.sampled_from(["hello", "offer", None])
# Few moments, so that ties are common. Some lie beyond the reply window, and one at its edge, to the microsecond.
moment = st.sampled_from(
    [START + timedelta(minutes=m) for m in (0, 0, 1, 2, 3)]
    + [START + timedelta(days=7), START + timedelta(days=7, microseconds=1), START + timedelta(days=9)]
)
provider_status = st.sampled_from(["sent", "delivered", "read", "played", "failed", "deleted", "warning"])
queue_status = st.sampled_from(["queued", "sent", "sent", "failed"])

queue_columns = {
    "campaign_id": maybe_campaign,
    "template_name": template,
    "status": queue_status,
    "whatsapp_message_id": wamid,
    "user_phone": phone,
    "whatsapp_number_id": number,
    "sent_at": st.one_of(st.none(), moment),
    "created_at": moment,
}
message_columns = {
    "direction": st.sampled_from(["incoming", "incoming", "incoming", "outgoing", None]),
    "user_phone": phone,
    "whatsapp_number_id": number,
    "created_at": moment,
    "context_message_id": st.sampled_from([None] * 4 + ["", "w1", "w2"]),
}
log_columns = {"whatsapp_message_id": wamid, "status": provider_status, "created_at": moment}
campaign_columns = {"status": st.sampled_from(["draft", "running", "completed"]), "created_at": moment}


def _some_of(columns: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=columns).filter(bool)


def _write(table: str, ids: list[Any], columns: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    one = st.sampled_from(ids)
    return st.one_of(
        st.tuples(st.just("insert"), st.just(table), one, st.fixed_dictionaries(columns)),
        st.tuples(st.just("insert"), st.just(table), one, st.fixed_dictionaries(columns)),
        st.tuples(st.just("update"), st.just(table), one, _some_of(columns)),
        st.tuples(st.just("update"), st.just(table), one, _some_of(columns)),
        st.tuples(st.just("delete"), st.just(table), one, st.none()),
    )


write = st.one_of(
    _write("send_queue", ROWS, queue_columns),
    _write("send_queue", ROWS, queue_columns),
    _write("send_queue", ROWS, queue_columns),
    _write("message_status_logs", LOGS, log_columns),
    _write("message_status_logs", LOGS, log_columns),
    _write("messages", MESSAGES, message_columns),
    _write("messages", MESSAGES, message_columns),
    st.one_of(
        _write("campaigns", CAMPAIGNS, campaign_columns),
        st.tuples(st.just("rename"), st.just("send_queue"), st.sampled_from(ROWS), st.sampled_from(ROWS)),
        st.tuples(st.just("rebuild"), st.sampled_from(CAMPAIGNS), st.none(), st.none()),
        st.tuples(
            st.just("truncate"),
            st.sampled_from(["campaigns", "send_queue", "message_status_logs", "messages"]),
            st.none(),
            st.none(),
        ),
    ),
)
# What follows a write. Drained at once, anything that a change fails to touch stays wrong; drained late, windows grow and mix.
then = st.sampled_from(["drain", "drain", "drain", "commit", "step", "rollback", "nothing"])
# Which of two sessions writes: one may hold its transaction open while the other commits and streams are drained.
history = st.lists(st.tuples(st.sampled_from([0, 0, 0, 1]), write, then), min_size=12, max_size=40)


def _rows(columns: dict[str, st.SearchStrategy[Any]], ids: list[Any]) -> st.SearchStrategy[list[Any]]:
    size = len(ids)
    return st.lists(st.fixed_dictionaries(columns), min_size=size // 2, max_size=size).map(
        lambda r: list(zip(ids, r, strict=False))
    )


# Rows that exist and are counted before anything happens; without them most writes would find no rows.
beginning = st.fixed_dictionaries(
    {
        "send_queue": _rows(queue_columns, ROWS),
        "message_status_logs": _rows(log_columns, LOGS),
        "messages": _rows(message_columns, MESSAGES),
    }
)


@pytest.fixture
def sessions(database: str) -> Iterator[tuple[list[psycopg.Connection[Any]], psycopg.Connection[Any]]]:
    with contextlib.ExitStack() as stack:
        pair = [stack.enter_context(contextlib.closing(psycopg.connect(database))) for _ in range(2)]
        for session in pair:
            session.execute("SET lock_timeout = '20ms'")
            session.commit()
        worker = stack.enter_context(contextlib.closing(psycopg.connect(database, autocommit=True)))
        worker.execute("SET lock_timeout = '50ms'")
        yield pair, worker


def _do(session: psycopg.Connection[Any], action: tuple[Any, ...]) -> None:
    kind, table, row, values = action
    match kind:
        case "insert":
            columns = ", ".join(["id", *values])
            session.execute(
                f"INSERT INTO {table} ({columns}) VALUES ({', '.join(['%s'] * (len(values) + 1))})"
                " ON CONFLICT (id) DO UPDATE SET " + ", ".join(f"{c} = excluded.{c}" for c in values),
                [row, *values.values()],
            )
        case "update":
            session.execute(
                f"UPDATE {table} SET {', '.join(f'{c} = %s' for c in values)} WHERE id = %s",
                [*values.values(), row],
            )
        case "delete":
            session.execute(f"DELETE FROM {table} WHERE id = %s", [row])
        case "rename":
            session.execute("UPDATE send_queue SET id = %s WHERE id = %s", [values, row])
        case "truncate":
            session.execute(f"TRUNCATE {table} CASCADE")


def _step(worker: psycopg.Connection[Any], limit: int) -> None:
    for stream, shard, kind in worker.execute(
        "SELECT stream, shard, work FROM headrace.stream_poll()"
    ).fetchall():
        if kind == "rebuild":
            worker.execute("SELECT headrace.stream_rebuild(%s)", [stream])
        else:
            worker.execute("SELECT headrace.stream_step(%s, %s, %s)", [stream, shard, limit])


@pytest.mark.long
@pytest.mark.server
@given(beginning=beginning, history=history)
def test_after_any_history_the_statistics_equal_an_independent_recompute(
    sessions: tuple[list[psycopg.Connection[Any]], psycopg.Connection[Any]],
    beginning: dict[str, Any],
    history: list[Any],
) -> None:
    pair, worker = sessions
    worker.execute("TRUNCATE campaigns, send_queue, message_status_logs, messages CASCADE")
    drain(worker)
    assert assert_all_agree(worker) == {}

    for campaign in CAMPAIGNS:
        worker.execute("INSERT INTO campaigns (id, created_at) VALUES (%s, %s)", [campaign, START])
    for table, rows in beginning.items():
        for row, values in rows:
            _do(worker, ("insert", table, row, values))
    drain(worker)
    assert_all_agree(worker)
    for which, action, afterwards in history:
        session = pair[which]
        # If a session holds a TRUNCATE open, a worker would wait for it; here it gives up and comes back later.
        with contextlib.suppress(psycopg.errors.LockNotAvailable):
            if action[0] == "rebuild":
                worker.execute("SELECT headrace.rebuild_campaign_stats(ARRAY[%s])", [action[1]])
        if action[0] != "rebuild":
            try:
                _do(session, action)
            except (
                psycopg.errors.LockNotAvailable,
                psycopg.errors.IntegrityError,
                psycopg.errors.DeadlockDetected,
            ):
                session.rollback()
        if afterwards == "rollback":
            session.rollback()
        elif afterwards != "nothing":
            session.commit()
        with contextlib.suppress(psycopg.errors.LockNotAvailable):
            if afterwards == "drain":
                drain(worker)
            elif afterwards == "step":
                _step(worker, 2)
    for session in pair:
        session.commit()

    drain(worker, limit=7)
    assert_all_agree(worker)
    assert drain(worker) == 0
    assert worker.execute("SELECT count(*) FROM headrace.dead_letter").fetchone() == (0,)
