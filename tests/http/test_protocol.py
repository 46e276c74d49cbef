"""Methods, paths, headers that every answer has, and the other kinds of ASGI scope."""

import re
from typing import Any

import httpx2
import pytest
from starlette.types import ASGIApp

from tests.http.callers import COMPANY_EVENTS, USER_EVENTS, Caller
from tests.http.raw import call, http_scope
from tests.http.test_errors import problem

ALLOWED = {"": "GET, HEAD, POST, OPTIONS", "/1": "GET, HEAD, PATCH, DELETE, OPTIONS"}


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize("base", [COMPANY_EVENTS, USER_EVENTS])
@pytest.mark.parametrize("below", ALLOWED)
async def test_options_needs_no_credentials(
    client: httpx2.AsyncClient, base: str, below: str
) -> None:
    answer = await client.options(base + below)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == ALLOWED[below]
    assert answer.headers["x-request-id"]
    accepted = "application/json, application/merge-patch+json" if below else None
    assert answer.headers.get("accept-patch") == accepted


NOT_ALLOWED = [
    (below, method)
    for below, allowed in ALLOWED.items()
    for method in ("PUT", "POST", "PATCH", "DELETE", "TRACE", "get", "QUERY", "X-Y")
    if method not in allowed.split(", ")
]


@pytest.mark.parametrize("base", [COMPANY_EVENTS, USER_EVENTS])
@pytest.mark.parametrize(("below", "method"), NOT_ALLOWED)
async def test_other_methods(app: ASGIApp, base: str, below: str, method: str) -> None:
    answer = await call(app, http_scope(method, base + below))
    assert answer.status == 405
    assert answer.headers[b"allow"].decode() == ALLOWED[below]


async def test_head_is_get_without_a_body(owner: Caller) -> None:
    event = await owner.created()
    for path in (
        owner.events,
        f"{owner.events}/{event['id']}",
        f"{owner.events}/0",
        f"{owner.events}?limit=x",
        "/elsewhere",
    ):
        answers = [
            await owner.send(method, path, headers={"X-Request-Id": "same"})
            for method in ("GET", "HEAD")
        ]
        got, headed = answers
        assert headed.status_code == got.status_code
        assert headed.headers.multi_items() == got.headers.multi_items()
        assert int(got.headers["content-length"]) == len(got.content) > 0
        assert headed.content == b""


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/api",
        "/api/company/crm/v202506",
        COMPANY_EVENTS + "/",
        COMPANY_EVENTS + "/1/",
        COMPANY_EVENTS + "/1/images",
        COMPANY_EVENTS + "//1",
        COMPANY_EVENTS + "x",
        COMPANY_EVENTS.upper(),
        "/x" + COMPANY_EVENTS,
        "/" + COMPANY_EVENTS,
        COMPANY_EVENTS.replace("202506", "202507"),
        COMPANY_EVENTS.replace("company", "admin"),
        COMPANY_EVENTS + "\n",
        "/\udcff",
        "/caf\u00e9 \u2028\x00",
        "*",
    ],
)
async def test_other_paths_are_404_without_a_redirect(app: ASGIApp, path: str) -> None:
    for method in ("GET", "POST", "OPTIONS", "PUT"):
        headers = [(b"authorization", b"Bearer acme")]
        answer = await call(app, http_scope(method, path, headers=headers))
        assert answer.status == 404
        assert answer.headers[b"content-type"] == b"application/problem+json"


@pytest.mark.parametrize("sane", ["abc", "A-1_b.C", "0" * 128])
async def test_a_sane_request_id_is_kept(owner: Caller, sane: str) -> None:
    event = await owner.created()
    headers = {"X-Request-Id": sane}
    for answer in (
        await owner.get(event["id"], headers=headers),
        await owner.get(0, headers=headers),
        await owner.send("PUT", owner.events, headers=headers),
        await owner.send("GET", "/elsewhere", headers=headers),
        await owner.delete(event["id"], headers=headers),
    ):
        assert answer.headers["x-request-id"] == sane
    listed = await owner.send("GET", owner.events, headers=headers)
    assert listed.json()["meta"]["request_id"] == listed.headers["x-request-id"] == sane


@pytest.mark.parametrize(
    "strange", [b"", b" ", b"a b", b"0" * 129, b"<script>", b"\xff", b"a\nb", b"a\r\nSet-Cookie: x"]
)
async def test_a_strange_request_id_is_replaced(app: ASGIApp, strange: bytes) -> None:
    seen = set()
    for headers in ([(b"x-request-id", strange)], [(b"x-request-id", b"a")] * 2, []):
        answer = await call(app, http_scope("GET", USER_EVENTS, headers=headers))
        assert re.fullmatch(rb"[0-9a-f]{32}", answer.headers[b"x-request-id"])
        seen.add(answer.headers[b"x-request-id"])
    assert len(seen) == 3


async def test_headers_for_caches_and_browsers(owner: Caller) -> None:
    event = await owner.created()
    for answer in (
        await owner.list_events(),
        await owner.get(event["id"]),
        await owner.patch(event["id"], {}),
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["vary"] == "Authorization"
        assert answer.headers["x-content-type-options"] == "nosniff"
    missing = await owner.get(0)
    assert missing.headers["x-content-type-options"] == "nosniff"
    deleted = await owner.delete(event["id"])
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert "content-length" not in deleted.headers
    assert "content-type" not in deleted.headers


async def test_instance_is_a_uri_reference_without_an_unseen_id(owner: Caller) -> None:
    assert problem(await owner.get(5), 404)["instance"] == owner.events
    assert problem(await owner.send("PUT", f"{owner.events}/5"), 405)["instance"] == (
        f"{owner.events}/5"
    )
    assert problem(await owner.send("GET", "/caf%C3%A9%20x"), 404)["instance"] == "/caf%C3%A9%20x"


async def test_a_lifespan_is_tolerated(app: ASGIApp) -> None:
    messages = iter(["lifespan.startup", "lifespan.shutdown"])
    sent = []

    async def receive() -> dict[str, Any]:
        return {"type": next(messages)}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_websocket_is_closed_and_other_scopes_are_refused(app: ASGIApp) -> None:
    sent = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": COMPANY_EVENTS}, receive, send)
    assert sent == [{"type": "websocket.close"}]
    with pytest.raises(ValueError, match="carrier-pigeon"):
        await app({"type": "carrier-pigeon"}, receive, send)
