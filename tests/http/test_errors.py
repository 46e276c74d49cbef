"""Every line of the contract's error table, and the order in which refusals come."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx2
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from calevents import Calendar, Company, ConcurrentWrite, Member, StorageError, StorageUnavailable
from calevents.adapters.memory import MemoryRepository
from calevents.adapters.starlette import create_app
from tests.http.callers import COMPANY_EVENTS, USER_EVENTS, Caller, a_draft, authenticate, client_of
from tests.http.raw import call, http_scope

LIMIT = 64 * 1024


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def problem(answer: httpx2.Response, status: int) -> dict[str, Any]:
    """The problem details object of an answer, checked for what all have in common."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    document: dict[str, Any] = answer.json()
    keys = ["type", "title", "status", "detail", "instance"]
    assert list(document) == [*keys, "errors"] if "errors" in document else keys
    assert (document["type"], document["status"]) == ("about:blank", status)
    assert all(isinstance(document[key], str) for key in keys if key != "status")
    return document


async def send_body(
    caller: Caller, method: str, body: bytes, content_type: str | None = "application/json"
) -> httpx2.Response:
    """Write with a body as it is: POST, or PATCH of a new event."""
    path = caller.events
    if method == "PATCH":
        path += f"/{(await caller.created())['id']}"
    headers = {} if content_type is None else {"Content-Type": content_type}
    return await caller.send(method, path, headers=headers, content=body)


def padded(size: int) -> bytes:
    """A valid patch and an almost valid draft of so many bytes."""
    return b'{"venue": "x"' + b" " * (size - 14) + b"}"


# 400: not JSON


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "empty"),
        (b" ", "JSON"),
        (b"{", "JSON"),
        (b"title=Training", "JSON"),
        (b"{} {}", "JSON"),
        (b'{"title": "Training",}', "JSON"),
        (b'{"title": NaN}', "JSON"),
        (b'{"id": Infinity}', "JSON"),
        (b'{"id": -Infinity}', "JSON"),
        (b'{"id": 1e999}', "range"),
        (b'{"id": -1e999}', "range"),
        (b'{"id": ' + b"9" * 5000 + b"}", "range"),
        (b"[" * 100_000 + b"]", "large"),
        (b"[" * 60_000, "deep"),
        (b"[" * 33 + b"]" * 33, "deep"),
        (b'{"title": ' * 33 + b"1" + b"}" * 33, "deep"),
        (b'{"a": ' * 5000 + b"1" + b"}" * 5000, "deep"),
        (b'{"title": "\xff"}', "UTF-8"),
        (b'{"\xe9": 1}', "UTF-8"),
        (b'{"title": "\xed\xa0\x80"}', "UTF-8"),
        ('{"title": "Training"}'.encode("utf-16"), "JSON"),
        ('{"title": "Training"}'.encode("latin-1").replace(b"T", b"\xdf"), "UTF-8"),
        (b"\xef\xbb\xbf{}", "JSON"),
        (b'{"title": "\\ud800"}', "lone surrogate"),
        (b'{"title": "\\udc00\\ud800"}', "lone surrogate"),
        (b'{"title": "\\uDBFF\\u0041 and more of it"}', "lone surrogate"),
        (b'{"title": "\\udfff and more of it"}', "lone surrogate"),
        (b'{"title": "\\ud83d\\ude00\\ude00"}', "lone surrogate"),
        (b'{"\\ud800": 1}', "lone surrogate"),
        (b'{"title": "\\ud800", "title": "x"}', "lone surrogate"),
        (b'[["\\ud800"]]', "lone surrogate"),
        (b'"\\ud800"', "lone surrogate"),
        (b'{"title": "\\ud800",}', "not JSON"),
        (b'{"title": "\\ud800', "not JSON"),
        (b'{"title": "\\ud83d\\ude00', "truncated"),
        (b'{"title": "\\ud83d\\ude00",}', "malformed"),
        (b'{"title": "\\ud8', "truncated"),
        (b'{"title": "\\\\ud800', "not JSON"),
        (b'{"title": "\\\\ud800", "id": NaN}', "malformed"),
        (b"[" * 20 + b'"\\ud800"' + b"]" * 20, "lone surrogate"),
        (b"[" * 20_000 + b'"\\ud800"' + b"]" * 20_000, "deep"),
        (b'{"title": "a\x00b"}', "JSON"),
    ],
)
async def test_a_body_that_is_not_json(owner: Caller, method: str, body: bytes, word: str) -> None:
    answer = await send_body(owner, method, body)
    document = problem(answer, 413 if word == "large" else 400)
    assert word in document["detail"]
    assert "errors" not in document
    assert await owner.titles(view="all") == (["Training"] if method == "PATCH" else [])


# 422: JSON, but no event


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(
    "body",
    [b"null", b"true", b"1", b'"title"', b"[]", b'[{"title": "x"}]', b"[" * 32 + b"]" * 32]
    + [b'{"event": ' + value + b"}" for value in (b"null", b"[]", b"1", b'"x"')],
)
async def test_json_that_is_no_object(owner: Caller, method: str, body: bytes) -> None:
    (error,) = problem(await send_body(owner, method, body), 422)["errors"]
    assert error["code"] == "type"
    assert "object" in error["detail"]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"title": None}, ["/title"]),
        ({"title": " "}, ["/title"]),
        ({"title": "x" * 256}, ["/title"]),
        ({"title": "a\x07b"}, ["/title"]),
        ({"title": 5}, ["/title"]),
        ({"description": "x" * 10_001}, ["/description"]),
        ({"url": "ftp://example.com"}, ["/url"]),
        ({"url": "/relative"}, ["/url"]),
        ({"url": "https://example.com/" + "x" * 2048}, ["/url"]),
        ({"venue": "x" * 256}, ["/venue"]),
        ({"color": "red"}, ["/color"]),
        ({"start": None}, ["/start"]),
        ({"end": None}, ["/end"]),
        ({"start": "tomorrow"}, ["/start"]),
        ({"start": "2025-W24-7T14:00:00Z"}, ["/start"]),
        ({"start": 1749996000}, ["/start"]),
        ({"start": "2025-06-15T16:00:00Z"}, ["/end"]),
        ({"end": "2025-06-15T14:00:00Z"}, ["/end"]),
        ({"end": "2025-06-15T13:59:59.999999Z"}, ["/end"]),
        ({"time_zone": "Mars/Olympus"}, ["/time_zone"]),
        ({"time_zone": "+05:30"}, ["/time_zone"]),
        ({"active": "yes"}, ["/active"]),
        ({"images": {}}, ["/images"]),
        ({"images": [{}]}, ["/images/0/full"]),
        ({"images": [{"full": "x"}]}, ["/images/0/full"]),
        ({"images": [{"full": "https://example.com"}] * 21}, ["/images"]),
        ({"image_url": "x"}, ["/image_url"]),
        ({"countries": "US"}, ["/countries"]),
        ({"countries": ["US", "XX", 5]}, ["/countries/1", "/countries/2"]),
        ({"user_id": "1"}, ["/user_id"]),
        ({"user_id": 2**63}, ["/user_id"]),
        ({"colour": "red"}, ["/colour"]),
        ({"a/b~c": 1}, ["/a~1b~0c"]),
        ({"color": "red", "venue": 5, "x": 1, "title": ""}, ["/color", "/title", "/venue", "/x"]),
    ],
)
async def test_bad_fields_are_named_all_at_once(
    acme: Caller, method: str, fields: dict[str, object], pointers: list[str]
) -> None:
    if method == "POST":
        answer = await acme.post(a_draft(**fields))
    else:
        event = await acme.created()
        answer = await acme.patch(event["id"], fields)
        assert (await acme.get(event["id"])).json() == event
    errors = problem(answer, 422)["errors"]
    assert sorted(error["pointer"] for error in errors) == pointers
    assert all(list(error) == ["pointer", "code", "detail"] for error in errors)
    assert all(error["code"] and error["detail"] for error in errors)
    assert len(await acme.titles()) == (1 if method == "PATCH" else 0)


async def test_a_new_start_alone_cant_pass_the_end(owner: Caller) -> None:
    event = await owner.created()
    answer = await owner.patch(event["id"], {"start": "2025-06-15T17:00:00Z"})
    assert problem(answer, 422)["errors"][0]["pointer"] == "/end"


async def test_an_envelope_beside_other_keys_is_none(owner: Caller) -> None:
    errors = problem(await owner.post({"event": a_draft(), "x": 1}), 422)["errors"]
    assert {"/event", "/x"} <= {error["pointer"] for error in errors}


# 413


@pytest.mark.parametrize("chunk", [LIMIT * 2, 1000, 1])
@pytest.mark.parametrize(("size", "status"), [(LIMIT, 200), (LIMIT + 1, 413)])
async def test_a_body_over_64_kib_counted_while_streaming(
    acme: Caller, size: int, status: int, chunk: int
) -> None:
    event = await acme.created()
    body = padded(size)
    assert len(body) == size

    async def stream() -> AsyncIterator[bytes]:
        for index in range(0, size, chunk):
            yield body[index : index + chunk]

    answer = await acme.send(
        "PATCH",
        f"{acme.events}/{event['id']}",
        headers={"Content-Type": "application/json"},
        content=stream(),
    )
    assert answer.status_code == status
    if status == 413:
        assert "64 KiB" in problem(answer, 413)["detail"]


async def test_no_more_is_read_than_needed(acme: Caller) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1000
            yield b" " * 1000

    headers = {"Content-Type": "application/json"}
    answer = await acme.send("POST", acme.events, headers=headers, content=endless())
    problem(answer, 413)
    assert read <= LIMIT + 1000


# 415


@pytest.mark.parametrize(
    ("content_type", "post", "patch"),
    [
        ("application/json", 201, 200),
        ("Application/JSON ; Charset=UTF-8", 201, 200),
        ('application/json; charset="utf-8"', 201, 200),
        ("application/json; profile=x", 201, 200),
        ("application/merge-patch+json", 415, 200),
        ("application/merge-patch+json; charset=utf-8", 415, 200),
        ("application/json; charset=latin-1", 415, 415),
        ("application/json; charset=", 415, 415),
        ("application/json-patch+json", 415, 415),
        ("application/jsonx", 415, 415),
        ("application/json, text/plain", 415, 415),
        ("text/plain", 415, 415),
        ("text/json", 415, 415),
        ("multipart/form-data; boundary=x", 415, 415),
        ("application/x-www-form-urlencoded", 415, 415),
        ("", 415, 415),
        (";", 415, 415),
        (None, 415, 415),
    ],
)
async def test_content_types(
    owner: Caller, content_type: str | None, post: int, patch: int
) -> None:
    body = json.dumps(a_draft()).encode()
    for method, status in (("POST", post), ("PATCH", patch)):
        answer = await send_body(owner, method, body, content_type)
        assert answer.status_code == status
        if status == 415:
            assert "application/json" in problem(answer, 415)["detail"]
            header = "accept-post" if method == "POST" else "accept-patch"
            assert "application/json" in answer.headers[header]


async def test_compressed_bodies_are_not_read(owner: Caller) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    problem(await owner.send("POST", owner.events, headers=headers, content=b"\x1f\x8b"), 415)


async def test_a_body_on_other_methods_is_left_alone(owner: Caller) -> None:
    event = await owner.created()
    path = f"{owner.events}/{event['id']}"
    for method, status in (("GET", 200), ("DELETE", 204)):
        headers = {"Content-Type": "text/plain"}
        answer = await owner.send(method, path, headers=headers, content=b"{")
        assert answer.status_code == status


# 401 and 403


@pytest.mark.parametrize("path", [COMPANY_EVENTS, USER_EVENTS, f"{USER_EVENTS}/1"])
@pytest.mark.parametrize("token", [None, "", "Bearer ", "Bearer nobody", "Basic acme"])
async def test_without_credentials_nothing_is_told(
    client: httpx2.AsyncClient, path: str, token: str | None
) -> None:
    headers = {} if token is None else {"Authorization": token}
    for method in ("GET", "HEAD", "POST") if path[-1] == "s" else ("GET", "PATCH", "DELETE"):
        answer = await client.request(method, path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        if method != "HEAD":
            problem(answer, 401)


async def test_the_challenge_is_the_hosts_to_choose(calendar: Calendar) -> None:
    app = create_app(calendar, authenticate, challenge='Basic realm="calendar"')
    async with client_of(app) as client:
        answer = await client.get(USER_EVENTS)
    assert answer.headers["www-authenticate"] == 'Basic realm="calendar"'


@pytest.mark.parametrize(("name", "path"), [("acme", USER_EVENTS), ("ada", COMPANY_EVENTS)])
async def test_each_kind_of_caller_has_its_own_paths(
    client: httpx2.AsyncClient, name: str, path: str
) -> None:
    caller = Caller(client, name)
    for method, below in (
        ("GET", ""),
        ("POST", ""),
        ("GET", "/1"),
        ("PATCH", "/1"),
        ("DELETE", "/x"),
    ):
        document = problem(await caller.send(method, path + below, json=a_draft()), 403)
        assert document["instance"].startswith(path)


# The order of refusals


async def test_refusals_come_in_one_order(
    acme: Caller, ada: Caller, client: httpx2.AsyncClient
) -> None:
    event = await acme.created()
    path = f"{USER_EVENTS}/{event['id']}"
    stale = {"If-Match": '"v9-w1"'}
    json_type = {"Content-Type": "application/json"}
    problem(await client.put(f"{path}/more"), 404)
    problem(await client.put(path), 405)
    problem(await client.patch(path, content=b"{"), 401)
    problem(await acme.send("PATCH", path, content=b"{"), 403)
    problem(await ada.send("PATCH", path, content=b"{"), 415)
    problem(await ada.send("PATCH", f"{USER_EVENTS}/1", headers=json_type, content=b"{"), 400)
    problem(await ada.patch(1, {"x": 1}, headers=stale), 404)
    problem(await ada.patch(event["id"], {"x": 1}, headers=stale), 403)
    problem(await acme.patch(event["id"], {"x": 1}, headers=stale), 412)
    problem(await acme.patch(event["id"], {"x": 1}), 422)


# What the host's own code raises


@pytest.mark.parametrize("status", [401, 403, 429, 503])
async def test_a_host_may_refuse_with_starlettes_exception(calendar: Calendar, status: int) -> None:
    async def refuse(_: Request) -> Company | Member | None:
        raise HTTPException(status, "Not today.", {"Retry-After": "60"})

    async with client_of(create_app(calendar, refuse)) as client:
        answer = await client.get(USER_EVENTS)
    assert problem(answer, status)["detail"] == "Not today."
    assert answer.headers["retry-after"] == "60"
    assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)


@pytest.mark.parametrize("error", [RuntimeError("token 1234"), HTTPException(302), 5, "acme"])
async def test_an_authenticate_that_fails_is_a_500(
    calendar: Calendar, caplog: pytest.LogCaptureFixture, error: object
) -> None:
    async def fail(_: Request) -> Any:
        if isinstance(error, Exception):
            raise error
        return error

    async with client_of(create_app(calendar, fail)) as client:
        answer = await client.get(USER_EVENTS)
    assert_internal(answer, caplog)


# 503 and 500


class Failing(MemoryRepository):
    """A storage whose every call fails."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def __getattribute__(self, name: str) -> Any:
        if name in {"get", "list", "create", "replace", "delete"}:
            return self._fail
        return super().__getattribute__(name)

    async def _fail(self, *_: object, **__: object) -> Any:
        raise self.error


Calls = Mapping[str, Callable[[Caller], Any]]
CALLS: Calls = {
    "list": lambda caller: caller.list_events(),
    "get": lambda caller: caller.get(1),
    "post": lambda caller: caller.post(a_draft()),
    "post once": lambda caller: caller.post(a_draft(), headers={"Idempotency-Key": "k"}),
    "patch": lambda caller: caller.patch(1, {}),
    "delete": lambda caller: caller.delete(1),
}


@pytest.mark.parametrize("call_", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (StorageUnavailable("SELECT 1 at db.internal"), "1"),
        (StorageUnavailable("", retry_after=30), "30"),
        (ConcurrentWrite("SELECT 1"), "1"),
    ],
)
async def test_a_storage_that_is_busy_is_a_503(
    call_: Callable[[Caller], Any], error: Exception, seconds: str
) -> None:
    app = create_app(Calendar(Failing(error)), authenticate)
    async with client_of(app) as client:
        answer = await call_(Caller(client, "acme"))
    problem(answer, 503)
    assert answer.headers["retry-after"] == seconds
    assert "SELECT" not in answer.text


@pytest.mark.parametrize("call_", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    "error", [StorageError("SELECT secret FROM /var/lib"), ValueError("boom"), KeyError("secret")]
)
async def test_a_500_gives_a_correlation_id_alone(
    call_: Callable[[Caller], Any], error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(Calendar(Failing(error)), authenticate)
    async with client_of(app) as client:
        answer = await call_(Caller(client, "acme"))
    assert_internal(answer, caplog)


def assert_internal(answer: httpx2.Response, caplog: pytest.LogCaptureFixture) -> None:
    request_id = answer.headers["x-request-id"]
    assert problem(answer, 500) == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "Something failed here; the log names it by this instance.",
        "instance": f"urn:request:{request_id}",
    }
    (record,) = [record for record in caplog.records if record.name == "calevents.http"]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert request_id in record.getMessage()


async def test_a_client_that_goes_away_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(Calendar(MemoryRepository()), authenticate)
    headers = [(b"authorization", b"Bearer acme"), (b"content-type", b"application/json")]
    scope = http_scope("POST", COMPANY_EVENTS, headers=headers)
    for chunks in ([None], [b'{"title"', None]):
        assert (await call(app, scope, chunks)).status == 0
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_a_client_that_goes_away_before_the_answer_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = create_app(Calendar(MemoryRepository()), authenticate)

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_: object) -> None:
        raise ConnectionResetError

    headers = [(b"authorization", b"Bearer acme")]
    await app(http_scope("GET", COMPANY_EVENTS, headers=headers), receive, send)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []
