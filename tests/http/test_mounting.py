"""The application alone and under prefixes, as different hosts hand requests on."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.http.callers import COMPANY_EVENTS, Caller, a_draft, client_of
from tests.http.raw import call, http_scope

Host = Callable[[ASGIApp], ASGIApp]


def in_starlette(app: ASGIApp) -> ASGIApp:
    return Starlette(routes=[Mount("/calendar", app)])


def in_nested_starlette(app: ASGIApp) -> ASGIApp:
    return Starlette(routes=[Mount("/v1", routes=[Mount("/{tenant}", app)])])


def rewriting(change: Callable[[Scope], Mapping[str, Any]]) -> Host:
    """A host that hands on a scope with what ``change`` says."""

    def host(app: ASGIApp) -> ASGIApp:
        async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, **change(scope)}, receive, send)

        return asgi

    return host


PREFIX = "/calendar"


def _rest(scope: Scope) -> str:
    path: str = scope["path"]
    assert path.startswith(PREFIX)
    return path.removeprefix(PREFIX)


HOSTS: Mapping[str, tuple[str, Host]] = {
    "alone": ("", lambda app: app),
    "starlette": ("/calendar", in_starlette),
    "starlette, nested": ("/v1/caf%C3%A9%20%22", in_nested_starlette),
    # FastAPI and Hypercorn's dispatcher do as ASGI says.
    "asgi": (PREFIX, rewriting(lambda _: {"root_path": PREFIX})),
    "asgi, with a slash": (PREFIX, rewriting(lambda _: {"root_path": f"{PREFIX}/"})),
    # A dispatcher in front of Django or Quart in the older manner.
    "rewritten path": (
        PREFIX,
        rewriting(lambda scope: {"root_path": PREFIX, "path": _rest(scope)}),
    ),
    "rewritten paths": (
        PREFIX,
        rewriting(
            lambda scope: {
                "root_path": PREFIX,
                "path": _rest(scope),
                "raw_path": scope["raw_path"].removeprefix(PREFIX.encode()),
            }
        ),
    ),
    "rewritten path, no raw one": (
        PREFIX,
        rewriting(lambda scope: {"root_path": PREFIX, "path": _rest(scope), "raw_path": None}),
    ),
    # Litestar: the mount is off the path, a slash at its end, and no root_path.
    "litestar": (PREFIX, rewriting(lambda scope: {"path": f"{_rest(scope)}/"})),
    "litestar, at its root": ("", rewriting(lambda scope: {"path": f"{scope['path'][1:]}/"})),
    "litestar below a root_path": (
        f"/proxy{PREFIX}",
        rewriting(lambda scope: {"path": f"{_rest(scope)}/", "root_path": "/proxy"}),
    ),
    "path rewritten in silence": (PREFIX, rewriting(lambda scope: {"path": _rest(scope)})),
    # A proxy took /proxy off, and the server was told.
    "stripping proxy": (
        f"/proxy{PREFIX}",
        rewriting(lambda _: {"root_path": f"/proxy{PREFIX}"}),
    ),
}
SEEN_PREFIX = {"stripping proxy": PREFIX, "litestar below a root_path": PREFIX}


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("name", ["acme", "ada"])
async def test_a_calendar_under_a_host(app: ASGIApp, host: str, name: str) -> None:
    prefix, wrap = HOSTS[host]
    requested = SEEN_PREFIX.get(host, prefix)
    async with client_of(wrap(app)) as client:
        caller = Caller(client, name)
        events, caller.events = caller.events, requested + caller.events
        locations = []
        for number in range(3):
            created = await caller.post(a_draft(title=f"{number}"))
            assert created.status_code == 201, created.text
            location = created.headers["location"]
            assert location == f"{prefix}{events}/{created.json()['id']}"
            locations.append(location)
        listed = await caller.list_events(limit=2)
        link = listed.links["next"]["url"]
        assert link.startswith(f"{prefix}{events}?limit=2&cursor=")
        for location in locations:
            got = await caller.send("GET", requested + location.removeprefix(prefix))
            assert got.status_code == 200
        rest = await caller.send("GET", requested + link.removeprefix(prefix))
        assert [event["title"] for event in rest.json()["events"]] == ["2"]
        missing = await caller.get(0)
        assert (missing.status_code, missing.json()["instance"]) == (404, prefix + events)
        for path in ("/", "/elsewhere", f"{events}/", f"{events}/1/", f"/x{events}"):
            answer = await caller.send("GET", requested + path)
            assert answer.status_code == 404, path


async def test_the_hosts_own_paths_stay_its_own(app: ASGIApp) -> None:
    async def home(_: Request) -> Response:
        return Response("home")

    host = Starlette(routes=[Mount("/calendar", app), Route("/", home)])
    async with client_of(host) as client:
        assert (await client.get("/")).status_code == 200
        assert (await client.get(COMPANY_EVENTS)).status_code == 404
        assert (await client.get(f"/calendar{COMPANY_EVENTS}")).status_code == 401


async def test_a_mount_named_like_the_api_is_a_prefix_all_the_same(app: ASGIApp) -> None:
    host = Starlette(routes=[Mount("/api", app)])
    async with client_of(host) as client:
        assert (await client.get(COMPANY_EVENTS)).status_code == 404
        assert (await client.get(f"/api{COMPANY_EVENTS}")).status_code == 401


@pytest.mark.parametrize(
    "root", ["/calendar", '/caf\u00e9 "<>\r\nX: y', "/\udcff", "relative", "/a//b"]
)
async def test_a_strange_root_stays_inside_its_header(app: ASGIApp, root: str) -> None:
    headers = [(b"authorization", b"Bearer acme"), (b"content-type", b"application/json")]
    scope = http_scope("POST", root + COMPANY_EVENTS, headers=headers, root_path=root)
    answer = await call(app, scope, [json.dumps(a_draft()).encode()])
    assert answer.status == 201
    prefix = quote(root, "/:", errors="replace").encode()
    assert answer.headers[b"location"].startswith(prefix + COMPANY_EVENTS.encode() + b"/")
