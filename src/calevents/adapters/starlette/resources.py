"""Which of the endpoints a request is for, and where they are for the client."""

import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

from starlette.types import Scope

from calevents.audience import Company, Member

__all__ = ["Resource", "locate", "quoted_path"]

_ROUTE = re.compile(r"(/api/(company|user)/crm/v202506/events)(?:/([^/]+))?")
_ID = re.compile(r"[1-9][0-9]{0,18}")
_UNQUOTED = "/:@!$&'()*+,;="  # what else a path may hold as it is (RFC 3986, section 3.3)


class Resource:
    """One of the endpoints: the events of a scope, or one event of them."""

    __slots__ = ("_collection", "_scope", "event_id", "principal")

    def __init__(self, scope: Scope, match: re.Match[str]) -> None:
        self._scope = scope
        self._collection = match[1]
        self.principal: type[Company] | type[Member] = Company if match[2] == "company" else Member
        """Whose endpoint it is."""
        segment = match[3]
        self.event_id: int | None = None
        """``None`` for the collection. A text that is no id is 0, which no event has."""
        if segment is not None:
            self.event_id = int(segment) if _ID.fullmatch(segment) else 0

    def collection_url(self) -> str:
        """The path of the collection as the client wrote it, under every mount; percent-encoded."""
        return quoted_path(_prefix(self._scope, self._collection)) + self._collection

    def url(self, event_id: int | None = None) -> str:
        """The path of this resource, or of the event with this id."""
        event_id = event_id or self.event_id
        return self.collection_url() + ("" if event_id is None else f"/{event_id}")


def locate(scope: Scope) -> Resource | None:
    """The resource that a request is for, wherever the application is mounted.

    ASGI has ``root_path`` name the mount and leaves ``path`` whole. Some hosts take the mount off
    ``path`` all the same, and of those some don't tell ``root_path``. A proxy may have taken off a
    part of ``root_path`` that the host was only told of.
    """
    for path in _candidates(scope):
        match = _ROUTE.fullmatch(path)
        if match is not None:
            return Resource(scope, match)
    return None


def quoted_path(path: str) -> str:
    """``path``, percent-encoded, whatever it holds."""
    return quote(path, _UNQUOTED, errors="replace")


def _candidates(scope: Scope) -> Iterator[str]:
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    raw = _raw_path(scope)
    rewritten = raw is not None and raw != path
    if rewritten and raw is not None:
        # Litestar ends each path that it hands on with a slash, and a mount at its root takes the
        # first one off: the client's own path says.
        path = f"/{path.removeprefix('/').rstrip('/')}{'/' if raw.endswith('/') else ''}"
    if not root:
        yield path
    elif path.startswith(f"{root}/"):
        yield path[len(root) :]
        if rewritten or raw is None:
            yield path
    else:
        yield path
        for index in range(1, len(root)):
            if root[index] == "/" and path.startswith(f"{root[index:]}/"):
                yield path[len(root) - index :]


def _raw_path(scope: Scope) -> str | None:
    """The path as the client wrote it, decoded; ``None`` where the server doesn't tell."""
    raw: bytes | None = scope.get("raw_path")
    return None if raw is None else unquote(raw.partition(b"?")[0].decode("latin-1"))


def _prefix(scope: Scope, collection: str) -> str:
    """What stands before ``collection`` in the client's path, decoded."""
    root: str = scope.get("root_path", "").rstrip("/")
    seen = (_raw_path(scope) or "").rpartition(collection)[0]
    if root.endswith(seen):  # the ordinary case; also a proxy that took a part off
        return root
    if seen.startswith(f"{root}/"):  # a host that took the mount off and didn't tell
        return seen
    return root + seen
