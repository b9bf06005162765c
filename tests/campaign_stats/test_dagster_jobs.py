"""The operator's jobs: freeze, reopen and amend campaigns from the launchpad."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import dagster as dg
import psycopg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster_graphql.test.utils import execute_dagster_graphql

from orchestration.campaign_stats.lifecycle import MOST_CAMPAIGNS
from orchestration.dagster_kit.confirmation import Intent, confirm_refused
from orchestration.definitions import defs
from tests.campaign_stats.conftest import Application
from tests.faults.one_dagster import make_home, opened
from tests.rows import a_history
from tests.sessions import as_role

NAMES = ("freeze", "reopen", "amend")


@pytest.fixture
def campaigns(database: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Application, UUID, UUID]:
    """A database with two counted campaigns that are running."""
    monkeypatch.setenv("HEADRACE_DATABASE_URL", database)
    with psycopg.connect(database, autocommit=True) as connection:
        first, second = sorted(a_history(connection))
    application = Application(database, ())
    application.drain()
    return application, first, second


def run(name: str, *campaigns: object, **config: object) -> dg.ExecuteInProcessResult:
    """A real run comes after its dry run, and names it."""
    job_def = defs.resolve_job_def(f"{name}_campaigns")
    given = {"campaigns": list(map(str, campaigns)), **config}
    with dg.DagsterInstance.ephemeral() as instance:
        if config.get("dry_run") is False:
            seen = job_def.execute_in_process(run_config={**given, "dry_run": True}, instance=instance)
            given["confirm"] = seen.run_id[:8]
        return job_def.execute_in_process(run_config=given, instance=instance)


def shown(result: dg.ExecuteInProcessResult) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
    """The metadata of the op's output, and the rows of its table."""
    (output,) = [event for event in result.all_events if event.is_successful_output]
    data: Any = output.event_specific_data
    metadata = {name: value.value for name, value in data.metadata.items() if name != "results"}
    return metadata, [dict(record.data) for record in data.metadata["results"].records]


def states(application: Application) -> dict[UUID, tuple[str, int]]:
    return {
        row[0]: row[1:]
        for row in application.rows(
            "SELECT campaign_id, state, version FROM headrace.campaign_computed_stats"
        )
    }


def wait_for_a_decision(application: Application, campaign: UUID) -> None:
    """Freezes the campaign, removes some of its rows, and then makes a late change to it."""
    application.rows("SELECT headrace.freeze_campaigns(ARRAY[%s])", [campaign])
    application.rows(
        "DELETE FROM send_queue WHERE campaign_id = %s AND user_phone LIKE 'phone 1%%'", [campaign]
    )
    application.drain()
    assert application.rows("SELECT campaign_id FROM headrace.campaign_stats_pending_amendment") == [
        (campaign,)
    ]


def ask(context: WorkspaceProcessContext, query: str, **variables: object) -> Any:
    """What Dagster's GraphQL answers to a query as the launchpad sends it."""
    result = execute_dagster_graphql(context.create_request_context(), query, dict(variables))
    assert not result.errors
    return result.data


def job(name: str) -> dict[str, str]:
    return {
        "repositoryLocationName": "headrace",
        "repositoryName": "__repository__",
        "jobName": f"{name}_campaigns",
    }


def test_the_launchpad_shows_where_ids_go_and_begins_with_a_dry_run(tmp_path: Path) -> None:
    query = """
        query Scaffold($selector: PipelineSelector!) {
            runConfigSchemaOrError(selector: $selector) { ... on RunConfigSchema { rootDefaultYaml } }
        }
    """
    with opened(make_home(tmp_path)) as context:
        for name in NAMES:
            selector = {
                "pipelineName" if key == "jobName" else key: value for key, value in job(name).items()
            }
            scaffold = ask(context, query, selector=selector)["runConfigSchemaOrError"]["rootDefaultYaml"]
            assert "campaigns: []" in scaffold
            assert "dry_run: true" in scaffold


def test_a_job_launched_through_graphql_freezes_what_its_config_names(
    campaigns: tuple[Application, UUID, UUID], tmp_path: Path
) -> None:
    application, first, second = campaigns
    launch = """
        mutation Launch($params: ExecutionParams!) {
            launchRun(executionParams: $params) {
                __typename
                ... on LaunchRunSuccess { run { runId } }
                ... on RunConfigValidationInvalid { errors { message } }
                ... on PythonError { causes { message } }
            }
        }
    """
    with opened(make_home(tmp_path)) as context:

        def start(config: Mapping[str, object], name: str = "freeze") -> Any:
            """The answer to the launch; a run that it started has ended by then."""
            params = {"selector": job(name), "runConfigData": json.dumps(config), "mode": "default"}
            return ask(context, launch, params=params)["launchRun"]

        refused = start({"campaigns": "all", "in_earnest": True})
        assert refused["__typename"] == "RunConfigValidationInvalid"
        seen = start({"campaigns": [str(first)]})
        word = seen["run"]["runId"][:8]
        launched = start({"campaigns": [str(first)], "dry_run": False, "confirm": word})
        run = context.instance.get_run_by_id(launched["run"]["runId"])
        assert run is not None
        assert run.status is dg.DagsterRunStatus.SUCCESS
        runs = context.instance.get_runs_count()
        wrong = start({"campaigns": [str(second), "summer"], "dry_run": False})
        assert wrong["__typename"] == "PythonError"
        assert "not the id of a campaign, which is a UUID: 'summer'" in wrong["causes"][0]["message"]
        assert context.instance.get_runs_count() == runs
    assert [states(application)[campaign][0] for campaign in (first, second)] == ["frozen", "live"]


def test_without_a_word_on_fewer_rows_an_amendment_is_not_decided(
    campaigns: tuple[Application, UUID, UUID],
) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match="accept_fewer_rows"):
        run("amend", campaigns[1])


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    campaigns: tuple[Application, UUID, UUID],
) -> None:
    application, first, _ = campaigns
    before = states(application)
    metadata, rows = shown(run("freeze", first))
    word = metadata.pop("confirm")
    assert metadata == {"dry_run": True, "campaigns": 1, "changed": 0}
    assert re.fullmatch("[0-9a-f]{8}", word)
    assert rows[0]["result"] == f"would be frozen; is live, version {before[first][1]}"
    assert states(application) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_single_request_changes_nothing_whatever_it_says(
    campaigns: tuple[Application, UUID, UUID], name: str
) -> None:
    application, first, second = campaigns
    if name == "amend":
        wait_for_a_decision(application, first)
    elif name == "reopen":
        application.rows("SELECT headrace.freeze_campaigns(ARRAY[%s])", [first])
    before = states(application)
    job_def = defs.resolve_job_def(f"{name}_campaigns")
    told: dict[str, Any] = {"accept_fewer_rows": True} if name == "amend" else {}
    given: dict[str, Any] = {"campaigns": [str(first)], **told}
    with dg.DagsterInstance.ephemeral() as instance:

        def refused(**config: object) -> str:
            with pytest.raises(dg.Failure) as caught:
                job_def.execute_in_process(
                    run_config={**given, "dry_run": False, **config}, instance=instance
                )
            assert "nothing was done" in str(caught.value)
            assert states(application) == before
            return str(caught.value)

        for word in ("", "yes", "1", name, f"{name} 1", str(first), str(uuid4()), "%", "0", "00000000"):
            assert "dry_run: true" in refused(confirm=word)
        assert "is to be seen before" in refused()

        of_another_job = defs.resolve_job_def("amend_campaigns" if name == "freeze" else "freeze_campaigns")
        other = {"accept_fewer_rows": True} if name == "freeze" else {}
        with suppress(dg.Failure):
            of_another_job.execute_in_process(
                run_config={"campaigns": [str(first)], **other},
                instance=instance,
                run_id=(elsewhere := str(uuid4())),
            )
        assert "not the id of a dry run of this job" in refused(confirm=elsewhere)

        if name != "amend":
            seen = job_def.execute_in_process(
                run_config={**given, "campaigns": [str(second)]}, instance=instance
            )
            assert "other campaigns" in refused(confirm=seen.run_id)
        seen = job_def.execute_in_process(run_config=given, instance=instance)
        assert "not the id" in refused(confirm=seen.run_id[:7])
        if name != "freeze":
            assert "another decision" in refused(confirm=seen.run_id[:8], accept_fewer_rows=name == "reopen")

        done = job_def.execute_in_process(
            run_config={**given, "dry_run": False, "confirm": seen.run_id[:8].upper()}, instance=instance
        )
        assert done.success
        assert states(application) != before
        before = states(application)
        assert "not the id of a dry run" in refused(confirm=done.run_id), "it was none"


def test_fewer_campaigns_than_were_seen_may_be_done_and_a_run_in_earnest_confirms_none() -> None:
    first, second = uuid4(), uuid4()
    both, one = Intent(frozenset([first, second]), {}), Intent(frozenset([first]), {})
    seen = [("1a2b3c4d-0000", both)]
    assert confirm_refused("1a2b3c4d", one, seen) is None
    assert confirm_refused("1a2b3c4d", both, [("1a2b3c4d-0000", one)]) is not None
    assert confirm_refused("1a2b3c4d-0000", both, seen) is None


def test_campaigns_are_frozen_and_named_with_state_and_version_before_and_after(
    campaigns: tuple[Application, UUID, UUID],
) -> None:
    application, first, second = campaigns
    before = states(application)
    application.rows("SELECT headrace.freeze_campaigns(ARRAY[%s])", [first])
    metadata, rows = shown(run("freeze", second, first, dry_run=False))
    assert metadata == {"dry_run": False, "campaigns": 2, "changed": 1}
    version = before[second][1]
    assert rows[0] == {
        "campaign": str(second),
        "name": rows[0]["name"],
        "state before": "live",
        "version before": version,
        "state after": "frozen",
        "version after": version,
        "result": f"was live, version {version}; is frozen, version {version}",
    }
    assert rows[1]["result"] == f"is frozen already: frozen, version {before[first][1]}"
    assert {state for state, _ in states(application).values()} == {"frozen"}


def test_frozen_campaigns_are_reopened_and_others_stay_as_they_are(
    campaigns: tuple[Application, UUID, UUID],
) -> None:
    application, first, second = campaigns
    run("freeze", first, dry_run=False)
    metadata, rows = shown(run("reopen", first, second, dry_run=False))
    assert metadata["changed"] == 1
    assert (rows[0]["state before"], rows[0]["state after"]) == ("frozen", "live")
    assert "is not frozen: live" in rows[1]["result"]
    assert {state for state, _ in states(application).values()} == {"live"}
    assert application.rows("SELECT why ->> 'reason' FROM headrace.campaign_stats_amendment") == [
        ("reopened by hand",)
    ]


def test_a_campaign_with_fewer_rows_is_reopened_only_if_that_is_accepted(
    campaigns: tuple[Application, UUID, UUID],
) -> None:
    application, first, second = campaigns
    wait_for_a_decision(application, first)
    run("freeze", second, dry_run=False)
    for dry_run in (True, False):
        with pytest.raises(dg.Failure, match=rf"fewer rows .* {first} \(.*send_queue \d+ → \d+\)") as caught:
            run("reopen", second, first, dry_run=dry_run)
        assert "accept_fewer_rows: true" in str(caught.value)
        assert "nothing was done" in str(caught.value)
    assert states(application)[second][0] == "frozen"
    _, (would,) = shown(run("reopen", first, accept_fewer_rows=True))
    assert re.search(
        r"would be reopened without rows that are gone \(.*send_queue \d+ → \d+\)", would["result"]
    )
    shown(run("reopen", first, dry_run=False, accept_fewer_rows=True))
    assert states(application)[first][0] == "live"


@pytest.mark.parametrize("accept", [True, False])
def test_a_waiting_amendment_is_taken_or_given_up(
    campaigns: tuple[Application, UUID, UUID], accept: bool
) -> None:
    application, first, _ = campaigns
    wait_for_a_decision(application, first)
    _, version = states(application)[first]
    _, (row,) = shown(run("amend", first, accept_fewer_rows=accept))
    assert "send_queue 20 → 9" in row["result"]
    assert states(application)[first] == ("frozen", version)
    metadata, (row,) = shown(run("amend", first, accept_fewer_rows=accept, dry_run=False))
    assert metadata["changed"] == 1
    expected = ("amended", version + 1) if accept else ("frozen", version)
    assert states(application)[first] == (row["state after"], row["version after"]) == expected
    assert application.rows("SELECT count(*) FROM headrace.campaign_stats_pending_amendment") == [(0,)]


@pytest.mark.parametrize("name", NAMES)
def test_ids_that_are_wrong_are_named_before_anything_is_done(
    campaigns: tuple[Application, UUID, UUID], name: str
) -> None:
    application, first, second = campaigns
    before = states(application)
    config = {"accept_fewer_rows": False} if name == "amend" else {}
    unknown = uuid4()
    for wrong, said in (
        ([], "name at least one campaign"),
        ([first, "summer"], "'summer'"),
        ([first, unknown], str(second if name == "amend" else unknown)),
        ([uuid4() for _ in range(MOST_CAMPAIGNS + 1)], f"name at most {MOST_CAMPAIGNS}"),
    ):
        given = [second, *wrong] if name == "amend" and wrong == [first, unknown] else wrong
        with pytest.raises((dg.Failure, dg.DagsterConfigMappingFunctionError)) as caught:
            run(name, *given, dry_run=False, **config)
        told = str(caught.value.__cause__ or caught.value)
        assert said in told
        assert "nothing was done" in told
    assert states(application) == before


def test_an_id_that_is_given_twice_counts_once(campaigns: tuple[Application, UUID, UUID]) -> None:
    metadata, _ = shown(run("freeze", campaigns[1], str(campaigns[1]).upper(), dry_run=False))
    assert metadata["campaigns"] == metadata["changed"] == 1


def test_the_role_of_workers_may_do_it(
    campaigns: tuple[Application, UUID, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    application, first, _ = campaigns
    monkeypatch.setenv("HEADRACE_DATABASE_URL", as_role(application.url, "headrace_worker"))
    assert run("freeze", first, dry_run=False).success
    assert run("reopen", first, dry_run=False).success
