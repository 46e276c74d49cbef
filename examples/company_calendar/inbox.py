"""Where a member's pushes arrive: a webhook that Apprise calls, and a list that the page reads."""

import json
from collections import OrderedDict
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import attrs
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from calevents import Member
from examples.company_calendar.members import USERS, authenticate

__all__ = ["Inbox", "Push"]

_KEPT = 100
_MAX_BODY = 16 * 1024
_OWNERS = {user.inbox: (user.company_id, user.id) for user in USERS}


@attrs.frozen(kw_only=True)
class Push:
    """A push as it arrived."""

    idempotency_key: str
    title: str
    body: str
    event_id: str | None
    received_at: datetime


class Inbox:
    """The last pushes of every member, in memory: they last as long as the host runs.

    A push that comes twice is kept once, by its idempotency key: the notifier may call again when
    it didn't hear the first answer.
    """

    def __init__(self) -> None:
        self._pushes: dict[tuple[int, int], OrderedDict[str, Push]] = {}

    @property
    def routes(self) -> list[Route]:
        """The endpoints: one for Apprise, one for the page."""
        return [
            Route("/inbox/{inbox}", self.receive, methods=["POST"]),
            Route("/inbox", self.show, methods=["GET"]),
        ]

    def keep(self, owner: tuple[int, int], push: Push) -> None:
        """Put ``push`` on top of its owner's pushes, unless it is there."""
        pushes = self._pushes.setdefault(owner, OrderedDict())
        if push.idempotency_key not in pushes:
            pushes[push.idempotency_key] = push
            while len(pushes) > _KEPT:
                pushes.popitem(last=False)

    def pushes(self, owner: tuple[int, int]) -> list[Push]:
        """The owner's pushes, the latest first."""
        return list(reversed(self._pushes.get(owner, {}).values()))

    async def receive(self, request: Request) -> Response:
        """Take a push from Apprise's ``json://``."""
        owner = _OWNERS.get(request.path_params["inbox"])
        if owner is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such inbox.")
        document = await _document(request)
        texts = {name: document.get(name) for name in ("title", "message", "event_id")}
        if not all(text is None or isinstance(text, str) for text in texts.values()):
            raise HTTPException(
                HTTPStatus.UNPROCESSABLE_ENTITY, "title, message and event_id are texts."
            )
        now = datetime.now(UTC)
        push = Push(
            idempotency_key=request.headers.get("Idempotency-Key") or now.isoformat(),
            title=texts["title"] or "",
            body=texts["message"] or "",
            event_id=texts["event_id"],
            received_at=now,
        )
        self.keep(owner, push)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def show(self, request: Request) -> Response:
        """The pushes of the member who asks."""
        principal = await authenticate(request)
        if principal is None:
            raise HTTPException(
                HTTPStatus.UNAUTHORIZED,
                "The request has no valid credentials.",
                {"WWW-Authenticate": "Bearer"},
            )
        if not isinstance(principal, Member):
            raise HTTPException(HTTPStatus.FORBIDDEN, "A company has no inbox.")
        pushes = self.pushes((principal.company_id, principal.id))
        return JSONResponse(
            {
                "pushes": [
                    {
                        "title": push.title,
                        "body": push.body,
                        "event_id": push.event_id,
                        "received_at": push.received_at.isoformat().replace("+00:00", "Z"),
                    }
                    for push in pushes
                ]
            },
            headers={"Cache-Control": "no-store"},
        )


async def _document(request: Request) -> dict[str, Any]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The push is too large.")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "The body is not JSON.") from None
    if not isinstance(document, dict):
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "The body is not a JSON object.")
    return document
