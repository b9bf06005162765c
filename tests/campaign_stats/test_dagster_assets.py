"""Materializing the assets on an ephemeral instance, against the real database."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa
from PIL import Image

from orchestration.campaign_stats import recompute
from orchestration.campaign_stats.assets import campaign_computed_stats, campaign_template_stats
from orchestration.campaign_stats.counters import COUNTERS, Counters
from orchestration.campaign_stats.funnel import COLORS
from orchestration.campaign_stats.recompute import (
    MOST_CAMPAIGNS_AT_ONCE,
    MOST_MESSAGES_AT_ONCE,
    Campaign,
    Upkeep,
    Window,
    bring_up_to_date,
    portions,
    telling,
)
from orchestration.campaign_stats.summaries import (
    COMPUTED_STATS,
    MOST_LINES,
    TEMPLATE_STATS,
    Line,
    funnel_markdown,
    markdown,
)
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.database.connections import engine
from orchestration.engine.stream import Drained
from orchestration.errors import HeadraceError
from tests.campaign_stats.conftest import Application

COLUMNS = ", ".join(COUNTERS)
READ = f"SELECT campaign_id, template_name, {COLUMNS} FROM headrace.%s ORDER BY 1, 2"
LIVE, STORED = READ % "campaign_template_stats_live", READ % "campaign_template_stats"
DOCUMENTS = "SELECT campaign_id, template_stats, totals FROM headrace.campaign_computed_stats ORDER BY 1"
WRONG_TOTAL = "UPDATE headrace.campaign_template_stats SET total = total + 1 WHERE campaign_id = %s"


def materialize(
    instance: dg.DagsterInstance,
    *,
    partition: str | None = None,
    between: tuple[str, str] | None = None,
    config: Mapping[str, object] | None = None,
) -> dg.ExecuteInProcessResult:
    tags = {}
    if between:
        tags = dict(
            zip(
                ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end"),
                between,
                strict=True,
            )
        )
    ops = {name: {"config": dict(config)} for name in (TEMPLATE_STATS, COMPUTED_STATS)} if config else {}
    return dg.materialize(
        [campaign_template_stats, campaign_computed_stats],
        instance=instance,
        partition_key=partition,
        tags=tags,
        run_config={"ops": ops},
        resources={"database": ApplicationDatabase()},
    )


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str | None, dict[str, Any]]:
    """Values of the asset's events, by partition."""
    found = {}
    for event in result.asset_materializations_for_node(asset):
        found[event.partition] = {name: value.value for name, value in event.metadata.items()}
    return found


def test_a_partition_is_materialized_with_its_numbers(application: Application) -> None:
    day = application.days()[-1]
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(instance, partition=day)
    assert result.success
    assert application.rows(STORED) == application.rows(LIVE) != []

    campaigns = [campaign.id for campaign in application.of_day(day)]
    rows = [row for row in application.rows(STORED) if row[0] in campaigns]
    told = metadata(result, TEMPLATE_STATS)[day]
    assert told["dagster/row_count"] == len(application.rows(STORED))
    assert told["dagster/partition_row_count"] == len(rows)
    assert told["campaigns"] == len(campaigns)
    assert told["messages"] == sum(row[2] for row in rows)
    assert told["replied"] == sum(row[6] for row in rows)
    assert told["changes_applied"] > 0
    assert told["seconds"] > 0
    assert [c.name for c in told["dagster/column_schema"].columns][:3] == [
        "campaign_id",
        "template_name",
        "total",
    ]
    for row in rows:
        assert f"| {row[1]} " in told["per_template"]

    told = metadata(result, COMPUTED_STATS)[day]
    assert told["dagster/row_count"] == len(application.campaigns)
    assert told["dagster/partition_row_count"] == len(campaigns)
    assert told["documents_mended"] == 0
    for campaign in application.of_day(day):
        assert campaign.name in told["per_campaign"]


def test_a_range_is_one_run_and_tells_each_partition_its_own_row_count(application: Application) -> None:
    days = application.days()
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(instance, between=(days[0], days[-1]))
        assert instance.get_runs_count() == 1
    assert result.success
    assert application.rows(STORED) == application.rows(LIVE)
    first, last = (date.fromisoformat(day) for day in (days[0], days[-1]))
    every = [str(first + timedelta(days=number)) for number in range((last - first).days + 1)]
    per_day = metadata(result, TEMPLATE_STATS)
    assert sorted(str(day) for day in per_day) == every
    documents = metadata(result, COMPUTED_STATS)
    for day in every:
        campaigns = [campaign.id for campaign in application.of_day(day)]
        rows = [row for row in application.rows(STORED) if row[0] in campaigns]
        assert per_day[day]["dagster/partition_row_count"] == len(rows)
        assert per_day[day]["messages"] == sum(row[2] for row in rows)
        assert documents[day]["dagster/partition_row_count"] == len(campaigns)
        if not campaigns:
            assert per_day[day]["per_template"] == documents[day]["per_campaign"] == "No campaigns."
    assert sum(told["dagster/partition_row_count"] for told in per_day.values()) == len(
        application.rows(STORED)
    )


def read_in(told: Mapping[str, Any]) -> float:
    """The share of the total that was read, as the picture shows it."""
    data = told["funnel_picture"].removeprefix("![funnel](data:image/png;base64,").removesuffix(")")
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
        rgb = picture.convert("RGB")
    longest = {
        step: max(
            sum(color == COLORS[step] for color in rgb.crop((0, y, rgb.width, y + 1)).get_flattened_data())
            for y in range(80, 220)
        )
        for step in ("total", "read")
    }
    return longest["read"] / longest["total"]


def test_a_run_has_one_picture_an_asset_of_all_its_partitions_and_each_partition_its_own_table(
    application: Application,
) -> None:
    days = application.days()
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(instance, between=(days[0], days[-1]))
    ((total, read),) = application.rows(
        "SELECT sum(total), sum(read) FROM headrace.campaign_template_stats_live"
    )
    for asset in (TEMPLATE_STATS, COMPUTED_STATS):
        told = metadata(result, asset)
        assert [day for day, values in told.items() if "funnel_picture" in values] == [days[-1]]
        assert read_in(told[days[-1]]) == pytest.approx(float(read / total), abs=0.005)
        for values in told.values():
            counters = {name: values[name] for name in ("sent", "delivered", "read", "replied", "failed")}
            assert values["funnel"] == funnel_markdown(Counters(total=values["messages"], **counters))


def test_a_day_without_campaigns_has_no_picture(application: Application) -> None:
    day = str(date.fromisoformat(application.days()[0]) - timedelta(days=1))
    with dg.DagsterInstance.ephemeral() as instance:
        told = metadata(materialize(instance, partition=day), TEMPLATE_STATS)[day]
    assert told["campaigns"] == 0
    assert "funnel_picture" not in told


def test_what_is_up_to_date_is_left_alone_and_rebuild_repairs_a_wrong_counter(
    application: Application,
) -> None:
    day = application.days()[0]
    wrong = application.of_day(day)[0].id
    with dg.DagsterInstance.ephemeral() as instance:
        materialize(instance, partition=day)
        application.rows(WRONG_TOTAL, [wrong])
        again = metadata(materialize(instance, partition=day), TEMPLATE_STATS)[day]
        assert again["campaigns_rebuilt"] == 0
        assert application.rows(STORED) != application.rows(LIVE)

        repaired = metadata(materialize(instance, partition=day, config={"rebuild": True}), TEMPLATE_STATS)[
            day
        ]
    assert repaired["campaigns_rebuilt"] == len(application.of_day(day))
    assert repaired["rows_corrected"] > 0
    assert application.rows(STORED) == application.rows(LIVE)


@pytest.fixture
def rebuilt(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The rebuilds that runs request from the database, recorded as they happen."""
    make, found = ApplicationDatabase.engine, []

    def engine_that_tells(database: ApplicationDatabase) -> sa.Engine:
        made = make(database)

        @sa.event.listens_for(made, "after_cursor_execute")
        def noted(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if "headrace.rebuild_campaign_stats" in statement:
                found.append(statement)

        return made

    monkeypatch.setattr(ApplicationDatabase, "engine", engine_that_tells)
    return found


def test_a_run_of_both_assets_recomputes_once(application: Application, rebuilt: list[str]) -> None:
    application.drain()
    day = application.days()[0]
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(instance, partition=day, config={"rebuild": True})
        assert len(rebuilt) == 1
        assert metadata(result, TEMPLATE_STATS)[day]["campaigns_rebuilt"] == len(application.of_day(day))
        assert metadata(result, COMPUTED_STATS)[day]["campaigns_rebuilt"] == 0
        assert metadata(result, COMPUTED_STATS)[day]["changes_applied"] == 0


@pytest.mark.parametrize("earlier", [False, True], ids=["first", "after a run of the other"])
def test_documents_alone_are_brought_up_to_date_all_the_same(
    application: Application, rebuilt: list[str], earlier: bool
) -> None:
    day = application.days()[0]
    with dg.DagsterInstance.ephemeral() as instance:
        if earlier:
            materialize(instance, partition=day)
            application.rows("UPDATE send_queue SET status = 'failed'")
        alone = dg.materialize(
            [campaign_template_stats, campaign_computed_stats],
            selection=[campaign_computed_stats],
            instance=instance,
            partition_key=day,
            run_config={"ops": {COMPUTED_STATS: {"config": {"rebuild": True}}}},
            resources={"database": ApplicationDatabase()},
        )
    told = metadata(alone, COMPUTED_STATS)[day]
    assert told["changes_applied"] > 0
    assert told["campaigns_rebuilt"] == len(application.of_day(day))
    assert len(rebuilt) == 1
    assert application.rows(STORED) == application.rows(LIVE)


@pytest.mark.parametrize("asked", [{"rebuild": True}, {"campaigns": True}])
def test_what_only_the_second_asset_is_asked_for_is_done_by_it(
    application: Application, rebuilt: list[str], asked: dict[str, object]
) -> None:
    application.drain()
    day, other = application.days()[0], application.of_day(application.days()[-1])[0].id
    if "campaigns" in asked:
        asked = {"campaigns": [str(other)]}
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize(
            [campaign_template_stats, campaign_computed_stats],
            instance=instance,
            partition_key=day,
            run_config={"ops": {COMPUTED_STATS: {"config": asked}}},
            resources={"database": ApplicationDatabase()},
        )
    assert len(rebuilt) == 1


def test_missing_and_wrong_documents_are_mended(application: Application) -> None:
    application.drain()
    missing, wrong = application.in_state("live")[:2]
    before = application.rows(DOCUMENTS)
    application.rows("DELETE FROM headrace.campaign_computed_stats WHERE campaign_id = %s", [missing])
    application.rows(
        "UPDATE headrace.campaign_computed_stats SET checksum = 'other',"
        " template_stats = jsonb_set(template_stats, '{0,read}', '-1') WHERE campaign_id = %s",
        [wrong],
    )
    days = application.days()
    with dg.DagsterInstance.ephemeral() as instance:
        told = metadata(materialize(instance, between=(days[0], days[-1])), COMPUTED_STATS)
    assert {value["documents_mended"] for value in told.values()} == {2}
    assert application.rows(DOCUMENTS) == before


def test_a_frozen_document_is_not_written_anew_by_mending(application: Application) -> None:
    application.drain()
    frozen = application.campaigns[0].id
    assert frozen in application.in_state("frozen")
    application.rows(
        "UPDATE headrace.campaign_computed_stats SET totals = totals - 'sent' WHERE campaign_id = %s",
        [frozen],
    )
    before = application.rows(DOCUMENTS)
    days = application.days()
    with dg.DagsterInstance.ephemeral() as instance:
        materialize(instance, between=(days[0], days[-1]))
    assert application.rows("SELECT headrace.refresh_unfrozen_documents(ARRAY[%s])", [frozen]) == [(0,)]
    assert application.rows(DOCUMENTS) == before


def test_a_frozen_document_that_is_wrong_is_amended_by_a_rebuild(application: Application) -> None:
    application.drain()
    frozen = application.campaigns[0].id
    assert frozen in application.in_state("frozen")
    read = "SELECT template_stats, totals FROM headrace.campaign_computed_stats WHERE campaign_id = %s"
    right = application.rows(read, [frozen])
    application.rows(
        "UPDATE headrace.campaign_computed_stats SET totals = jsonb_set(totals, '{read}', '-1') WHERE campaign_id = %s",
        [frozen],
    )
    wrong = application.rows(read, [frozen])
    days = application.days()
    with dg.DagsterInstance.ephemeral() as instance:
        materialize(instance, between=(days[0], days[-1]), config={"rebuild": True})
    assert application.rows(read, [frozen]) == right
    assert application.in_state("amended") == [frozen]
    record = "SELECT template_stats, totals FROM headrace.campaign_stats_amendment WHERE campaign_id = %s"
    assert application.rows(record, [frozen]) == wrong


def test_a_campaign_that_has_settled_is_frozen_by_the_run_of_its_day(application: Application) -> None:
    application.drain()
    frozen = application.campaigns[0].id
    assert frozen in application.in_state("frozen")
    day = f"{next(c.created_at for c in application.campaigns if c.id == frozen).astimezone(UTC):%Y-%m-%d}"
    application.rows("SELECT headrace.reopen_campaigns(ARRAY[%s])", [frozen])
    assert application.in_state("settling") == [frozen]
    application.rows(
        "UPDATE headrace.campaign SET reopened_at = NULL, settles_until = now() WHERE campaign_id = %s",
        [frozen],
    )
    assert [c.id for c in recompute.window_campaigns(engine(application.url), window()) if c.due] == [frozen]
    with dg.DagsterInstance.ephemeral() as instance:
        told = metadata(materialize(instance, partition=day), COMPUTED_STATS)[day]
    assert frozen in application.in_state("frozen")
    assert "| frozen " in told["per_campaign"]


def test_a_campaign_that_was_never_computed_is_computed(application: Application) -> None:
    application.drain()
    campaign = application.campaigns[1]
    application.rows("UPDATE headrace.campaign SET state = 'pending' WHERE campaign_id = %s", [campaign.id])
    assert application.in_state("pending") == [campaign.id]
    day = f"{campaign.created_at.astimezone(UTC):%Y-%m-%d}"
    with dg.DagsterInstance.ephemeral() as instance:
        told = metadata(materialize(instance, partition=day), TEMPLATE_STATS)[day]
    assert told["campaigns_rebuilt"] == 1
    assert campaign.id in application.in_state("live")


def test_an_empty_database_materializes(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", database)
    today = str(datetime.now(UTC).date())
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(instance, partition=today)
    for asset in (TEMPLATE_STATS, COMPUTED_STATS):
        told = metadata(result, asset)[today]
        assert (told["dagster/row_count"], told["dagster/partition_row_count"], told["campaigns"]) == (
            0,
            0,
            0,
        )


def test_a_database_without_headrace_fails_the_run_with_what_to_do(
    app_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", app_database)
    with (
        dg.DagsterInstance.ephemeral() as instance,
        pytest.raises(HeadraceError, match="run: headrace migrate"),
    ):
        materialize(instance, partition=str(datetime.now(UTC).date()))


def window(days: int = 40) -> Window:
    now = datetime.now(UTC)
    return Window(now - timedelta(days=days), now + timedelta(days=1))


def timed_out(url: str, streams: Sequence[str], seconds: float, log: Callable[[str], None]) -> Drained:
    raise HeadraceError("not idle after 1 s: changes kept coming", exit_code=3)


def keep_up(application: Application, said: list[str] | None = None) -> Upkeep:
    return bring_up_to_date(
        engine(application.url),
        application.url,
        window(),
        rebuild=False,
        timeout_seconds=1,
        log=(said if said is not None else []).append,
        run_drain=timed_out,
    )


def test_a_run_says_every_half_minute_that_it_is_still_applying_changes() -> None:
    said: list[str] = []
    times = iter([0.0, 10.0, 31.0, 31.0, 40.0, 62.0, 62.0])

    async def no_sleep(seconds: float) -> None:
        pass

    async def four_rounds() -> None:
        sleep = telling(said.append, clock=lambda: next(times), sleep=no_sleep)
        for _ in range(4):
            await sleep(0)

    asyncio.run(four_rounds())
    assert said == ["stream campaign_stats: still at it"] * 2


def test_changes_that_keep_coming_do_not_fail_a_run(application: Application) -> None:
    application.drain()
    said: list[str] = []
    assert keep_up(application, said).drained is None
    assert "changes keep coming" in said[0]


def test_a_stream_that_does_not_get_through_fails_the_run(application: Application) -> None:
    with pytest.raises(HeadraceError, match="not idle after 1 s"):
        keep_up(application)


def test_a_blocked_stream_fails_the_run_with_what_to_do(application: Application) -> None:
    application.rows("UPDATE headrace.stream_cursor SET state = 'lost'")
    with pytest.raises(HeadraceError, match="headrace streams rebase campaign_stats"):
        bring_up_to_date(
            engine(application.url), application.url, window(), rebuild=False, timeout_seconds=5, log=print
        )


def test_a_rebuild_that_meets_a_lock_conflict_is_tried_again(application: Application) -> None:
    """Another session holds the second campaign and then wants the first: one of the two sessions has to yield."""
    application.drain()
    first, second = sorted(campaign.id for campaign in application.campaigns)[:2]
    lock = "SELECT FROM headrace.campaign WHERE campaign_id = %s FOR NO KEY UPDATE"
    with psycopg.connect(application.url) as other, ThreadPoolExecutor(1) as pool:
        other.execute("SET deadlock_timeout = '10s'")
        other.execute(lock, [second])
        done = pool.submit(recompute.rebuild_campaigns, engine(application.url), [first, second])
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while application.rows(waiting) == [(0,)]:
            assert not done.done()
        other.execute(lock, [first])  # the rebuild is the victim: the other session waits longer
        other.rollback()
        assert done.result(30) == 0


def campaigns(*messages: int) -> list[Campaign]:
    return [Campaign(uuid4(), date(2026, 1, 1), number, due=True) for number in messages]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], []),
        ([5], [1]),
        ([0, 0, 0], [1, 1, 1]),  # unknown sizes go alone
        ([MOST_MESSAGES_AT_ONCE * 9, 1, 1], [1, 2]),
        ([1, 1, MOST_MESSAGES_AT_ONCE], [2, 1]),
        ([1] * (2 * MOST_CAMPAIGNS_AT_ONCE + 1), [MOST_CAMPAIGNS_AT_ONCE, MOST_CAMPAIGNS_AT_ONCE, 1]),
    ],
)
def test_portions_are_few_campaigns_and_not_many_messages(messages: list[int], expected: list[int]) -> None:
    given = campaigns(*messages)
    found = list(portions(given))
    assert [len(portion) for portion in found] == expected
    assert [campaign for portion in found for campaign in portion] == given


def test_a_run_recomputes_in_portions_as_large_as_a_workers(database: str) -> None:
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE oid = 'headrace.rebuild_pick'::regproc"
        ).fetchone()
    assert row is not None
    assert f"p_messages bigint DEFAULT {MOST_MESSAGES_AT_ONCE}" in row[0]
    assert f"v_most_settled constant integer := {MOST_CAMPAIGNS_AT_ONCE};" in row[0]


def line(name: str | None, sent: int = 0) -> Line:
    return Line({"template": name, "campaigns": 1}, Counters(total=1234, sent=sent, delivered=sent))


def test_a_table_shows_names_as_they_are_and_no_rate_of_nothing() -> None:
    text = markdown([line("1e5"), line("a|b\nc", 1000), line(None)], 3)
    rows = [[cell.strip() for cell in row.split(" | ")] for row in text.splitlines()]
    assert rows[2][0] == "| 1e5"
    assert "nan" not in text
    assert "a\\|b c" in rows[3][0]
    assert "100.0" in rows[3]
    assert "1,234" in rows[4]
    assert rows[4][0] == "| (none)"


def test_a_table_says_how_much_more_there_is() -> None:
    assert markdown([line("a"), line("b")], 5).endswith("… and 3 more.")
    assert markdown([], 0) == "No campaigns."


def test_long_tables_are_cut_after_the_largest_templates(application: Application) -> None:
    campaign = application.campaigns[0]
    application.rows(
        "INSERT INTO send_queue (campaign_id, template_name) SELECT %s, 't' || n FROM generate_series(1, 40) n,"
        " generate_series(1, n)",
        [campaign.id],
    )
    day = f"{campaign.created_at.astimezone(UTC):%Y-%m-%d}"
    with dg.DagsterInstance.ephemeral() as instance:
        told = metadata(materialize(instance, partition=day), TEMPLATE_STATS)[day]
    assert told["per_template"].count("\n| ") == MOST_LINES
    assert "| t40 " in told["per_template"]
    assert "| t1 " not in told["per_template"]
    templates = {
        row[1] for row in application.rows(STORED) if row[0] in [c.id for c in application.of_day(day)]
    }
    assert f"… and {len(templates) - MOST_LINES} more." in told["per_template"]


def test_ids_are_uuids(application: Application) -> None:
    found = recompute.window_campaigns(engine(application.url), window())
    assert {campaign.id for campaign in found} == {campaign.id for campaign in application.campaigns}
    assert all(isinstance(campaign.id, UUID) and campaign.due for campaign in found)
