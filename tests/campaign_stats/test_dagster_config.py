"""Those who may launch runs cannot read the environment's variables: not in an answer, an event, a log or a table."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg
import psycopg
import pytest
from dagster._config.config_type import ConfigType, ConfigTypeKind
from dagster_graphql.test.utils import execute_dagster_graphql

from orchestration.campaign_stats.checks import checks
from orchestration.campaign_stats.summaries import ASSETS
from orchestration.definitions import defs
from tests.campaign_stats.conftest import Application
from tests.campaign_stats.test_dagster_jobs import NAMES, job
from tests.faults.one_dagster import make_home, opened
from tests.rows import a_history

Steps = tuple[str | int, ...]

LAUNCH = """
    mutation Launch($params: ExecutionParams!) {
        launchRun(executionParams: $params) {
            __typename
            ... on LaunchRunSuccess { run { runId } }
            ... on RunConfigValidationInvalid { errors { message reason stack { entries { __typename } } } }
            ... on PythonError { message stack errorChain { error { message stack } } }
        }
    }
"""
VALID = """
    query Valid($selector: PipelineSelector!, $config: RunConfigData!) {
        isPipelineConfigValid(pipeline: $selector, runConfigData: $config, mode: "default") {
            __typename
            ... on RunConfigValidationInvalid { errors { message } }
            ... on PythonError { message stack errorChain { error { message stack } } }
        }
    }
"""
ABOUT = "{ instance { info executablePath hasInfo runLauncher { name } } }"
# Variables that a stranger would like to read, and the mark by which each value is recognized.
MARKED = {
    "HEADRACE_DATABASE_URL": "mark_of_the_application",
    "DAGSTER_PG_URL": "mark_of_dagster",
    "HOME": "mark_of_home",
}


def fields(config_type: Any, at: Steps = ()) -> Iterator[tuple[Steps, ConfigType]]:
    """The places in a run config that take a value, each with its type; of a list, its first item."""
    kind = config_type.kind
    if ConfigTypeKind.has_fields(kind):
        for name, field in config_type.fields.items():
            yield from fields(field.config_type, (*at, name))
    elif kind is ConfigTypeKind.ARRAY:
        yield from fields(config_type.inner_type, (*at, 0))
    elif kind is ConfigTypeKind.NONEABLE:
        yield from fields(config_type.inner_type, at)
    else:
        yield at, config_type


def selections() -> Mapping[str, dg.JobDefinition]:
    """Every job by name. Instead of the whole assets' job there are the two that are launched: our assets, and our checks."""
    everything = defs.resolve_implicit_global_asset_job_def()
    assets = everything.get_subset(asset_selection={dg.AssetKey(name) for name in ASSETS})
    ours = {f"{name}_campaigns": defs.resolve_job_def(f"{name}_campaigns") for name in NAMES}
    return {
        "__ASSET_JOB": assets,
        **ours,
        "campaign_stats_checks": defs.resolve_job_def("campaign_stats_checks"),
    }


def test_no_field_of_any_job_is_of_a_type_that_reads_the_environment() -> None:
    seen = set()
    for name, job_def in selections().items():
        for at, config_type in fields(job_def.run_config_schema.config_type):
            assert config_type.kind in (ConfigTypeKind.SCALAR, ConfigTypeKind.ENUM) or at == (
                *("resources", "io_manager", "config"),
            ), f"{name}: {at} takes {config_type.key}"
            seen.add((name, at[-1] if isinstance(at[-1], str) else at[-2]))
    assert {
        ("freeze_campaigns", "campaigns"),
        ("__ASSET_JOB", "rebuild"),
        ("amend_campaigns", "dry_run"),
    } <= seen
    assert ("campaign_stats_checks", "newest") in seen
    assert len(checks) > 10


def test_every_config_class_of_ours_is_looked_at() -> None:
    def below(kind: type) -> set[type]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    ours: set[Any] = {kind for kind in below(dg.Config) if kind.__module__.startswith("orchestration.")}
    for kind in ours:
        for name, field in kind.model_fields.items():
            assert field.annotation not in (str, int, bool, list[str], list[int]), (
                f"{kind.__name__}.{name} is to be of a type of orchestration/dagster_kit/run_config.py"
            )


def placed(base: Mapping[str, Any], at: Steps, value: object) -> dict[str, Any]:
    """The config with the value at that place."""
    config: dict[str, Any] = json.loads(json.dumps(base))
    inner: Any = config
    for step, after in zip(at, (*at[1:], None), strict=True):
        if after is None:
            inner[step] = value
        elif after == 0:
            inner[step] = [value]
            break
        else:
            inner = inner.setdefault(step, {})
    return config


@pytest.fixture
def marked(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Application, list[UUID]]:
    """A database with two counted campaigns, and an environment whose values are recognizable wherever they turn up."""
    with psycopg.connect(database, autocommit=True) as connection:
        campaigns = sorted(a_history(connection))
    mark = "&" if "?" in database else "?"
    url = f"{database}{mark}application_name={MARKED['HEADRACE_DATABASE_URL']}"
    monkeypatch.setenv("HEADRACE_DATABASE_URL", url)
    monkeypatch.setenv("DAGSTER_PG_URL", f"postgresql+psycopg2://{MARKED['DAGSTER_PG_URL']}@nowhere/x")
    monkeypatch.setenv("HOME", f"/{MARKED['HOME']}")
    application = Application(database, ())
    application.drain()
    return application, campaigns


def found(mark: str, folder: Path) -> list[str]:
    """The files that contain it: Dagster's tables, logs, pickles."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and mark.encode() in path.read_bytes()
    ]


def test_no_field_leads_to_a_variable_of_the_environment(
    marked: tuple[Application, Sequence[UUID]], tmp_path: Path
) -> None:
    """Each field gets one of the variables in turn; the places beside the fields get all of them."""
    _, (campaign, _) = marked
    assert all(mark in os.environ[variable] for variable, mark in MARKED.items())
    in_turn = itertools.cycle(MARKED)
    answers: list[str] = []
    tried = 0
    with opened(make_home(tmp_path)) as context:

        def ask(query: str, **variables: object) -> Any:
            result = execute_dagster_graphql(context.create_request_context(), query, variables)
            answers.append(json.dumps([result.data, [str(error) for error in result.errors or ()]]))
            return result.data

        for name, job_def in selections().items():
            selector: dict[str, Any] = {**job("freeze"), "jobName": name}
            if name == "__ASSET_JOB":
                selector["assetSelection"] = [{"path": [asset]} for asset in ASSETS]
            base: dict[str, Any] = {"campaigns": [str(campaign)]} if name.endswith("_campaigns") else {}
            if name == "amend_campaigns":
                base["accept_fewer_rows"] = False
            of_queries = {
                "pipelineName" if key == "jobName" else key: value for key, value in selector.items()
            }
            for at, _ in fields(job_def.run_config_schema.config_type):
                tried += 1
                config = json.dumps(placed(base, at, {"env": next(in_turn)}))
                valid = ask(VALID, selector=of_queries, config=config)
                if at[:3] == ("resources", "io_manager", "config"):
                    continue  # takes anything and ignores it, as the launch below shows
                assert valid["isPipelineConfigValid"]["__typename"] == "RunConfigValidationInvalid", at
                launched = ask(
                    LAUNCH, params={"selector": selector, "runConfigData": config, "mode": "default"}
                )
                assert launched["launchRun"]["__typename"] == "RunConfigValidationInvalid", at
        of_files = {"inputs": {"x": {"json": {"path": os.environ["HOME"]}}}}
        for variable in MARKED:
            for config_of_others in (
                {"ops": {"freeze": {**of_files, "config": {"campaigns": [{"env": variable}]}}}},
                {"resources": {"database": {"config": {"url": {"env": variable}}}}},
                {"resources": {"io_manager": {"config": {"base_dir": {"env": variable}}}}},
                {"loggers": {"console": {"config": {"name": {"env": variable}}}}},
                {"loggers": {variable: {"config": {}}}},
                {"execution": {"config": {"in_process": {"marker_to_close": {"env": variable}}}}},
                {"ops": {"campaign_template_stats_no_dead_letters": of_files}},
            ):
                for name in ("campaign_stats_checks", "freeze_campaigns"):
                    params = {
                        "selector": {**job("freeze"), "jobName": name},
                        "runConfigData": json.dumps(config_of_others),
                        "mode": "default",
                        "executionMetadata": {"tags": [{"key": "x", "value": json.dumps({"env": variable})}]},
                    }
                    ask(LAUNCH, params=params)
        ask(ABOUT)
        launched = ask(
            LAUNCH,
            params={
                "selector": job("freeze"),
                "runConfigData": json.dumps({"campaigns": [str(campaign)]}),
                "mode": "default",
            },
        )
        run = context.instance.get_run_by_id(launched["launchRun"]["run"]["runId"])
        assert run is not None
        assert run.status is dg.DagsterRunStatus.SUCCESS, "so the database's URL was in use"
    assert tried > 40
    for mark in MARKED.values():
        assert mark not in "\n".join(answers)
        assert found(mark, tmp_path) == []
    assert found(str(campaign), tmp_path), "what is stored can be found like this"
