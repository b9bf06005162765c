"""What stands between a network and Dagster's webserver: whose requests reach it, and which ones.

The webserver itself asks nobody for identification, and accepts GraphQL mutations by GET from any page open in a browser.
Here: the decision, and the ASGI middleware that asks for it. Not here: Dagster (local/webserver.py starts it behind this).
"""

from __future__ import annotations

import hashlib
import hmac
import html
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_COOKIE_SECONDS = 30 * 86_400
_LONGEST_QUOTED = 100
# Other sites' pages may neither frame the UI nor load parts of it.
_ON_EVERY_ANSWER = (
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


@dataclass(frozen=True)
class Asked:
    """What a decision needs to know about a request.

    Attributes:
        kind: http or websocket.
        headers: by lower-case name; a header that was sent twice has two values.
        query: as in the URL.
    """

    kind: str
    method: str
    path: str
    headers: Mapping[str, Sequence[str]]
    query: str = ""

    def header(self, name: str) -> str:
        """The header's value; empty if it is missing or sent more than once, which no well-meaning client does."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else ""


@dataclass(frozen=True)
class Refused:
    """status: HTTP status. why: a sentence that says what to do. go_on: whether a deliberate click by the reader may go on."""

    status: int
    why: str
    go_on: bool = False


@dataclass(frozen=True)
class Keys:
    """What opens the door: the link that `headrace up` prints, and the cookie that a browser gets in return.

    Both derive from one secret; the link differs in every run.

    Attributes:
        secret: as read_key() returns it.
        run: distinguishes this run; not secret.
    """

    secret: bytes
    run: str

    @property
    def token(self) -> str:
        return self._made("link", self.run)

    @property
    def cookie(self) -> str:
        return self._made("cookie", "")

    def _made(self, what: str, of: str) -> str:
        return hmac.new(self.secret, f"{what} {of}".encode(), hashlib.sha256).hexdigest()[:40]


@dataclass(frozen=True)
class Door:
    """port: on this machine's loopback. hosts: further names as in a browser's address, `name` or `name:port`."""

    keys: Keys
    port: int
    hosts: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (*(f"{name}:{self.port}" for name in _LOOPBACK), *self.hosts)

    @property
    def cookie_name(self) -> str:
        # Browsers do not tell cookies apart by port.
        return f"headrace_ui_{self.port}"

    def refused(self, asked: Asked) -> Refused | None:
        """Why the request is refused; None if it passes."""
        return self._stranger(asked) or self._without_key(asked) or _unsafe(asked)

    def link_refused(self, asked: Asked) -> Refused | None:
        """The same for a request with the link's token in its URL, which is answered with the cookie."""
        return self._stranger(asked)

    def opens(self, token: str) -> bool:
        """Whether this is the token of this run's link."""
        return hmac.compare_digest(token.encode(), self.keys.token.encode())

    def _stranger(self, asked: Asked) -> Refused | None:
        """Browsers state where a request comes from, and no page can make them lie about it."""
        host = asked.header("host").lower()
        if host not in {name.lower() for name in self.names}:
            return Refused(
                421,
                f"This is Dagster under the names {', '.join(self.names)}, and not under {_quoted(asked.header('host'))}: a page "
                "of somebody else's may lie behind that name. If it is a name of yours, put it into HEADRACE_UI_HOSTS, as the "
                "browser's address has it, and start again.",
            )
        if "origin" in asked.headers and asked.header("origin").lower() not in (
            f"http://{host}",
            f"https://{host}",
        ):
            return Refused(
                403,
                f"A page of {_quoted(asked.header('origin'))} sent this request, and only Dagster's own pages may. Nothing was done.",
            )
        site = asked.header("sec-fetch-site").lower()
        if "sec-fetch-site" in asked.headers and site not in ("same-origin", "none"):
            return Refused(
                403,
                "Another page sent you here, or sent this request by itself; nothing was done. If you want to go on, follow the "
                "link below, or type the address.",
                go_on=asked.kind == "http" and asked.method == "GET",
            )
        return None

    def _without_key(self, asked: Asked) -> Refused | None:
        scheme, _, token = asked.header("authorization").partition(" ")
        if scheme.lower() == "bearer" and self.opens(token.strip()):
            return None
        for value in asked.headers.get("cookie", ()):
            cookies: SimpleCookie = SimpleCookie()
            try:
                cookies.load(value)
            except CookieError:
                continue
            found = cookies.get(self.cookie_name)
            if found is not None and hmac.compare_digest(found.value.encode(), self.keys.cookie.encode()):
                return None
        return Refused(
            403,
            "This Dagster is its owner's, and other users of the machine reach its port too. Open the address with ?token=… that "
            "`headrace up` printed, once in each browser (a second `headrace up` prints it again); a program sends the token as "
            "header Authorization: Bearer …",
        )


def _unsafe(asked: Asked) -> Refused | None:
    """Requests that no page of Dagster's needs, but that a form or an image on another page could send."""
    if asked.kind == "websocket":
        return None
    if asked.method == "POST":
        if asked.header("content-type").partition(";")[0].strip().lower() != "application/json":
            return Refused(415, "Only JSON is taken: send it with header Content-Type: application/json.")
        return None
    if asked.method not in ("GET", "HEAD"):
        return Refused(
            405, f"Method {_quoted(asked.method)} is not taken: GET for pages, POST for everything else."
        )
    if asked.path.rstrip("/").endswith("/graphql") and "text/html" not in asked.header("accept"):
        return Refused(
            405, "GraphQL is taken by POST only: send it with header Content-Type: application/json."
        )
    return None


def _quoted(text: str) -> str:
    """What a stranger wrote, on one line, without characters that a terminal or a page could interpret."""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return f"“{shown[:_LONGEST_QUOTED]}{'…' if len(shown) > _LONGEST_QUOTED else ''}”"


class FrontDoor:
    """The middleware. It answers what does not pass; everything else goes on, and the responses get additional headers."""

    def __init__(self, app: App, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        asked = _asked(scope)
        refused: Refused | None
        if (token := _token(asked)) is not None and self._door.opens(token):
            refused = self._door.link_refused(asked)
            if refused is None:
                await self._let_in(asked, send)
                return
        else:
            refused = self._door.refused(asked)
        if refused is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            # Closed before it is accepted, it is answered with 403.
            await send({"type": "websocket.close", "code": 1008, "reason": refused.why[:100]})
        else:
            await _answer(send, refused, asked)

    async def _let_in(self, asked: Asked, send: Send) -> None:
        """Sends the browser back with the cookie and without the token, so that the token is in no browser history."""
        cookie = (
            f"{self._door.cookie_name}={self._door.keys.cookie}; Path=/; Max-Age={_COOKIE_SECONDS}; HttpOnly; "
            "SameSite=Strict"
        )
        headers = [
            (b"location", _address(asked, without_token=True).encode()),
            (b"set-cookie", cookie.encode()),
            (b"referrer-policy", b"no-referrer"),
        ]
        await _respond(send, 303, headers, b"")


def _asked(scope: Scope) -> Asked:
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return Asked(
        scope["type"],
        scope.get("method", "GET"),
        scope["path"],
        headers,
        scope.get("query_string", b"").decode("latin-1"),
    )


def _token(asked: Asked) -> str | None:
    """The link's token; only from page requests, because a GraphQL query has its own parameters."""
    if asked.kind != "http" or asked.method != "GET":
        return None
    return dict(parse_qsl(asked.query)).get("token")


def _address(asked: Asked, *, without_token: bool = False) -> str:
    """Path and query on this server: two leading slashes would name another one."""
    pairs = parse_qsl(asked.query, keep_blank_values=True)
    query = urlencode([pair for pair in pairs if not (without_token and pair[0] == "token")])
    return "/" + quote(asked.path.lstrip("/\\")) + (f"?{query}" if query else "")


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_ON_EVERY_ANSWER]
        await send(message)

    return sending


async def _answer(send: Send, refused: Refused, asked: Asked) -> None:
    if "text/html" in asked.header("accept"):
        link = f'<p><a href="{html.escape(_address(asked))}">Go on</a></p>' if refused.go_on else ""
        text = (
            '<!DOCTYPE html><meta charset="utf-8"><title>Headrace</title><body style="font-family: sans-serif; '
            f'margin: 3em; max-width: 45em"><p>{html.escape(refused.why)}</p>{link}</body>'
        )
        policy = (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'")
        headers = [(b"content-type", b"text/html; charset=utf-8"), policy]
    else:
        text = refused.why + "\n"
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await _respond(send, refused.status, headers, text.encode())


async def _respond(send: Send, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
    everywhere = (
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *_ON_EVERY_ANSWER,
    )
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *everywhere]})
    await send({"type": "http.response.body", "body": body})
