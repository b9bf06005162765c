"""The front door of Dagster's webserver: who passes, and who is told why not. For the real webserver see tests/browser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from orchestration.local.front_door import Door, FrontDoor, Keys, Message, Receive, Scope, Send
from orchestration.settings import Settings

KEYS = Keys(b"a secret of the owner", "this run")
DOOR = Door(KEYS, 3000, ("dagster.example.com", "box:8080"))
HERE = {"host": "127.0.0.1:3000"}
COOKIE = {"cookie": f"theme=dark; headrace_ui_3000={KEYS.cookie}"}
OWN = HERE | COOKIE
JSON = {"content-type": "application/json"}
# Headers that browsers send.
PAGE = {"accept": "text/html,*/*;q=0.8", "sec-fetch-site": "none", "sec-fetch-mode": "navigate"}
FETCH = {"origin": "http://127.0.0.1:3000", "sec-fetch-site": "same-origin", "accept": "*/*", **JSON}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def passed(self) -> bool:
        return self.body == "Dagster"


async def dagster(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"Dagster"})


def ask(
    path: str = "/",
    headers: Mapping[str, str] | list[tuple[str, str]] = OWN,
    *,
    method: str = "GET",
    kind: str = "http",
    door: Door = DOOR,
) -> Answer:
    pairs = list(headers.items()) if isinstance(headers, Mapping) else headers
    path, _, query = path.partition("?")
    scope: dict[str, Any] = {
        "type": kind,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs],
    }
    if kind == "http":
        scope["method"] = method
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("nothing is read of who does not pass")

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(FrontDoor(dagster, door)(scope, receive, send))
    if kind == "websocket":
        passed = sent == [{"type": "websocket.accept"}]
        assert passed or sent[0]["type"] == "websocket.close"
        return Answer(101 if passed else 403, {}, "Dagster" if passed else sent[0]["reason"])
    start, body = sent
    return Answer(
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        body["body"].decode(),
    )


def test_pages_queries_and_subscriptions_of_a_browser_with_the_cookie_pass() -> None:
    assert ask("/assets/x?view=checks", OWN | PAGE).passed
    assert ask("/graphql", OWN | FETCH, method="POST").passed
    assert ask(
        "/graphql", OWN | FETCH | {"content-type": "application/json; charset=utf-8"}, method="POST"
    ).passed
    assert ask("/graphql", OWN | {"origin": "http://127.0.0.1:3000"}, kind="websocket").passed
    assert ask("/graphql", OWN | PAGE).passed, "the query editor is a page"
    assert ask("/logs/x.out", OWN).passed, "browsers that know no Sec-Fetch-Site"
    assert ask("/", OWN, method="HEAD").passed


def test_a_program_passes_with_the_token_as_a_header() -> None:
    bearer = HERE | {"authorization": f"Bearer {KEYS.token}"}
    assert ask("/graphql", bearer | JSON, method="POST").passed
    assert ask("/server_info", bearer).passed
    assert not ask("/server_info", bearer | {"authorization": f"Bearer {KEYS.cookie}"}).passed


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_whoever_has_no_key_passes_nowhere_and_is_told_where_it_is(kind: str) -> None:
    for wrong in (
        {},
        {"cookie": ""},
        {"cookie": "headrace_ui_3000="},
        {"cookie": f"headrace_ui_3001={KEYS.cookie}"},
        {"cookie": f"headrace_ui_3000={KEYS.token}"},
        {"cookie": f"headrace_ui_3000={Keys(b'of somebody else', 'this run').cookie}"},
        {"cookie": "[=;" * 100},
        {"authorization": "Bearer"},
        {"authorization": "Bearer \xe9"},
        {"authorization": f"Basic {KEYS.token}"},
    ):
        for path in ("/", "/server_info", "/graphql", "/logs/a.err", "/download_debug/x", "/favicon.png"):
            answer = ask(path, HERE | wrong, kind=kind)
            assert answer.status == 403
            assert "`headrace up`" in answer.body or kind == "websocket"


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "host",
    [
        *("evil.example:3000", "127.0.0.1.evil.example:3000", "127.0.0.1:3001", "127.0.0.1", "localhost:80"),
        *("", "0.0.0.0:3000", "127.0.0.1:3000.", "dagster.example.com:3000", "xdagster.example.com"),
    ],
)
def test_a_page_behind_another_name_passes_nowhere_with_whatever_key(host: str, kind: str) -> None:
    answer = ask("/", OWN | {"host": host}, kind=kind)
    assert answer.status == (421 if kind == "http" else 403)
    if kind == "http":
        assert "HEADRACE_UI_HOSTS" in answer.body
        assert f"“{host}”" in answer.body


def test_own_names_pass_under_http_and_behind_a_proxy_under_https() -> None:
    for host in ("127.0.0.1:3000", "localhost:3000", "LOCALHOST:3000", "[::1]:3000", "box:8080"):
        assert ask("/", OWN | {"host": host, "origin": f"http://{host}"}).passed
    proxied = {"host": "dagster.example.com", "origin": "https://dagster.example.com"}
    assert ask("/graphql", OWN | FETCH | proxied, method="POST").passed


def test_two_hosts_or_none_are_not_this_one() -> None:
    assert ask("/", [*OWN.items(), ("host", "evil.example")]).status == 421
    assert ask("/", COOKIE).status == 421


@pytest.mark.parametrize(
    "origin",
    [
        *("http://evil.example", "null", "", "http://127.0.0.1:3001", "http://127.0.0.1", "file://"),
        *("http://localhost:3000", "http://127.0.0.1:3000.evil.example", "ftp://127.0.0.1:3000"),
    ],
)
def test_another_pages_origin_passes_nowhere(origin: str) -> None:
    for kind, method in (("http", "GET"), ("http", "POST"), ("websocket", "GET")):
        answer = ask("/graphql", OWN | JSON | PAGE | {"origin": origin}, kind=kind, method=method)
        assert answer.status == 403
        assert "page" in answer.body


def test_two_origins_pass_nowhere() -> None:
    assert ask("/", [*OWN.items(), *[("origin", "http://127.0.0.1:3000")] * 2]).status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "what else"])
def test_what_another_page_makes_a_browser_send_passes_nowhere(site: str) -> None:
    sent = {"sec-fetch-site": site, "sec-fetch-dest": "image", "accept": "image/*"}
    assert ask("/graphql?query=mutation{x}", OWN | sent).status == 403
    assert ask("/", OWN | {"sec-fetch-site": site}, kind="websocket").status == 403


def test_who_followed_a_link_from_elsewhere_is_asked_whether_he_meant_it() -> None:
    answer = ask('/runs/a"b?x=<script>&y=%22', OWN | PAGE | {"sec-fetch-site": "cross-site"})
    assert answer.status == 403
    (link,) = re.findall('<a href="([^"]*)">Go on</a>', answer.body)
    assert link == "/runs/a%22b?x=%3Cscript%3E&amp;y=%22"
    assert "<script" not in answer.body
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "accept",
    ["*/*", "application/json", "image/avif,image/webp,*/*", ""],
)
def test_graphql_is_never_taken_by_get(accept: str) -> None:
    for path in ("/graphql", "/graphql?query=mutation{x}", "/graphql/?query=mutation{x}"):
        answer = ask(path, OWN | {"accept": accept})
        assert answer.status == 405
        assert "POST" in answer.body


@pytest.mark.parametrize(
    "content_type",
    [
        *("text/plain", "text/plain; application/json", "application/x-www-form-urlencoded", ""),
        *("multipart/form-data; boundary=application/json", "application/graphql", "application/jsonp"),
    ],
)
@pytest.mark.parametrize("path", ["/graphql?query=mutation{x}", "/report_asset_materialization/x"])
def test_what_a_form_of_another_page_could_post_is_not_taken(content_type: str, path: str) -> None:
    answer = ask(path, OWN | {"content-type": content_type}, method="POST")
    assert answer.status == 415
    assert "Content-Type: application/json" in answer.body


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "G\x1b[31mT"])
def test_other_methods_are_not_taken(method: str) -> None:
    answer = ask("/graphql", OWN | JSON, method=method)
    assert answer.status == 405
    assert "\x1b" not in answer.body


def test_the_link_gives_the_browser_a_cookie_and_takes_the_token_out_of_the_address() -> None:
    answer = ask(f"/runs/x?a=%26b&token={KEYS.token}", HERE | PAGE)
    assert answer.status == 303
    assert answer.headers["location"] == "/runs/x?a=%26b"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"headrace_ui_3000={KEYS.cookie};")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert KEYS.token not in str(answer)


def test_the_link_leads_to_no_other_server_and_works_for_no_other_page() -> None:
    for path in ("//evil.example/", "/\\evil.example/", "/\\/evil.example/"):
        answer = ask(f"{path}?token={KEYS.token}", HERE)
        assert answer.headers["location"] == "/evil.example/"
    link = f"/?token={KEYS.token}"
    assert ask(link, {"host": "evil.example:3000"}).status == 421
    assert ask(link, HERE | {"sec-fetch-site": "cross-site"}).status == 403
    assert ask(link, HERE | {"origin": "null"}).status == 403
    assert ask("/?token=wrong", HERE).status == 403
    assert ask("/?token=wrong", OWN).passed, "an old link, and a browser that has the cookie already"
    assert ask(link, HERE | JSON, method="POST").status == 403


def test_another_run_has_another_link_and_the_same_cookie() -> None:
    later = Keys(KEYS.secret, "another run")
    assert later.token != KEYS.token
    assert later.cookie == KEYS.cookie
    door = Door(later, 3000)
    assert ask(door=door).passed
    assert ask(f"/?token={KEYS.token}", HERE, door=door).status == 403


def test_no_answer_can_be_framed_by_another_page() -> None:
    for answer in (ask(), ask(headers=HERE), ask(f"/?token={KEYS.token}", HERE)):
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_what_a_stranger_writes_is_quoted_harmlessly_and_not_whole() -> None:
    answer = ask("/", {"host": "\x1b]0;x\x07<b>" + "x" * 5000, "accept": "text/html"})
    assert answer.status == 421
    assert "\x1b" not in answer.body
    assert "<b>" not in answer.body
    assert len(answer.body) < 1000


def test_names_of_the_ui_are_read_as_a_browsers_address_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_UI_HOSTS", " dagster.example.com, box:8080,")
    assert Settings().ui_hosts == ("dagster.example.com", "box:8080")
    for wrong in ("https://dagster.example.com", "*.example.com", "a b"):
        monkeypatch.setenv("HEADRACE_UI_HOSTS", wrong)
        with pytest.raises(ValueError, match="as a browser's address has it"):
            Settings()


def test_other_kinds_of_connections_are_the_servers_own() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        pass

    async def run() -> None:
        await FrontDoor(app, DOOR)({"type": "lifespan"}, receive, send)

    asyncio.run(run())
    assert seen == ["lifespan"]
