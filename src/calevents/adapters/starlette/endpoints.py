"""What the endpoints do, once it is known who is calling."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import attrs
import msgspec
from starlette.requests import Request

from calevents.adapters.starlette.bodies import JSON, MERGE_PATCH, read_document
from calevents.adapters.starlette.conditional import entity_tag, is_cached, versions_to_match
from calevents.adapters.starlette.resources import Resource
from calevents.audience import Viewer
from calevents.calendar import Creation, Scope
from calevents.event import Event
from calevents.exceptions import InvalidQuery
from calevents.listing import query_for
from calevents.representation import represent_natively
from calevents.timestamps import format_timestamp

__all__ = ["Answer", "Call", "create", "delete", "encode", "get", "list_", "update"]

encode = msgspec.json.Encoder().encode

_PATCH_TYPES = (JSON, MERGE_PATCH)
_PARAMETERS = frozenset(
    {"limit", "cursor", "view", "from", "to", "status", "sort", "country", "user_id"}
)
# A client may keep an answer, but asks before it uses it again: the status follows the clock.
_CACHE = {"Cache-Control": "private, no-cache", "Vary": "Authorization"}


@attrs.frozen
class Answer:
    """A response that is still to be sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None = None
    media_type: str = JSON


@attrs.frozen
class Call:
    """A request whose caller is known."""

    request: Request
    request_id: str
    resource: Resource
    scope: Scope

    def header(self, name: str) -> Sequence[str]:
        """Every line of a header."""
        return self.request.headers.getlist(name)

    @property
    def event_id(self) -> int:
        """The id in the path; 0 for one that no event can have."""
        return self.resource.event_id or 0


async def list_(call: Call) -> Answer:
    """GET of the collection: a page of events."""
    pairs = parse_qsl(call.request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    page = await call.scope.list_represented(**_parameters(pairs, call.scope.viewer))
    body = encode(
        {
            "events": page.events,
            "meta": {
                "request_id": call.request_id,
                "timestamp": format_timestamp(page.now),
                "next_cursor": page.next_cursor,
            },
        }
    )
    if page.next_cursor is None:
        return Answer(200, _CACHE, body)
    kept = [pair for pair in pairs if pair[0] != "cursor"]
    query = urlencode([*kept, ("cursor", page.next_cursor)])
    link = f'<{call.resource.collection_url()}?{query}>; rel="next"'
    return Answer(200, {**_CACHE, "Link": link}, body)


async def get(call: Call) -> Answer:
    """GET of one event."""
    event = await call.scope.get(call.event_id)
    now = call.scope.calendar.clock()
    tag = entity_tag(event, now)
    if is_cached(call.header("if-none-match"), tag):
        return Answer(304, {**_CACHE, "ETag": tag})
    return _shown(200, event, now)


async def create(call: Call) -> Answer:
    """POST to the collection.

    The answer shows the event at the instant of its creation, so that a replay is the same.
    """
    keys = call.header("idempotency-key")
    if len(keys) > 1:
        raise InvalidQuery("Idempotency-Key", "is given more than once; give it once")
    document = await read_document(call.request, (JSON,))
    if keys:
        creation = await call.scope.create_once(document, idempotency_key=keys[0])
    else:
        creation = Creation(await call.scope.create(document), replayed=False)
    event = creation.event
    location = {"Location": call.resource.url(event.id)}
    replayed = {"Idempotent-Replayed": "true"} if creation.replayed else {}
    return _shown(201, event, event.created_at, location | replayed)


async def update(call: Call) -> Answer:
    """PATCH of one event."""
    versions = versions_to_match(call.header("if-match"))
    document = await read_document(call.request, _PATCH_TYPES)
    event = await call.scope.update(call.event_id, document, if_match=versions)
    return _shown(200, event, call.scope.calendar.clock())


async def delete(call: Call) -> Answer:
    """DELETE of one event."""
    versions = versions_to_match(call.header("if-match"))
    await call.scope.delete(call.event_id, if_match=versions)
    return Answer(204, {})


def _shown(
    status: int, event: Event, now: datetime, headers: Mapping[str, str] | None = None
) -> Answer:
    tag = entity_tag(event, now)
    return Answer(
        status, {**_CACHE, "ETag": tag, **(headers or {})}, encode(represent_natively(event, now))
    )


def _parameters(pairs: Sequence[tuple[str, str]], viewer: Viewer) -> dict[str, Any]:
    parameters = dict(pairs)
    if not _PARAMETERS.issuperset(parameters):
        query_for(viewer, parameters)  # names the one that is unknown
    if len(parameters) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise InvalidQuery(repeated, "is given more than once; give it once")
    return parameters
