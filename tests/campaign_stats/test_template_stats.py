"""Statistics of templates across campaigns: they equal the recomputed numbers of the range's campaigns, added up."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.campaign_stats.conftest import Application
from tests.campaign_stats.oracle import COUNTERS, drain, recompute
from tests.rows import a_history, insert

START = datetime(2026, 3, 27, tzinfo=UTC)
COLUMNS = [
    *("template_name", "campaigns", *COUNTERS, "failed_delivery"),
    *("delivered_rate", "read_rate", "replied_rate", "pending"),
]

Connection = psycopg.Connection[Any]


@pytest.fixture
def app(database: str) -> Connection:
    return psycopg.connect(database, autocommit=True)


def template_stats(app: Connection, name: str | None = None, start: Any = None, end: Any = None) -> list[Any]:
    cursor = app.execute(
        "SELECT * FROM headrace.template_stats(p_template_name => %s, p_from => %s, p_to => %s)",
        [name, start, end],
    )
    assert cursor.description is not None
    assert [column.name for column in cursor.description] == COLUMNS
    return cursor.fetchall()


def expected(app: Connection, start: Any = None, end: Any = None) -> dict[Any, tuple[Any, ...]]:
    """Template to campaigns, counters and rates, from the recompute of each campaign of the range."""
    created = {row[0]: row[1] for row in app.execute("SELECT id, created_at FROM campaigns")}
    found: dict[Any, list[Any]] = defaultdict(lambda: [0] * (1 + len(COUNTERS)))
    for (campaign, template), counters in recompute(app).items():
        if (start is None or created[campaign] >= start) and (end is None or created[campaign] < end):
            for position, value in enumerate((1, *counters)):
                found[template][position] += value
    return {template: (*values, *_rates(*values)) for template, values in found.items()}


def _rates(
    _: int, total: int, sent: int, delivered: int, read: int, replied: int, failed: int, queue: int
) -> tuple[Any, ...]:
    rates = [
        pytest.approx(part / whole, abs=5.1e-7) if whole else None
        for part, whole in ((delivered, sent), (read, delivered), (replied, delivered))
    ]
    return (failed - queue, *rates)


def by_template(rows: list[Any]) -> dict[Any, tuple[Any, ...]]:
    return {
        row[0]: (*row[1:10], *(None if rate is None else float(rate) for rate in row[10:13])) for row in rows
    }


def test_the_templates_of_a_range_of_days_add_up_to_what_its_campaigns_recompute_to(
    application: Application,
) -> None:
    application.drain()
    with psycopg.connect(application.url, autocommit=True) as app:
        assert by_template(template_stats(app)) == expected(app)
        moments = [None, *sorted(campaign.created_at for campaign in application.campaigns), None]
        for n, start in enumerate(moments[:-1]):
            for end in moments[max(n, 1) :]:
                wanted = expected(app, start, end)
                rows = template_stats(app, None, start, end)
                assert by_template(rows) == wanted or (not wanted and rows[0][1] == 0)
                for name in wanted:
                    (row,) = template_stats(app, name, start, end)
                    assert by_template([row]) == {name: wanted[name]}


@given(
    campaigns=st.lists(
        st.tuples(st.integers(0, 5), st.lists(st.sampled_from(["a", "b", None]), max_size=4), st.booleans()),
        max_size=5,
    ),
    start=st.none() | st.integers(0, 6),
    days=st.none() | st.integers(0, 6),
)
def test_any_campaigns_in_any_range(
    app: Connection, campaigns: list[tuple[int, list[str | None], bool]], start: int | None, days: int | None
) -> None:
    low = None if start is None else START + timedelta(days=start)
    high = None if days is None else START + timedelta(days=(start or 0) + days)
    app.execute("TRUNCATE campaigns, send_queue, message_status_logs, messages, campaign_contacts")
    frozen = []
    for day, templates, froze in campaigns:
        campaign = insert(app, "campaigns", status="running", created_at=START + timedelta(days=day))
        for n, template in enumerate(templates):
            insert(
                app,
                "send_queue",
                campaign_id=campaign,
                template_name=template,
                status="sent" if n % 2 else "failed",
            )
        frozen += [campaign] if froze else []
    drain(app)
    app.execute("SELECT headrace.freeze_campaigns(%s::uuid[])", [frozen])
    rows = template_stats(app, None, low, high)
    wanted = expected(app, low, high)
    assert [row[0] for row in rows] == sorted(wanted, key=lambda name: (name is None, name)) or not wanted
    assert by_template(rows) == (wanted or {None: (0,) * 9 + (None,) * 3})
    assert {row[13] for row in rows} == {0}


def test_campaigns_of_the_range_that_are_not_counted_yet_are_said_to_be_pending(app: Connection) -> None:
    first, second = a_history(app)
    app.execute("UPDATE campaigns SET created_at = %s", [START])
    insert(app, "campaigns", created_at=START - timedelta(days=1))
    (row,) = template_stats(app, None, START)
    assert (row[0], row[1:10], row[13]) == (None, (0,) * 9, 2)
    drain(app)
    whole = template_stats(app, "template 1", START)
    assert whole[0][1] == 2
    app.execute("UPDATE headrace.campaign SET state = 'pending' WHERE campaign_id = %s", [second])
    rows = template_stats(app, "template 1", START)
    assert [(row[0], row[1], row[13]) for row in rows] == [("template 1", 1, 1)]
    counted = app.execute(
        "SELECT total FROM headrace.campaign_template_stats WHERE campaign_id = %s AND template_name = 'template 1'",
        [first],
    ).fetchone()
    assert counted == (rows[0][2],)


def test_a_template_that_nobody_used_has_one_row_of_zeros(app: Connection) -> None:
    a_history(app)
    drain(app)
    ((name, *numbers),) = template_stats(app, "never used")
    assert (name, numbers) == ("never used", [0] * 9 + [None] * 3 + [0])


def test_a_deleted_campaign_no_longer_adds_to_its_templates_frozen_or_not(app: Connection) -> None:
    for campaign in a_history(app):
        drain(app)
        app.execute("SELECT headrace.freeze_campaigns(ARRAY[%s])", [campaign])
        app.execute("DELETE FROM campaigns WHERE id = %s", [campaign])
    assert [row[1] for row in template_stats(app)] == [0]


def test_a_range_that_ends_before_it_begins_is_an_error(app: Connection) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="is after p_to"):
        template_stats(app, None, START, START - timedelta(seconds=1))


def test_a_range_is_read_by_its_campaigns_and_not_by_whole_tables(app: Connection) -> None:
    app.execute("ALTER TABLE campaigns DISABLE TRIGGER USER")
    app.execute(
        "INSERT INTO campaigns (status, created_at)"
        " SELECT 'completed', %s - make_interval(mins => n) FROM generate_series(1, 20000) n",
        [START],
    )
    app.execute("INSERT INTO headrace.campaign (campaign_id, state) SELECT id, 'live' FROM campaigns")
    app.execute(
        "INSERT INTO headrace.campaign_template_stats"
        " (campaign_id, template_name, template_md5, total, sent, delivered, read, replied, failed, failed_queue)"
        " SELECT id, 'template ' || n, headrace.template_md5('template ' || n), 9, 8, 7, 6, 5, 2, 1 FROM campaigns, generate_series(1, 3) n"
    )
    app.execute("ALTER TABLE campaigns ENABLE TRIGGER USER; ANALYZE")
    app.execute("SET random_page_cost = 4")  # a server's default, though not the embedded one's
    # So that statistics gathered so far are not counted in the next transaction.
    app.execute("SELECT pg_stat_force_next_flush()")
    with app.transaction(force_rollback=True):
        plan = app.execute(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT * FROM headrace.template_stats(p_from => %s)",
            [START - timedelta(minutes=100)],
        ).fetchone()
        used = app.execute(
            "SELECT pg_stat_get_xact_tuples_returned('campaigns_newest'::regclass),"
            " (SELECT sum(seq_scan) FROM pg_stat_xact_user_tables WHERE schemaname IN ('public', 'headrace'))"
        ).fetchone()
    assert plan is not None
    assert plan[0][0]["Plan"]["Actual Rows"] == 3
    assert used is not None
    entries, whole_tables = used
    assert whole_tables == 0
    assert 200 <= entries <= 210  # once for the counters, once for what is pending
