"""Whatever a client sends, the answer is one of the contract's."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from starlette.types import ASGIApp

from calevents import Calendar
from calevents.adapters.memory import MemoryRepository
from calevents.adapters.starlette import create_app
from tests.http.callers import COMPANY_EVENTS, USER_EVENTS, a_draft, authenticate
from tests.http.raw import RawAnswer, call, http_scope

STATUSES = {200, 201, 204, 304, 400, 401, 403, 404, 405, 409, 412, 413, 415, 422}
TOKENS = {COMPANY_EVENTS: b"Bearer acme", USER_EVENTS: b"Bearer ada"}
BASES = st.sampled_from(sorted(TOKENS))
FIELDS = st.sampled_from(
    [
        *("id", "company_id", "user_id", "title", "description", "url", "venue", "color", "start"),
        *("end", "time_zone", "canonical_time_zone", "active", "status", "image_url", "images"),
        *("countries", "notification_sent_at", "event", "full", "mini", "position"),
    ]
)
TEXTS = st.text(max_size=30) | st.sampled_from(
    [
        *("2025-06-15T14:00:00Z", "2025-06-15T14:00", "9999-12-31T23:59:59.999999-23:59"),
        *("0001-01-01T00:00:00+23:59", "0001-01-01T00:00", "9999-12-31T23:59", "America/New_York"),
        *("Europe/Berlin", "US", "fin", "#f53", "https://example.com/", "http://[", "https://a:x/"),
        *("https://a:99999/", "\x00", "\u2028", "../../etc/passwd", "CONCLUDED"),
    ]
)
NUMBERS = st.integers() | st.sampled_from(
    [0, 1, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**4000]
)
SCALARS = (
    st.none() | st.booleans() | NUMBERS | TEXTS | st.floats(allow_nan=False, allow_infinity=False)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS | TEXTS, inner, max_size=5),
    max_leaves=20,
)
DOCUMENTS = st.dictionaries(FIELDS, JSON, max_size=8)
BODIES = st.binary(max_size=200) | JSON.map(json.dumps).map(str.encode)
LATIN = st.binary(max_size=60)


def an_app() -> ASGIApp:
    return create_app(Calendar(MemoryRepository()), authenticate)


def check(answer: RawAnswer) -> None:
    assert answer.status in STATUSES
    assert answer.headers[b"x-request-id"]
    for name, value in answer.headers.items():
        assert not set(b"\r\n\x00") & set(name + value)
    if answer.status in {204, 304}:
        assert answer.body == b""
        return
    document: Any = json.loads(answer.body)
    if answer.status >= 400:
        assert answer.headers[b"content-type"] == b"application/problem+json"
        assert document["status"] == answer.status
        assert isinstance(document["detail"], str)


@given(
    BASES, BODIES, st.sampled_from([b"application/json", b"application/merge-patch+json"]) | LATIN
)
@example(COMPANY_EVENTS, b"[" * 1000, b"application/json")
async def test_bodies(base: str, body: bytes, content_type: bytes) -> None:
    app = an_app()
    headers = [(b"authorization", TOKENS[base]), (b"content-type", content_type)]
    check(await call(app, http_scope("POST", base, headers=headers), [body]))
    check(await call(app, http_scope("PATCH", f"{base}/1", headers=headers), [body[:7], body[7:]]))


@given(BASES, DOCUMENTS, DOCUMENTS)
async def test_documents(base: str, draft: dict[str, Any], patch: dict[str, Any]) -> None:
    app = an_app()
    headers = [(b"authorization", TOKENS[base]), (b"content-type", b"application/json")]
    check(await call(app, http_scope("POST", base, headers=headers), [json.dumps(draft).encode()]))
    for document in (draft, patch):
        body = json.dumps({**a_draft(), **document}).encode()
        check(await call(app, http_scope("POST", base, headers=headers), [body]))
    created = await call(
        app, http_scope("POST", base, headers=headers), [json.dumps(a_draft()).encode()]
    )
    path = f"{base}/{json.loads(created.body)['id']}"
    for document in (draft, patch):
        patched = await call(
            app, http_scope("PATCH", path, headers=headers), [json.dumps(document).encode()]
        )
        check(patched)
        got = await call(app, http_scope("GET", path, headers=headers))
        assert got.status == 200
        if patched.status == 200:
            assert got.body == patched.body
    check(await call(app, http_scope("GET", base, headers=headers)))


NAMES = st.sampled_from(
    [b"limit", b"cursor", b"view", b"from", b"to", b"status", b"country", b"user_id", b"sort"]
)


@given(
    BASES,
    LATIN
    | st.lists(st.tuples(NAMES, LATIN)).map(
        lambda pairs: b"&".join(name + b"=" + value for name, value in pairs)
    ),
)
@example(COMPANY_EVENTS, b"from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z")
@example(USER_EVENTS, b"cursor=f_______f_______________________")
async def test_queries(base: str, query: bytes) -> None:
    headers = [(b"authorization", TOKENS[base])]
    check(await call(an_app(), http_scope("GET", base, query=query, headers=headers)))


@given(
    st.sampled_from(["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"]) | st.text(max_size=5),
    st.text() | st.tuples(BASES, st.text()).map("/".join),
    st.sampled_from(["", "/x", "/"]) | st.text(max_size=5),
    st.none() | st.binary(max_size=100),
)
async def test_paths(method: str, path: str, root: str, raw: bytes | None) -> None:
    headers = [(b"authorization", b"Bearer acme"), (b"content-type", b"application/json")]
    scope = http_scope(method, path, headers=headers, root_path=root, raw_path=raw)
    answer = await call(an_app(), scope, [b"{}"])
    if method == "HEAD":
        assert answer.status in STATUSES
        assert answer.body == b""
    else:
        check(answer)


HEADERS = st.sampled_from(
    [
        *(b"authorization", b"content-type", b"content-length", b"content-encoding", b"accept"),
        *(b"if-match", b"if-none-match", b"idempotency-key", b"x-request-id", b"host", b"range"),
    ]
)


@given(
    BASES,
    st.sampled_from(["GET", "POST", "PATCH", "DELETE"]),
    st.lists(st.tuples(HEADERS, LATIN), max_size=5),
)
@example(COMPANY_EVENTS, "PATCH", [(b"if-match", b'"v' + b"9" * 30 + b'-w1"')])
async def test_headers(base: str, method: str, headers: list[tuple[bytes, bytes]]) -> None:
    app = an_app()
    known = [(b"authorization", TOKENS[base]), (b"content-type", b"application/json")]
    body = json.dumps(a_draft()).encode()
    created = await call(app, http_scope("POST", base, headers=known), [body])
    path = base if method == "POST" else f"{base}/{json.loads(created.body)['id']}"
    for given_headers in (headers, [*known, *headers]):
        check(await call(app, http_scope(method, path, headers=given_headers), [body]))
