"""The sensor completed_campaigns and the run it requests, on an ephemeral instance, against the real database."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

import dagster as dg
import psycopg
import pytest

from orchestration.campaign_stats.completions import MOST_NAMED, Cursor
from orchestration.campaign_stats.recompute import Window, window_campaigns
from orchestration.campaign_stats.sensors import completed_campaigns
from orchestration.campaign_stats.summaries import ASSETS, TEMPLATE_STATS
from orchestration.dagster_kit.partitions import utc_days
from orchestration.dagster_kit.resources import ApplicationDatabase
from orchestration.database.connections import engine
from orchestration.definitions import defs
from orchestration.errors import HeadraceError
from tests.campaign_stats.conftest import Application
from tests.rows import insert
from tests.sessions import as_role

SECOND_DAY = utc_days.get_partition_keys()[1]
LAST_DAY = utc_days.get_last_partition_key()


@pytest.fixture
def empty(database: str, monkeypatch: pytest.MonkeyPatch) -> Application:
    """A database without campaigns, in the environment."""
    monkeypatch.setenv("HEADRACE_DATABASE_URL", database)
    return Application(database, ())


def tick(instance: dg.DagsterInstance, cursor: str | None = None) -> Any:
    """A tick as Dagster evaluates it, run requests resolved."""
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, definitions=defs, resources={"database": ApplicationDatabase()}
    )
    return completed_campaigns.evaluate_tick(context)


def make(application: Application, *days: str | None, status: str = "running") -> list[UUID]:
    """A campaign with one sent message for each day; None: of a day long before the first partition."""
    with psycopg.connect(application.url, autocommit=True) as connection:
        campaigns = [
            insert(
                connection, "campaigns", name="c", status=status, created_at=f"{day or '2001-02-03'} 12:00+00"
            )
            for day in days
        ]
        for campaign in campaigns:
            insert(connection, "send_queue", campaign_id=campaign, template_name="t", status="sent")
    application.drain()
    return campaigns


def complete(application: Application, *campaigns: UUID) -> None:
    application.rows(
        "UPDATE campaigns SET status = 'completed', completed_at = now() WHERE id = ANY (%s)",
        [list(campaigns)],
    )
    application.drain()


def named(request: dg.RunRequest) -> set[str]:
    return set(request.run_config["ops"][TEMPLATE_STATS]["config"]["campaigns"])


def days(request: dg.RunRequest) -> tuple[str, str]:
    return (
        request.tags["dagster/asset_partition_range_start"],
        request.tags["dagster/asset_partition_range_end"],
    )


def test_all_that_were_completed_get_one_run_and_the_next_tick_none(empty: Application) -> None:
    campaigns = make(empty, SECOND_DAY, LAST_DAY, LAST_DAY)
    with dg.DagsterInstance.ephemeral() as instance:
        first = tick(instance)
        assert not first.run_requests
        assert "no completion of the last 30 days" in first.skip_message
        complete(empty, *campaigns[:2])
        second = tick(instance, first.cursor)
        (request,) = second.run_requests
        assert [key.to_user_string() for key in request.asset_selection] == list(ASSETS)
        assert named(request) == set(map(str, campaigns[:2]))
        assert days(request) == (SECOND_DAY, LAST_DAY)
        third = tick(instance, second.cursor)
    assert not third.run_requests
    assert third.skip_message == "no campaign was completed since the last look"


def test_the_run_recomputes_exactly_the_named_campaigns(empty: Application) -> None:
    completed, other = make(empty, LAST_DAY, LAST_DAY)
    complete(empty, completed)
    empty.rows("UPDATE headrace.campaign_template_stats SET total = 9")
    with dg.DagsterInstance.ephemeral() as instance:
        (request,) = tick(instance).run_requests
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            run_config=request.run_config,
            asset_selection=list(request.asset_selection),
            tags=request.tags,
        )
    assert result.success
    totals = dict(empty.rows("SELECT campaign_id, total FROM headrace.campaign_template_stats"))
    assert totals == {completed: 1, other: 9}
    (event,) = result.asset_materializations_for_node(TEMPLATE_STATS)
    assert event.partition == LAST_DAY
    assert event.metadata["campaigns_rebuilt"].value == 1


def test_named_campaigns_are_recomputed_wherever_they_are_but_not_frozen_ones(empty: Application) -> None:
    frozen, old, same_day = make(empty, LAST_DAY, None, LAST_DAY)
    empty.rows("SELECT headrace.freeze_campaigns(ARRAY[%s])", [frozen])
    window = Window.of_day(date.fromisoformat(LAST_DAY))
    found = {
        campaign.id: campaign.due for campaign in window_campaigns(engine(empty.url), window, [frozen, old])
    }
    assert found == {frozen: False, old: True, same_day: False}


def test_a_transaction_that_commits_late_is_not_missed(empty: Application) -> None:
    early, late = make(empty, LAST_DAY, SECOND_DAY)
    announce = "INSERT INTO headrace.campaign_completion (campaign_id, completed_at) VALUES (%s, now())"
    with dg.DagsterInstance.ephemeral() as instance, psycopg.connect(empty.url) as slow:
        before = tick(instance)
        slow.execute(announce, [late])
        empty.rows(announce, [early])
        first = tick(instance, before.cursor)
        assert [named(request) for request in first.run_requests] == [{str(early)}]
        slow.commit()
        second = tick(instance, first.cursor)
        assert [named(request) for request in second.run_requests] == [{str(late)}]
        assert not tick(instance, second.cursor).run_requests


def test_with_very_many_transactions_under_way_a_completion_comes_once_all_the_same(
    empty: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.campaign_stats.completions._MOST_LISTED", 2)
    campaigns = make(empty, *[LAST_DAY] * 6)
    announce = "INSERT INTO headrace.campaign_completion (campaign_id, completed_at) VALUES (%s, now())"
    seen: list[str] = []
    with dg.DagsterInstance.ephemeral() as instance:
        cursor = tick(instance).cursor
        sessions = [psycopg.connect(empty.url) for _ in campaigns]
        try:
            for session, campaign in zip(sessions, campaigns, strict=True):
                session.execute(announce, [campaign])
            # A snapshot lists two transactions in progress, so the third and all later ones wait.
            for turn in (5, 0, 3, 2, 4, 1):
                sessions[turn].commit()
                result = tick(instance, cursor)
                cursor = result.cursor
                assert len(Cursor.model_validate_json(cursor).seen.split(":")[2].split(",")) <= 2  # type: ignore[union-attr]
                seen += [name for request in result.run_requests for name in sorted(named(request))]
        finally:
            for session in sessions:
                session.close()
    assert sorted(seen) == sorted(map(str, campaigns))


def test_a_tick_after_a_run_whose_cursor_was_not_stored_requests_the_same_run(empty: Application) -> None:
    first, second = make(empty, SECOND_DAY, LAST_DAY)
    with dg.DagsterInstance.ephemeral() as instance:
        before = tick(instance).cursor
        complete(empty, first)
        (request,) = tick(instance, before).run_requests
        instance.create_run_for_job(
            defs.resolve_implicit_global_asset_job_def(),
            tags={**request.tags, "dagster/run_key": request.run_key},
            asset_selection=frozenset(request.asset_selection),
        )
        complete(empty, second)
        again = tick(instance, before)
        (repeated,) = again.run_requests
        assert (repeated.run_key, named(repeated), days(repeated)) == (
            request.run_key,
            named(request),
            days(request),
        )
        (then,) = tick(instance, again.cursor).run_requests
    assert named(then) == {str(second)}
    assert then.run_key != request.run_key


def test_a_first_look_takes_what_is_on_record(empty: Application) -> None:
    campaigns = make(empty, LAST_DAY)
    complete(empty, *campaigns)
    with dg.DagsterInstance.ephemeral() as instance:
        (request,) = tick(instance).run_requests
    assert named(request) == set(map(str, campaigns))


def test_after_a_restore_it_starts_anew_with_what_is_on_record_whatever_its_transaction_ids(
    empty: Application,
) -> None:
    (campaign,) = make(empty, LAST_DAY)
    complete(empty, campaign)
    empty.rows("UPDATE headrace.campaign_completion SET xid = '999999999'")
    with dg.DagsterInstance.ephemeral() as instance:
        cursor = Cursor.model_validate_json(tick(instance).cursor)
        elsewhere = cursor.model_copy(update={"cluster": 1})
        result = tick(instance, elsewhere.model_dump_json())
        assert [named(request) for request in result.run_requests] == [{str(campaign)}]
        future = cursor.model_copy(update={"seen": "88888888:88888888:"})
        assert tick(instance, future.model_dump_json()).run_requests


def test_campaigns_from_before_the_first_partition_get_no_run_of_their_own(empty: Application) -> None:
    old, new = make(empty, None, LAST_DAY)
    with dg.DagsterInstance.ephemeral() as instance:
        before = tick(instance).cursor
        complete(empty, old)
        alone = tick(instance, before)
        assert not alone.run_requests
        assert "1 of them created on days without a partition" in alone.skip_message
        complete(empty, new)
        (request,) = tick(instance, alone.cursor).run_requests
        assert named(request) == {str(new)}
        (together,) = tick(instance, before).run_requests
    assert named(together) == {str(old), str(new)}
    assert days(together) == (LAST_DAY, LAST_DAY)


def test_a_campaign_that_is_gone_again_is_counted_and_not_named(empty: Application) -> None:
    gone, there = make(empty, LAST_DAY, LAST_DAY)
    complete(empty, gone, there)
    empty.rows("DELETE FROM send_queue WHERE campaign_id = %s", [gone])
    empty.rows("DELETE FROM campaigns WHERE id = %s", [gone])
    empty.drain()
    with dg.DagsterInstance.ephemeral() as instance:
        (request,) = tick(instance).run_requests
    assert named(request) == {str(there)}


def test_one_run_names_so_many_campaigns_and_goes_over_the_days_of_all(empty: Application) -> None:
    more = 5
    with psycopg.connect(empty.url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO campaigns (name, status, created_at) SELECT 'c', 'running',"
            " CASE WHEN n <= %s THEN %s::timestamptz ELSE %s::timestamptz END FROM generate_series(1, %s) n",
            [MOST_NAMED, f"{LAST_DAY} 01:00+00", f"{SECOND_DAY} 01:00+00", MOST_NAMED + more],
        )
        connection.execute(
            "INSERT INTO headrace.campaign_completion (campaign_id, completed_at)"
            " SELECT id, now() FROM campaigns ORDER BY created_at DESC"
        )
    with dg.DagsterInstance.ephemeral() as instance:
        result = tick(instance)
        (request,) = result.run_requests
        assert not tick(instance, result.cursor).run_requests
    assert len(named(request)) == MOST_NAMED
    assert days(request) == (SECOND_DAY, LAST_DAY)


def test_a_campaign_completed_again_after_it_ran_on_is_announced_again(empty: Application) -> None:
    (campaign,) = make(empty, LAST_DAY)
    with dg.DagsterInstance.ephemeral() as instance:
        complete(empty, campaign)
        first = tick(instance)
        empty.rows("UPDATE campaigns SET status = 'running', completed_at = NULL")
        empty.drain()
        assert not tick(instance, first.cursor).run_requests
        complete(empty, campaign)
        second = tick(instance, first.cursor)
    assert [named(request) for request in second.run_requests] == [{str(campaign)}]


def test_what_completed_over_30_days_ago_is_forgotten_when_another_completes(empty: Application) -> None:
    first, second = make(empty, LAST_DAY, LAST_DAY)
    complete(empty, first)
    empty.rows("UPDATE headrace.campaign_completion SET noticed_at = now() - interval '29 days'")
    complete(empty, second)
    assert empty.rows("SELECT count(*) FROM headrace.campaign_completion") == [(2,)]
    empty.rows("UPDATE headrace.campaign_completion SET noticed_at = now() - interval '31 days'")
    (third,) = make(empty, LAST_DAY)
    complete(empty, third)
    assert empty.rows("SELECT campaign_id FROM headrace.campaign_completion") == [(third,)]


def test_the_role_of_workers_is_enough(empty: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    (campaign,) = make(empty, LAST_DAY)
    complete(empty, campaign)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", as_role(empty.url, "headrace_worker"))
    with dg.DagsterInstance.ephemeral() as instance:
        assert len(tick(instance).run_requests) == 1


def test_a_database_out_of_reach_fails_the_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/none")
    with (
        dg.DagsterInstance.ephemeral() as instance,
        pytest.raises(HeadraceError, match="cannot connect to the database"),
    ):
        tick(instance)


def test_a_database_without_the_stream_is_skipped_with_a_word(empty: Application) -> None:
    empty.rows("DELETE FROM headrace.stream_cursor")
    with dg.DagsterInstance.ephemeral() as instance:
        assert "not active in this database" in tick(instance).skip_message


def test_campaigns_in_a_config_are_ids_or_named_as_wrong(empty: Application) -> None:
    with (
        dg.DagsterInstance.ephemeral() as instance,
        pytest.raises(HeadraceError, match="which is a UUID: 'summer'; nothing was done"),
    ):
        defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            run_config={"ops": {TEMPLATE_STATS: {"config": {"campaigns": ["summer"]}}}},
            asset_selection=[dg.AssetKey(TEMPLATE_STATS)],
            partition_key=LAST_DAY,
        )
