"""Requests that no HTTP client would send: ASGI scopes and messages by hand."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message


class RawAnswer(NamedTuple):
    """What the application sent; a status of 0 if nothing."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


def http_scope(
    method: str,
    path: str,
    *,
    headers: Iterable[tuple[bytes, bytes]] = (),
    query: bytes = b"",
    **more: Any,
) -> dict[str, Any]:
    """An ASGI scope with the keys that a server must give."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": list(headers),
        **more,
    }


async def call(
    app: ASGIApp, scope: dict[str, Any], chunks: Sequence[bytes | None] = (b"",)
) -> RawAnswer:
    """Send a request whose body comes in ``chunks``; ``None`` is a client that goes away."""
    received = 0
    sent: list[Message] = []

    async def receive() -> Message:
        nonlocal received
        chunk = chunks[received] if received < len(chunks) else None
        received += 1
        if chunk is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": received < len(chunks)}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    if not sent:
        return RawAnswer(0, {}, b"")
    start, *bodies = sent
    assert start["type"] == "http.response.start"
    assert [body.get("more_body", False) for body in bodies] == [False]
    names = [name for name, _ in start["headers"]]
    assert len(set(names)) == len(names), "a header is sent twice"
    return RawAnswer(start["status"], dict(start["headers"]), bodies[0].get("body", b""))
