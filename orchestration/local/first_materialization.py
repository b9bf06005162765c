"""The first materialization, so that Dagster's UI shows statistics instead of an empty graph.

The worker has the numbers long before. This reports them to Dagster once per storage: one run over the days that have
campaigns, launched through GraphQL like the UI's own button. It never imports Dagster: `headrace up` waits for the
webserver, it does not become one.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg import sql

from orchestration.database.connections import connected
from orchestration.database.sentences import said
from orchestration.errors import HeadraceError

ASSETS = ("campaign_template_stats", "campaign_computed_stats")

# Always direct: a proxy from the environment cannot reach this machine's loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

_ASSET_NODES = """
query FirstMaterializationAssets($keys: [AssetKeyInput!]!) {
  assetNodes(assetKeys: $keys) {
    assetKey { path }
    isPartitioned
    partitionKeys
    partitionStats { numMaterialized }
    assetMaterializations(limit: 1) { timestamp }
    repository { name location { name } }
  }
}
"""
_LAUNCH = """
mutation FirstMaterialization($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on UnauthorizedError { message }
    ... on InvalidSubsetError { message }
    ... on PipelineNotFoundError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
_RUN = """
query FirstMaterializationRun($run: ID!) {
  runOrError(runId: $run) { ... on Run { status } }
}
"""


@dataclass(frozen=True)
class Ui:
    """Dagster's webserver: its address, and the token that its front door requires."""

    url: str
    token: str = ""

    @property
    def link(self) -> str:
        """What to open in a browser."""
        return f"{self.url}/?token={self.token}"


@dataclass(frozen=True)
class Launched:
    """A launched run, over the partitions `first` to `last`; both None for assets without partitions."""

    run_id: str
    first: str | None
    last: str | None


def answers(ui: Ui) -> bool:
    """Whether anything there speaks HTTP; what it says does not matter."""
    try:
        with _OPENER.open(f"{ui.url}/server_info", timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def campaign_days(database_url: str, source_schema: str) -> tuple[date, date] | None:
    """First and last UTC day of creation of the application's campaigns; None if there are none.

    Raises:
        HeadraceError: the table cannot be read.
    """
    statement = sql.SQL(
        "SELECT min(created_at AT TIME ZONE 'UTC')::date, max(created_at AT TIME ZONE 'UTC')::date FROM {}"
    ).format(sql.Identifier(source_schema, "campaigns"))
    try:
        with connected(database_url) as connection:
            row = connection.execute(statement).fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    except psycopg.Error as error:
        raise HeadraceError(f"The campaigns cannot be read: {said(error)}") from None
    return None if row is None or row[0] is None else (row[0], row[1])


def launch_first(ui: Ui, days: tuple[date, date] | None, loading_seconds: float = 90) -> Launched | None:
    """Launches the run, unless Dagster's storage already has a materialization of both assets.

    Args:
        ui: must already answer; its code may take up to `loading_seconds` to load.
        days: the days to materialize; None: nothing.

    Returns:
        None if there is nothing to do.

    Raises:
        HeadraceError: Dagster does not know the assets, or refuses the run.
    """
    if days is None:
        return None
    nodes = _wait_for_assets(ui, loading_seconds)
    if not any(_is_missing(node) for node in nodes):
        return None
    tags = []
    first = last = None
    if nodes[0]["isPartitioned"]:
        keys = [key for key in nodes[0]["partitionKeys"] if str(days[0]) <= key <= str(days[1])]
        if not keys:
            return None  # all campaigns are from before HEADRACE_PARTITIONS_START
        first, last = keys[0], keys[-1]
        tags = [
            {"key": "dagster/asset_partition_range_start", "value": first},
            {"key": "dagster/asset_partition_range_end", "value": last},
        ]
    repository = nodes[0]["repository"]
    params = {
        "selector": {
            "repositoryLocationName": repository["location"]["name"],
            "repositoryName": repository["name"],
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": [name]} for name in ASSETS],
            "assetCheckSelection": None,
        },
        "mode": "default",
        "runConfigData": {},
        "executionMetadata": {"tags": tags},
    }
    result = _ask(ui, _LAUNCH, {"params": params})["launchRun"]
    if result["__typename"] != "LaunchRunSuccess":
        errors = [error["message"] for error in result.get("errors", ())]
        raise HeadraceError(
            f"Dagster refused the first materialization ({result['__typename']}: "
            f"{result.get('message') or '; '.join(errors) or 'no reason given'}): "
            "materialize the assets in its UI."
        )
    return Launched(result["run"]["runId"], first, last)


def run_status(ui: Ui, run_id: str) -> str:
    """Dagster's status of this run: QUEUED, STARTED, SUCCESS, FAILURE, CANCELED, ….

    Raises:
        HeadraceError: the webserver does not say.
    """
    return str(_ask(ui, _RUN, {"run": run_id})["runOrError"].get("status", "UNKNOWN"))


def materialize_first(
    ui: Ui,
    database_url: str,
    source_schema: str,
    say: Callable[[str], None],
    stopped: Callable[[float], bool],
) -> None:
    """Does all of this and says how it went; a failure is reported and never ends `headrace up`.

    Args:
        stopped: waits this many seconds; returns true when it is time to give up.
    """
    try:
        launched = launch_first(ui, campaign_days(database_url, source_schema))
        if launched is None:
            return
        over = f" over {launched.first} to {launched.last}" if launched.first else ""
        say(f"First materialization{over}: {ui.url}/runs/{launched.run_id}")
        while not stopped(1.0):
            status = run_status(ui, launched.run_id)
            if status == "SUCCESS":
                say(f"Materialized: {', '.join(ASSETS)}. See {ui.url}/assets/{ASSETS[0]}")
                return
            if status in ("FAILURE", "CANCELED"):
                say(
                    f"The first materialization ended with {status}: "
                    f"its page says why, {ui.url}/runs/{launched.run_id}"
                )
                return
    except HeadraceError as error:
        say(str(error))


def _wait_for_assets(ui: Ui, seconds: float) -> Sequence[dict[str, Any]]:
    """The nodes of both assets, in the order of `ASSETS`."""
    deadline = time.monotonic() + seconds
    keys = [{"path": [name]} for name in ASSETS]
    while True:
        reason = "its code location does not have them"
        try:
            found = {
                node["assetKey"]["path"][-1]: node
                for node in _ask(ui, _ASSET_NODES, {"keys": keys})["assetNodes"]
            }
            if set(ASSETS) <= set(found):
                return [found[name] for name in ASSETS]
        except HeadraceError as error:
            reason = str(error)
        if time.monotonic() > deadline:
            raise HeadraceError(
                f"Dagster does not show the assets {' and '.join(ASSETS)} ({reason}): "
                f"{ui.url}/deployment/locations says whether the code was loaded."
            )
        time.sleep(0.5)


def _is_missing(node: Mapping[str, Any]) -> bool:
    """Whether nothing is materialized yet; for a partitioned asset, whether no partition is, whatever else was reported."""
    if node["isPartitioned"]:
        return not (node["partitionStats"] or {}).get("numMaterialized")
    return not node["assetMaterializations"]


def _ask(ui: Ui, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{ui.url}/graphql",
        data=json.dumps({"query": query, "variables": variables}).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {ui.token}"},
    )
    try:
        with _OPENER.open(request, timeout=30) as response:
            answer = json.load(response)
    except (OSError, ValueError) as error:
        raise HeadraceError(f"Dagster's webserver did not answer a query: {error}") from None
    if answer.get("errors"):
        raise HeadraceError(f"Dagster's webserver refused a query: {answer['errors'][0].get('message')}")
    return dict(answer["data"])
