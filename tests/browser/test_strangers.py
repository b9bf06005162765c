"""Strangers' text and strangers' requests, against a real `headrace up`: the text is shown harmlessly, the requests are refused."""

from __future__ import annotations

import html
import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
from playwright.sync_api import Locator, expect

from orchestration.campaign_stats.summaries import ASSETS, COMPUTED_STATS, TEMPLATE_STATS
from orchestration.text import LONGEST_NAME, clean, cut
from tests.browser.live import Live, browser, headrace_up
from tests.browser.test_ui import chromium
from tests.browser.ui import Ui

HOSTILE = (
    "https://evil.example/a",
    "www.evil.example",
    "evil@evil.example",
    "[x](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "<img src=https://evil.example/y.png>",
    "<a href=javascript:alert(1)>x</a> <script>alert(1)</script>",
    "[x](javascript:alert(1)) [y][z]",
    "a | b | c",
    "`` ` ``` | `",
    "line\n| break |\n\n# heading",
    "\\| \\\\| \\",
    "&lt;img src=https://evil.example/z.png&gt; &#124;",
    "<https://evil.example> <evil@evil.example>",
    "~~s~~ **bold** _it_ :smile: $x$",
    "\u202elive\u2066 \x1b]0;x\x07 mailto:evil@evil.example",
    "evil " * 2000,
)
LAUNCH = """
    mutation Launch($params: ExecutionParams!) {
        launchRun(executionParams: $params) {
            __typename
            ... on LaunchRunSuccess { run { runId } }
            ... on RunConfigValidationInvalid { errors { message } }
            ... on PythonError { message }
        }
    }
"""
RUNS = '{ runsOrError(filter: {pipelineName: "freeze_campaigns"}) { ... on Runs { results { runId } } } }'
STATUS = "query Status($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"


def ask(live: Live, query: str, **variables: object) -> Any:
    request = urllib.request.Request(
        f"{live.ui.url}/graphql",
        data=json.dumps({"query": query, "variables": variables}).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {live.ui.token}"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["data"]


def launch(live: Live, job: str, config: Mapping[str, object], **more: object) -> str:
    """Runs the job to its end; returns the run's id."""
    selector = {
        "repositoryLocationName": "orchestration.definitions",
        "repositoryName": "__repository__",
        "pipelineName": job,
        **({"assetSelection": [{"path": [name]} for name in ASSETS]} if job == "__ASSET_JOB" else {}),
    }
    params = {"selector": selector, "mode": "default", "runConfigData": json.dumps(config), **more}
    launched = ask(live, LAUNCH, params=params)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run = str(launched["run"]["runId"])
    deadline = time.monotonic() + 300
    while (status := ask(live, STATUS, run=run)["runOrError"]["status"]) not in ("SUCCESS", "FAILURE"):
        assert time.monotonic() < deadline, status
        time.sleep(1)
    assert status == "SUCCESS"
    return run


def plant(live: Live, day: datetime) -> list[str]:
    """Inserts a day of campaigns and templates with hostile names and values; returns the campaigns' ids."""
    with psycopg.connect(live.database, autocommit=True) as connection:
        for table in ("campaigns", "send_queue"):  # an application's own checks guarantee nothing
            connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {table}_status_check")
        campaigns = []
        for name in HOSTILE:
            ((campaign,),) = connection.execute(
                "INSERT INTO campaigns (name, status, created_at) VALUES (%s, %s, %s) RETURNING id::text",
                [name, name, day],
            ).fetchall()
            campaigns.append(campaign)
            connection.execute(
                "INSERT INTO send_queue (campaign_id, user_phone, template_name, status, whatsapp_message_id, created_at)"
                " SELECT %s, %s || n, %s, %s, md5(%s || n::text), %s FROM generate_series(1, 3) n",
                [campaign, name, name, name, name, day],
            )
            connection.execute(
                "INSERT INTO message_status_logs (whatsapp_message_id, status, created_at)"
                " SELECT md5(%s || n::text), %s, %s FROM generate_series(1, 3) n",
                [name, name, day],
            )
    return campaigns


def no_harm(ui: Ui) -> None:
    """Checks that nothing on the open page leads where a stranger wants people to go."""
    active = "a, area, img, video, iframe, script, form, object, embed, link, meta, input, button"
    pages = ui.page.locator(active).evaluate_all("all => all.map(one => one.cloneNode(false).outerHTML)")
    assert pages
    assert [page for page in pages if re.search(r"evil|javascript:|mailto:", page)] == []


def whole(table: Locator, expected: set[str]) -> None:
    """Checks that every row has as many cells as the heading, and that the first cells are these."""
    heads = table.locator("thead th").count()
    rows = table.locator("tbody tr").all()
    assert {row.locator("td").first.inner_text() for row in rows} == expected
    for row in rows:
        assert row.locator("td").count() == heads, row.inner_text()


def shown_as(name: str) -> str:
    """A name as a table of the UI should show it: unchanged, but cleaned and cut."""
    return cut(clean(name), LONGEST_NAME)


class Elsewhere:
    """Somebody else's web page, on another port of this machine; it tries what a page can try."""

    def __init__(self, ui: str, query: str) -> None:
        body = json.dumps({"query": query})
        by_get = f"{ui}/graphql?{urlencode({'query': query})}"
        socket = ui.replace("http:", "ws:") + "/graphql"
        self.page = f"""<!DOCTYPE html><title>elsewhere</title>
            <img src="{html.escape(by_get)}">
            <iframe name="in" src="{ui}/runs"></iframe>
            <form target="in" method="post" enctype="text/plain" action="{html.escape(by_get)}"><input name="x"></form>
            <script>
            const body = {json.dumps(body)}
            const tried = ["text/plain", "application/json", "text/plain; application/json"].map(type =>
                fetch("{ui}/graphql", {{method: "POST", mode: type == "application/json" ? "cors" : "no-cors",
                    credentials: "include", headers: {{"content-type": type}}, body}}).catch(() => 0))
            tried.push(fetch({json.dumps(by_get)}, {{mode: "no-cors", credentials: "include"}}).catch(() => 0))
            tried.push(new Promise(done => {{
                const socket = new WebSocket("{socket}", "graphql-ws")
                socket.onopen = () => {{ window.connected = true; done() }}
                socket.onerror = done
            }}))
            document.forms[0].submit()
            Promise.all(tried).then(() => document.title = "tried")
            </script>""".encode()

    @contextmanager
    def served(self) -> Iterator[int]:
        """Its port, served under every name of this machine."""
        page = self.page

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def status(live: Live, path: str, **headers: str) -> int:
    request = urllib.request.Request(live.ui.url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_what_strangers_write_is_shown_harmlessly_and_what_they_send_is_refused(tmp_path: Path) -> None:
    executable = chromium()
    with headrace_up(scale=0.002) as live, browser(executable) as opened:
        day = datetime.now(UTC) - timedelta(days=20)
        campaigns = plant(live, day)
        key = f"{day:%Y-%m-%d}"
        ends = {"range_start": key, "range_end": key}
        tags = [{"key": f"dagster/asset_partition_{end}", "value": value} for end, value in ends.items()]
        launch(live, "__ASSET_JOB", {}, executionMetadata={"tags": tags})
        checked = launch(live, "campaign_stats_checks", {})
        seen = launch(live, "freeze_campaigns", {"campaigns": campaigns})
        ui = Ui(opened, live.ui.link)
        try:
            shows_harmlessly(ui, key, [checked, seen])
            refuses_other_pages(ui, live, campaigns)
        except BaseException:
            ui.page.screenshot(path=tmp_path / "failed.png")
            print(f"what was shown: {tmp_path / 'failed.png'}")  # noqa: T201
            raise


def shows_harmlessly(ui: Ui, day: str, runs: Sequence[str]) -> None:
    ui.page.set_viewport_size({"width": 1440, "height": 2400})  # rows out of view are not drawn
    expected = {shown_as(name) for name in HOSTILE}
    for asset, listing in ((TEMPLATE_STATS, "per_template"), (COMPUTED_STATS, "per_campaign")):
        ui.open_partition(asset, day)
        row = ui.page.get_by_role("row").filter(has=ui.page.get_by_text(listing, exact=True))
        row.get_by_text("[Show Markdown]").click()
        whole(ui.page.get_by_role("dialog").locator("table"), expected)
        no_harm(ui)
    for table in ("campaigns", "send_queue", "message_status_logs"):
        ui.open(f"/assets/app/{table}?view=checks&checkDetail=unknown_statuses")
        expect(ui.page.get_by_text("Evaluation result")).to_be_visible()
        expect(ui.page.get_by_text("rows_with_unknown_values").first).to_be_visible()
        no_harm(ui)
    for run in runs:
        ui.open(f"/runs/{run}")
        expect(ui.page.get_by_text("RUN_SUCCESS")).to_be_visible()
        no_harm(ui)
    # No other server was asked for anything, and the UI was refused nothing.
    assert ui.problems == []


def refuses_other_pages(ui: Ui, live: Live, campaigns: Sequence[str]) -> None:
    """In the browser that has the cookie: requests from another site, and from another port of the same host name."""
    before = ask(live, RUNS)
    config = json.dumps({"campaigns": list(campaigns), "dry_run": True})
    query = (
        'mutation{launchRun(executionParams:{selector:{repositoryLocationName:"orchestration.definitions",'
        f'repositoryName:"__repository__",pipelineName:"freeze_campaigns"}},runConfigData:{json.dumps(config)}}})'
        "{__typename}}"
    )
    with Elsewhere(live.ui.url, query).served() as port:
        for name in ("localhost", "127.0.0.1"):
            ui.page.goto(f"http://{name}:{port}/")
            expect(ui.page).to_have_title("tried")
            assert not ui.page.evaluate("Boolean(window.connected)")
    for headers in ({}, {"Cookie": "headrace_ui=x"}, {"Authorization": "Bearer x"}):
        for path in ("/", "/graphql", "/server_info", f"/graphql?{urlencode({'query': query})}"):
            assert status(live, path, **headers) == 403
    right = {"Authorization": f"Bearer {live.ui.token}"}
    assert status(live, "/server_info", **right) == 200
    assert status(live, "/server_info", Host="evil.example:80", **right) == 421
    assert ask(live, RUNS) == before, "and it could have been launched: what it would do was said above"
