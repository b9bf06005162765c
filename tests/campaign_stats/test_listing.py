"""Lists of campaigns, page by page: each campaign once, in order, whatever happens in between; cursors; plans."""

from __future__ import annotations

import base64
import contextlib
import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.install.migrate import migrate
from orchestration.settings import Settings
from tests.campaign_stats.oracle import drain
from tests.databases import clone, create_database, drop_database, with_database
from tests.rows import a_history, insert

START = datetime(2026, 3, 27, 12, tzinfo=UTC)
ANNA, BERT, CARL, DORA = (uuid.UUID(int=n) for n in (1, 2, 3, 4))

Connection = psycopg.Connection[Any]


@pytest.fixture
def app(database: str) -> Connection:
    return psycopg.connect(database, autocommit=True)


def page(app: Connection, user: object = None, cursor: str | None = None, limit: int = 20) -> dict[str, Any]:
    row = app.execute(
        "SELECT headrace.list_campaign_stats(p_user_id => %s, p_cursor => %s, p_limit => %s)",
        [user, cursor, limit],
    ).fetchone()
    assert row is not None
    found: dict[str, Any] = row[0]
    assert set(found) == {"campaigns", "next_cursor"}
    return found


def walk(
    app: Connection, user: object = None, limit: int = 20, between: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    """All pages, one after the other; `between` is called after each."""
    documents: list[dict[str, Any]] = []
    cursor = None
    while True:
        found = page(app, user, cursor, limit)
        assert len(found["campaigns"]) <= limit
        documents += found["campaigns"]
        cursor = found["next_cursor"]
        if cursor is None:
            return documents
        assert len(found["campaigns"]) == limit
        between()


# --- every campaign once, in order ---------------------------------------------------------------------------------

minute = st.integers(0, 2)  # few, so that times are equal
owner = st.sampled_from([ANNA, BERT, None])
change = st.one_of(
    st.tuples(st.just("insert"), minute, owner), st.tuples(st.just("delete"), st.integers(0, 30))
)


@pytest.mark.server
@given(
    there=st.lists(st.tuples(minute, owner), max_size=12),
    limit=st.integers(1, 5),
    user=owner,
    changes=st.lists(st.lists(change, max_size=3), max_size=8),
)
def test_what_is_there_throughout_is_listed_once_and_in_order_whatever_comes_and_goes(
    app: Connection, there: list[tuple[int, Any]], limit: int, user: Any, changes: list[list[Any]]
) -> None:
    rows: dict[uuid.UUID, tuple[datetime, Any]] = {}
    ever: dict[uuid.UUID, tuple[datetime, Any]] = {}
    waiting = iter(changes)

    def add(at: int, of: Any) -> None:
        created_at = START + timedelta(minutes=at)
        campaign = insert(app, "campaigns", created_at=created_at, user_id=of)
        rows[campaign] = ever[campaign] = (created_at, of)

    def between() -> None:
        for kind, *what in next(waiting, []):
            if kind == "insert":
                add(*what)
            elif gone := sorted(rows)[what[0] : what[0] + 1]:
                app.execute("DELETE FROM campaigns WHERE id = %s", gone)
                del rows[gone[0]]
                throughout.discard(gone[0])

    with app.transaction(force_rollback=True):
        for at, of in there:
            add(at, of)
        throughout = set(rows)
        listed = [uuid.UUID(document["campaign_id"]) for document in walk(app, user, limit, between)]
        expected = {campaign for campaign in throughout if user is None or rows[campaign][1] == user}
        assert expected <= set(listed)
        assert len(set(listed)) == len(listed)
        assert listed == sorted(listed, key=lambda campaign: (ever[campaign][0], campaign), reverse=True)
        assert user is None or {ever[campaign][1] for campaign in listed} <= {user}


def test_times_are_told_apart_to_the_microsecond_and_may_be_infinite_or_before_christ(
    app: Connection,
) -> None:
    times = [
        *("infinity", "2026-03-27 12:00:00.000002+00", "2026-03-27 12:00:00.000001+00"),
        *("2026-03-27 13:00:00+02", "0044-03-15 12:00:00.5+00 BC", "-infinity"),
    ]
    campaigns = [insert(app, "campaigns", created_at=time) for time in times]
    for zone, style in (("America/Sao_Paulo", "German"), ("UTC", "SQL, DMY")):
        app.execute(f"SET timezone = '{zone}'; SET datestyle = '{style}'".encode())
        assert [document["campaign_id"] for document in walk(app, limit=1)] == list(map(str, campaigns))


# --- what a page says ----------------------------------------------------------------------------------------------


def test_a_list_has_the_stored_documents_and_counts_nothing_itself(app: Connection) -> None:
    first, second = a_history(app)
    waiting = insert(app, "campaigns", name="never counted", status="running")
    scheduled = insert(app, "campaigns", name="to come", status="scheduled")
    drain(app)
    app.execute("SELECT headrace.freeze_campaigns(ARRAY[%s])", [second])
    app.execute("UPDATE headrace.campaign SET state = 'pending' WHERE campaign_id = %s", [waiting])
    listed = {uuid.UUID(document["campaign_id"]): document for document in page(app)["campaigns"]}
    assert {campaign: (document["source"], document["state"]) for campaign, document in listed.items()} == {
        first: ("computed", "live"),
        second: ("frozen", "frozen"),
        waiting: ("none", "pending"),
        scheduled: ("none", None),
    }
    for campaign in (first, second, scheduled):
        row = app.execute("SELECT headrace.campaign_stats(%s)", [campaign]).fetchone()
        assert row is not None
        assert {**row[0], "age_seconds": None} == {**listed[campaign], "age_seconds": None}
    assert listed[first]["age_seconds"] >= 0
    assert listed[waiting].keys() == listed[first].keys()
    assert (
        listed[waiting]["totals"] is listed[waiting]["template_stats"] is listed[waiting]["version"] is None
    )


def test_a_campaign_without_a_status_is_listed_and_read_with_its_numbers(app: Connection) -> None:
    app.execute("ALTER TABLE campaigns ALTER status DROP NOT NULL")
    campaign = insert(app, "campaigns", status=None)
    drain(app)
    row = app.execute("SELECT headrace.campaign_stats(%s)", [campaign]).fetchone()
    assert row is not None
    assert row[0]["source"] == page(app)["campaigns"][0]["source"] == "computed"


def test_a_deleted_campaign_is_in_no_list_though_its_frozen_document_is_kept(app: Connection) -> None:
    _, frozen = a_history(app)
    drain(app)
    app.execute("SELECT headrace.freeze_campaigns(ARRAY[%s])", [frozen])
    app.execute("DELETE FROM campaigns WHERE id = %s", [frozen])
    drain(app)
    row = app.execute("SELECT headrace.campaign_stats(%s)", [frozen]).fetchone()
    assert row is not None
    assert row[0]["deleted_at"] is not None
    assert str(frozen) not in {document["campaign_id"] for document in page(app)["campaigns"]}


def test_no_campaigns_are_an_empty_page_and_the_end(app: Connection) -> None:
    assert page(app) == page(app, ANNA) == {"campaigns": [], "next_cursor": None}


def test_a_last_page_that_is_full_says_that_it_is_the_last(app: Connection) -> None:
    for _ in range(4):
        insert(app, "campaigns", status="draft")
    cursor = page(app, limit=2)["next_cursor"]
    assert page(app, cursor=cursor, limit=2)["next_cursor"] is None


# --- users of other types ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "mine", "other"), [("bigint", 7, 8), ("varchar(40)", "anna", "bert"), ("text", "", "b")]
)
def test_users_have_the_type_that_the_applications_column_has(
    app_database: str, settings: Settings, column: str, mine: object, other: object
) -> None:
    with psycopg.connect(app_database, autocommit=True) as app:
        app.execute(
            f"ALTER TABLE campaigns DROP COLUMN user_id, ADD COLUMN user_id {column};"
            " CREATE INDEX ON campaigns (user_id, created_at, id)".encode()
        )
        migrate(app_database, settings)
        ours = [insert(app, "campaigns", user_id=mine) for _ in range(3)]
        insert(app, "campaigns", user_id=other)
        insert(app, "campaigns", status="draft")
        assert {d["campaign_id"] for d in walk(app, mine, limit=1)} == set(map(str, ours))
        assert len(walk(app, limit=2)) == 5
        if column == "text":
            with pytest.raises(psycopg.errors.InvalidParameterValue, match="p_user_id has 2001 bytes"):
                page(app, "x" * 2001)
            assert walk(app, "x" * 2000) == []


def test_without_a_user_column_there_are_only_lists_of_all(app_database: str, settings: Settings) -> None:
    with psycopg.connect(app_database, autocommit=True) as app:
        app.execute("ALTER TABLE campaigns DROP COLUMN user_id")
        migrate(app_database, settings)
        for _ in range(3):
            insert(app, "campaigns", status="draft")
        assert len(walk(app, limit=2)) == 3
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="no column user_id") as raised:
            page(app, "anna")
        assert raised.value.diag.message_hint == "Leave p_user_id null."
        # and with the column, the function is another one
        app.execute("ALTER TABLE campaigns ADD COLUMN user_id bigint DEFAULT 1")
        migrate(app_database, settings)
        assert len(walk(app, 1, limit=2)) == 3


# --- what is refused -----------------------------------------------------------------------------------------------


def encoded(content: object) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


BAD = {
    "empty": "",
    "not base64": "what?",
    "one letter too many": "QUJDR",
    "letters of other alphabets": "Привет",
    "not text": base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    "not JSON": encoded("hello"),
    "a number": encoded(7),
    "an object": encoded({"at": 1}),
    "too few": encoded(["2026-03-27T12:00:00", str(ANNA)]),
    "too many": encoded(["2026-03-27T12:00:00", str(ANNA), None, None]),
    "no time": encoded([None, str(ANNA), None]),
    "another time": encoded(["yesterday evening", str(ANNA), None]),
    "a time that is none": encoded(["2026-02-30T12:00:00", str(ANNA), None]),
    "a time out of range": encoded(["999999-01-01T00:00:00", str(ANNA), None]),
    "no id": encoded(["2026-03-27T12:00:00", None, None]),
    "another id": encoded(["2026-03-27T12:00:00", "7", None]),
    "a character that text cannot have": encoded('["2026-03-27T12:00:00", "\\u0000", null]'),
    "nested deeply": encoded("[" * 100_000),
    "cut off": encoded(["2026-03-27T12:00:00", str(ANNA), None])[:-6],
}


def test_what_is_far_too_long_is_refused_before_it_is_read(app: Connection) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="it has 50000000 bytes"):
        app.execute("SELECT headrace.list_campaign_stats(p_cursor => repeat('A', 50000000))")


@pytest.mark.parametrize("cursor", BAD.values(), ids=BAD)
def test_a_bad_cursor_is_an_error_that_says_so(app: Connection, cursor: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="is not a cursor of this list") as raised:
        page(app, cursor=cursor)
    assert raised.value.diag.message_hint == (
        "Pass next_cursor of the page before as it came, or null for the first page."
    )


@given(cursor=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60))
def test_no_text_is_an_error_of_another_kind(app: Connection, cursor: str) -> None:
    with contextlib.suppress(psycopg.errors.InvalidParameterValue):
        page(app, cursor=cursor)
    assert app.info.transaction_status is psycopg.pq.TransactionStatus.IDLE


def test_a_cursor_of_one_users_list_does_not_open_anothers(app: Connection) -> None:
    for user in (ANNA, ANNA, BERT, BERT):
        insert(app, "campaigns", user_id=user)
    cursors = {user: page(app, user, limit=1)["next_cursor"] for user in (ANNA, BERT, None)}
    for given_for, cursor in cursors.items():
        for user in cursors:
            if user == given_for:
                assert len(page(app, user, cursor)["campaigns"]) > 0
                continue
            with pytest.raises(psycopg.errors.InvalidParameterValue, match="list of another user"):
                page(app, user, cursor)


@pytest.mark.parametrize("limit", [0, -1, 201, None])
def test_a_page_has_between_1_and_200_campaigns(app: Connection, limit: int | None) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="1 to 200"):
        app.execute("SELECT headrace.list_campaign_stats(p_limit => %s)", [limit])


# --- plans ---------------------------------------------------------------------------------------------------------

MANY = 20_000


@pytest.fixture(scope="module")
def of_many(server_url: str, templates: dict[str, str]) -> Iterator[str]:
    """Template database with 20,000 counted campaigns, three at each time. One user has every fortieth, another the oldest."""
    name = create_database(server_url, templates["migrated"])
    with psycopg.connect(with_database(server_url, name), autocommit=True) as app:
        make_many(app)
    yield name
    drop_database(server_url, name)


@pytest.fixture
def many(server_url: str, of_many: str) -> Iterator[Connection]:
    with clone(server_url, of_many) as url, psycopg.connect(url, autocommit=True) as app:
        yield app


def make_many(app: Connection) -> None:
    app.execute("ALTER TABLE campaigns DISABLE TRIGGER USER")
    app.execute(
        "INSERT INTO campaigns (user_id, status, created_at)"
        " SELECT CASE WHEN n > %(many)s - 30 THEN %(old)s WHEN n %% 40 = 0 THEN %(rare)s"
        "  ELSE (%(users)s::uuid[])[1 + n %% 2] END, 'completed',"
        "  %(start)s - make_interval(mins => n / 3) FROM generate_series(1, %(many)s) n",
        {"many": MANY, "users": [ANNA, BERT], "old": CARL, "rare": DORA, "start": START},
    )
    app.execute("INSERT INTO headrace.campaign (campaign_id, state) SELECT id, 'live' FROM campaigns")
    app.execute(
        "INSERT INTO headrace.campaign_computed_stats (campaign_id, template_stats, totals, checksum)"
        " SELECT id, '[]', '{}', '' FROM campaigns"
    )
    app.execute("ALTER TABLE campaigns ENABLE TRIGGER USER; ANALYZE")


@pytest.mark.parametrize(
    "user", [None, ANNA, CARL, DORA], ids=["all", "one of two", "one of old", "one of many"]
)
@pytest.mark.parametrize("part", [0, 0.5, 0.999])
def test_a_page_is_read_by_the_index_at_any_depth(many: Connection, user: Any, part: float) -> None:
    cursor = None
    if part:
        rows = many.execute(
            "SELECT (created_at AT TIME ZONE 'UTC')::text, id::text, md5(%(user)s::text) FROM campaigns"
            " WHERE %(user)s::uuid IS NULL OR user_id = %(user)s::uuid ORDER BY created_at DESC, id DESC",
            {"user": user},
        ).fetchall()
        cursor = encoded(list(rows[int(len(rows) * part) - 1]))
    page(many, user, cursor)  # the catalog's blocks are read once a session
    # So that statistics gathered so far are not counted in the next transaction.
    many.execute("SELECT pg_stat_force_next_flush()")
    with many.transaction(force_rollback=True):
        plan = many.execute(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT headrace.list_campaign_stats(%s, %s, 20)",
            [user, cursor],
        ).fetchone()
        used = many.execute(
            "SELECT pg_stat_get_xact_tuples_returned('campaigns_newest'::regclass)"
            " + pg_stat_get_xact_tuples_returned('campaigns_of_user'::regclass),"
            " (SELECT sum(seq_scan) FROM pg_stat_xact_user_tables WHERE schemaname IN ('public', 'headrace'))"
        ).fetchone()
    assert plan is not None
    assert used is not None
    entries, whole_tables = used
    assert whole_tables == 0
    # A page, one more to know whether another follows, and the last of the previous page; twice that if only every other one is the user's.
    assert 1 <= entries <= 60
    blocks = plan[0][0]["Plan"]["Shared Hit Blocks"] + plan[0][0]["Plan"]["Shared Read Blocks"]
    assert blocks < 300  # about ten per campaign


def read(app: Connection, statement: str, *parameters: object) -> tuple[int, int]:
    """How many rows and index entries a statement reads in the tables of both schemas, and how many tables it reads whole."""
    app.execute(statement.encode(), parameters)  # the catalog's blocks are read once a session
    app.execute("SELECT pg_stat_force_next_flush()")
    with app.transaction(force_rollback=True):
        app.execute(statement.encode(), parameters)
        found = app.execute(
            "SELECT coalesce(sum(idx_tup_fetch + seq_tup_read), 0)::int, sum(seq_scan)::int"
            " FROM pg_stat_xact_user_tables WHERE schemaname IN ('public', 'headrace')"
            " AND relname <> 'source'"  # four rows of notes about the tables, looked up when a plan is made
        ).fetchone()
    assert found is not None
    return found


def test_a_long_page_is_read_by_the_index_before_there_are_statistics_of_the_table(app: Connection) -> None:
    app.execute(
        "ALTER TABLE campaigns SET (autovacuum_enabled = off); ALTER TABLE campaigns DISABLE TRIGGER USER"
    )
    app.execute(
        "INSERT INTO campaigns (user_id, created_at)"
        " SELECT %s, %s::timestamptz - make_interval(mins => n / 3) FROM generate_series(1, %s) n",
        [ANNA, START, MANY],
    )
    rows, _ = read(app, "SELECT headrace.list_campaign_stats(%s, p_limit => 200)", ANNA)
    assert rows == 201  # the page, and one more to know whether another follows


def test_a_stored_document_is_read_by_key(many: Connection) -> None:
    campaign = many.execute("SELECT id FROM campaigns OFFSET 7000 LIMIT 1").fetchall()[0][0]
    rows, whole_tables = read(many, "SELECT headrace.campaign_stats(%s)", campaign)
    assert whole_tables == 0
    assert rows == 3  # the campaign, Headrace's own row for it, the document


def test_what_is_due_is_found_without_looking_at_what_is_settling(many: Connection) -> None:
    many.execute("UPDATE headrace.campaign SET state = 'settling', settles_until = now() + interval '1 day'")
    many.execute("VACUUM ANALYZE headrace.campaign")
    assert read(many, "SELECT headrace.rebuilds_pending()") == (0, 0)
    many.execute(
        "UPDATE headrace.campaign SET settles_until = now() WHERE campaign_id = (SELECT id FROM campaigns LIMIT 1)"
    )
    rows, whole_tables = read(many, "SELECT headrace.rebuilds_pending()")
    assert (rows <= 2, whole_tables) == (True, 0)
