"""The first materialization, against a webserver that answers like Dagster's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import psycopg
import pytest

from orchestration.errors import HeadraceError
from orchestration.local.first_materialization import (
    ASSETS,
    Ui,
    answers,
    campaign_days,
    launch_first,
    materialize_first,
)

DAYS = (date(2026, 3, 5), date(2026, 3, 13))


class Webserver:
    """Answers the three queries, and records what was launched."""

    def __init__(self) -> None:
        self.launched: list[dict[str, Any]] = []
        self.materialized = 0
        self.known: tuple[str, ...] = ASSETS
        self.launch_result: dict[str, Any] = {"__typename": "LaunchRunSuccess", "run": {"runId": "the-run"}}
        self.statuses = ["QUEUED", "STARTED", "SUCCESS"]
        self.ui = Ui("", "the token")
        self.tokens: set[str] = set()

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "assetNodes" in query:
            return {"assetNodes": [self.node(name) for name in self.known]}
        if "launchRun" in query:
            self.launched.append(variables["params"])
            return {"launchRun": self.launch_result}
        return {"runOrError": {"status": self.statuses.pop(0)}}

    def node(self, name: str) -> dict[str, Any]:
        return {
            "assetKey": {"path": [name]},
            "isPartitioned": True,
            "partitionKeys": [f"2026-03-{day:02}" for day in range(1, 16)],
            "partitionStats": {"numMaterialized": self.materialized},
            "assetMaterializations": [{"timestamp": "1"}],
            "repository": {"name": "__repository__", "location": {"name": "orchestration.definitions"}},
        }


@pytest.fixture
def webserver() -> Iterator[Webserver]:
    state = Webserver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            state.tokens.add(self.headers["Authorization"])
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"data": state.answer(request["query"], request["variables"])}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    state.ui = Ui(f"http://127.0.0.1:{server.server_address[1]}", "the token")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def test_both_assets_are_launched_in_one_run_over_the_days_of_the_campaigns(webserver: Webserver) -> None:
    launched = launch_first(webserver.ui, DAYS)

    assert launched is not None
    assert (launched.run_id, launched.first, launched.last) == ("the-run", "2026-03-05", "2026-03-13")
    (params,) = webserver.launched
    assert params["selector"]["assetSelection"] == [{"path": [name]} for name in ASSETS]
    assert params["selector"]["repositoryLocationName"] == "orchestration.definitions"
    assert params["executionMetadata"]["tags"] == [
        {"key": "dagster/asset_partition_range_start", "value": "2026-03-05"},
        {"key": "dagster/asset_partition_range_end", "value": "2026-03-13"},
    ]


def test_days_before_the_first_partition_are_left_out(webserver: Webserver) -> None:
    launched = launch_first(webserver.ui, (date(2026, 1, 1), date(2026, 3, 2)))

    assert launched is not None
    assert (launched.first, launched.last) == ("2026-03-01", "2026-03-02")
    assert launch_first(webserver.ui, (date(2026, 1, 1), date(2026, 1, 2))) is None


def test_nothing_is_launched_where_partitions_are_materialized_or_there_are_no_campaigns(
    webserver: Webserver,
) -> None:
    assert launch_first(webserver.ui, None) is None
    webserver.materialized = 1
    assert launch_first(webserver.ui, DAYS) is None
    assert webserver.launched == []


def test_assets_that_do_not_show_up_are_named(webserver: Webserver) -> None:
    webserver.known = ("something_else",)

    with pytest.raises(HeadraceError, match=r"campaign_template_stats.*deployment/locations"):
        launch_first(webserver.ui, DAYS, loading_seconds=0)


def test_a_refused_run_says_what_dagster_said(webserver: Webserver) -> None:
    webserver.launch_result = {"__typename": "PythonError", "message": "no such thing"}

    with pytest.raises(HeadraceError, match="PythonError: no such thing"):
        launch_first(webserver.ui, DAYS)


def test_campaign_days_are_the_first_and_the_last_in_utc(example: str) -> None:
    assert campaign_days(example, "public") is None
    assert campaign_days(example, "elsewhere") is None
    with psycopg.connect(example) as connection:
        for stamp in (datetime(2026, 3, 5, 23, 59, tzinfo=UTC), datetime(2026, 3, 13, 0, 1, tzinfo=UTC)):
            connection.execute("INSERT INTO campaigns (created_at) VALUES (%s)", (stamp,))

    assert campaign_days(example, "public") == DAYS


def test_it_says_how_the_run_went(webserver: Webserver, example: str) -> None:
    with psycopg.connect(example) as connection:
        connection.execute("INSERT INTO campaigns (created_at) VALUES ('2026-03-05 12:00Z')")
    said: list[str] = []

    materialize_first(webserver.ui, example, "public", said.append, lambda _: False)

    assert said[0].startswith("First materialization over 2026-03-05 to 2026-03-05")
    assert said[1].startswith("Materialized: campaign_template_stats, campaign_computed_stats")

    webserver.statuses = ["FAILURE"]
    materialize_first(webserver.ui, example, "public", said.append, lambda _: False)
    assert "ended with FAILURE" in said[-1]
    assert webserver.tokens == {"Bearer the token"}, "the front door asks for it"
    assert not [line for line in said if "the token" in line]


def test_a_failure_is_said_and_not_raised(example: str, free_port: int) -> None:
    said: list[str] = []

    materialize_first(
        Ui("http://127.0.0.1:1"),
        "postgresql://nobody@127.0.0.1:1/none",
        "public",
        said.append,
        lambda _: False,
    )

    assert len(said) == 1
    assert "cannot connect to the database" in said[0]
    assert not answers(Ui(f"http://127.0.0.1:{free_port}"))


def test_any_answer_over_http_is_an_answer(webserver: Webserver) -> None:
    assert answers(webserver.ui), "the server above answers GET with 501"
