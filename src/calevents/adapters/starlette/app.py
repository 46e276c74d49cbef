"""The application: who may call what, and what every answer has in common."""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from uuid import uuid4

import attrs
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from calevents import calendar as core
from calevents.adapters.starlette import endpoints
from calevents.adapters.starlette.bodies import JSON, MERGE_PATCH
from calevents.adapters.starlette.endpoints import Answer, Call, encode
from calevents.adapters.starlette.problems import Problem, problem_of
from calevents.adapters.starlette.resources import Resource, locate, quoted_path
from calevents.audience import Company, Member

__all__ = ["Authenticate", "create_app"]

Authenticate = Callable[[Request], Awaitable[Company | Member | None]]
"""Says who is calling: a company, a member of one, or ``None`` for nobody who is known."""

logger = logging.getLogger("calevents.http")

_Endpoint = Callable[[Call], Awaitable[Answer]]
_COLLECTION: Mapping[str, _Endpoint] = {
    "GET": endpoints.list_,
    "HEAD": endpoints.list_,
    "POST": endpoints.create,
}
_ITEM: Mapping[str, _Endpoint] = {
    "GET": endpoints.get,
    "HEAD": endpoints.get,
    "PATCH": endpoints.update,
    "DELETE": endpoints.delete,
}
_SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def create_app(
    calendar: core.Calendar, authenticate: Authenticate, *, challenge: str = "Bearer"
) -> ASGIApp:
    """The ten endpoints of the v202506 API over ``calendar``, as an ASGI 3 application.

    It serves ``/api/company/crm/v202506/events`` and ``/api/user/crm/v202506/events`` with what is
    below them, alone or mounted under any prefix, and needs no lifespan. ``Location`` and ``Link``
    hold absolute paths with the prefix.

    Args:
        calendar: what is served.
        authenticate: the host's word on who is calling. It is awaited for every request to an
            endpoint, before the body is read; ``OPTIONS`` needs no caller. ``None`` is answered
            with 401, the wrong kind of caller with 403. What it raises is a 500, except
            Starlette's ``HTTPException``, which is answered with its status, detail and headers,
            and ``StorageUnavailable``, a 503.
        challenge: the ``WWW-Authenticate`` header of a 401 (RFC 9110, section 11.6.1).
    """
    return _App(calendar, authenticate, challenge)


@attrs.frozen(eq=False)
class _App:
    calendar: core.Calendar
    authenticate: Authenticate
    challenge: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        else:
            raise ValueError(f"the ASGI scope {scope['type']!r} is not served")

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        request_id = _request_id(scope)
        resource = locate(scope)
        try:
            answer = await self.answer(request, request_id, resource)
        except ClientDisconnect:
            logger.debug("request %s: the client went away", request_id)
            return
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                logger.exception("request %s failed", request_id)
                problem = Problem(500, "Something failed here; the log names it by this instance.")
            answer = self.refusal(problem, request, request_id, resource)
        try:
            await _send(send, answer, request_id, head=request.method == "HEAD")
        except OSError:
            logger.debug("request %s: the client went away", request_id)

    async def answer(self, request: Request, request_id: str, resource: Resource | None) -> Answer:
        """Refusals come in this order: the path, the method, the caller, the body, the event."""
        if resource is None:
            raise Problem(404, "There is nothing at this path.")
        methods = _COLLECTION if resource.event_id is None else _ITEM
        endpoint = methods.get(request.method)
        if endpoint is None:
            return _other_method(request.method, methods)
        principal = await self.authenticate(request)
        if principal is None:
            raise Problem(401, "The request has no valid credentials.")
        if not isinstance(principal, Company | Member):
            raise TypeError(
                f"authenticate must answer Company, Member or None, not {type(principal).__name__}"
            )
        if not isinstance(principal, resource.principal):
            raise Problem(403, "A company and a user each have paths of their own; use those.")
        return await endpoint(
            Call(request, request_id, resource, core.Scope(self.calendar, principal))
        )

    def refusal(
        self, problem: Problem, request: Request, request_id: str, resource: Resource | None
    ) -> Answer:
        """The answer that tells of ``problem``."""
        if problem.status == 500:
            instance = f"urn:request:{request_id}"
        elif resource is None:
            instance = quoted_path(request.scope["path"])
        elif problem.status == 404:
            # One answer for every id that this caller doesn't see, to the byte.
            instance = resource.collection_url()
        else:
            instance = resource.url()
        headers = {"Cache-Control": "no-store", **problem.headers}
        if problem.status == 401:
            headers.setdefault("WWW-Authenticate", self.challenge)
        body = encode(problem.document(instance))
        return Answer(problem.status, headers, body, "application/problem+json")


def _other_method(method: str, methods: Mapping[str, _Endpoint]) -> Answer:
    allow = {"Allow": ", ".join([*methods, "OPTIONS"])}
    if method != "OPTIONS":
        raise Problem(405, f"Use one of: {allow['Allow']}.", allow)
    if "PATCH" in methods:
        return Answer(204, allow | {"Accept-Patch": f"{JSON}, {MERGE_PATCH}"})
    return Answer(204, allow)


def _request_id(scope: Scope) -> str:
    """The caller's request id if it is sane, else a new one."""
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if len(given) == 1 and _SANE_REQUEST_ID.fullmatch(given[0]):
        text: str = given[0].decode("ascii")
        return text
    return uuid4().hex


async def _send(send: Send, answer: Answer, request_id: str, *, head: bool) -> None:
    headers = [
        (b"x-request-id", request_id.encode("ascii")),
        (b"x-content-type-options", b"nosniff"),
    ]
    for name, value in answer.headers.items():
        headers.append((name.lower().encode("latin-1"), value.encode("latin-1", "replace")))
    body = b"" if answer.body is None else answer.body
    if answer.body is not None:
        headers.append((b"content-type", answer.media_type.encode("ascii")))
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})


async def _live(receive: Receive, send: Send) -> None:
    """A lifespan isn't needed, but a server may ask for it."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
