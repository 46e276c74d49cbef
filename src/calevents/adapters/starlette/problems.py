"""Errors as ``application/problem+json`` (RFC 9457).

The types are all ``about:blank``: the status says which error it is, ``detail`` says it to people,
and ``errors`` has each fault of a body with a code for programs.
"""

from collections.abc import Callable, Mapping, Sequence
from http.client import responses
from typing import Any

import attrs
from starlette.exceptions import HTTPException

from calevents.exceptions import (
    ConcurrentWrite,
    EventNotFound,
    Fault,
    Forbidden,
    IdempotencyKeyInFlight,
    IdempotencyKeyReused,
    InvalidEvent,
    InvalidQuery,
    PreconditionFailed,
    StorageUnavailable,
)

__all__ = ["Problem", "problem_of"]

# Python renamed these two in 3.13; an answer is the same on every Python.
_TITLES = {**responses, 413: "Content Too Large", 422: "Unprocessable Content"}


@attrs.define(eq=False)
class Problem(Exception):
    """An answer that is an error."""

    status: int
    detail: str
    headers: Mapping[str, str] = attrs.field(factory=dict)
    faults: Sequence[Fault] = ()
    """What is wrong with the body."""

    def document(self, instance: str) -> dict[str, Any]:
        """The problem details object. ``instance`` is a URI reference to this occurrence."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": _TITLES.get(self.status, "Error"),
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
        }
        if self.faults:
            document["errors"] = [
                {"pointer": fault.pointer, "code": fault.code, "detail": fault.detail}
                for fault in self.faults
            ]
        return document


def problem_of(error: Exception) -> Problem | None:
    """What ``error`` is to a client; ``None`` if it is nothing that a client may be told.

    The texts are ours wherever an error's own could come from storage.
    """
    for kind, make in _PROBLEMS.items():
        if isinstance(error, kind):
            return make(error)
    return None


def _of_host(error: HTTPException) -> Problem | None:
    if not 400 <= error.status_code <= 599:
        return None
    detail: object = error.detail  # FastAPI's own kind allows anything
    return Problem(
        error.status_code, detail if isinstance(detail, str) else "", error.headers or {}
    )


def _busy(retry_after: int) -> Problem:
    detail = "The storage is busy or can't be reached. Nothing was written; try again."
    return Problem(503, detail, {"Retry-After": str(retry_after)})


_PROBLEMS: dict[type[Exception], Callable[[Any], Problem | None]] = {
    Problem: lambda error: error,
    EventNotFound: lambda _: Problem(404, "There is no such event."),
    InvalidQuery: lambda error: Problem(400, f"{error}."),
    InvalidEvent: lambda error: Problem(
        422, "The event is not valid; errors has every reason.", faults=error.faults
    ),
    Forbidden: lambda _: Problem(
        403, "The company made this event; a user can't change or delete it."
    ),
    PreconditionFailed: lambda _: Problem(
        412, "The event has changed since; get it again and use its new ETag."
    ),
    IdempotencyKeyReused: lambda _: Problem(
        422, "The Idempotency-Key was used with another body; use a new key."
    ),
    IdempotencyKeyInFlight: lambda _: Problem(
        409,
        "The first request with this Idempotency-Key hasn't ended; try again.",
        {"Retry-After": "1"},
    ),
    ConcurrentWrite: lambda _: _busy(1),
    StorageUnavailable: lambda error: _busy(error.retry_after),
    HTTPException: _of_host,
}
