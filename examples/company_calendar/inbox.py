"""Where a member's pushes arrive: a webhook that Apprise calls, and a list that the page reads."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import attrs
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    insert,
    select,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from calevents import Member
from calevents.timestamps import format_timestamp
from examples.company_calendar.members import USERS, authenticate

__all__ = ["Inbox", "Push"]

_SHOWN = 100
_MAX_BODY = 16 * 1024
_OWNERS = {user.inbox: (user.company_id, user.id) for user in USERS}


@attrs.frozen(kw_only=True)
class Push:
    """A push as it arrived."""

    idempotency_key: str
    title: str
    body: str
    event_id: str | None
    received_at: str
    """RFC 3339, in UTC."""


_metadata = MetaData()
_pushes = Table(
    "demo_pushes",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("company_id", BigInteger, nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("idempotency_key", String(255), nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("event_id", Text),
    Column("received_at", Text, nullable=False),
    UniqueConstraint("company_id", "user_id", "idempotency_key"),
)


class Inbox:
    """The last pushes of every member, in a table of the host's own.

    A push that comes twice is kept once, by its idempotency key: the notifier may call again when
    it didn't hear the first answer.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @property
    def routes(self) -> list[Route]:
        """The endpoints: one for Apprise, one for the page."""
        return [
            Route("/inbox/{inbox}", self.receive, methods=["POST"]),
            Route("/inbox", self.show, methods=["GET"]),
        ]

    async def create_table(self) -> None:
        """Create the table if it isn't there."""
        async with self._engine.begin() as connection:
            await connection.run_sync(_metadata.create_all)

    async def keep(self, owner: tuple[int, int], push: Push) -> None:
        """Put ``push`` on top of its owner's pushes, unless it is there."""
        company_id, user_id = owner
        row = {"company_id": company_id, "user_id": user_id, **attrs.asdict(push)}
        with suppress(IntegrityError):
            async with self._engine.begin() as connection:
                await connection.execute(insert(_pushes).values(row))

    async def pushes(self, owner: tuple[int, int]) -> list[Push]:
        """The owner's pushes, the latest first."""
        company_id, user_id = owner
        query = (
            select(*(_pushes.c[field.name] for field in attrs.fields(Push)))
            .where(_pushes.c.company_id == company_id, _pushes.c.user_id == user_id)
            .order_by(_pushes.c.id.desc())
            .limit(_SHOWN)
        )
        async with self._engine.connect() as connection:
            return [Push(**row) for row in (await connection.execute(query)).mappings()]

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
        push = Push(
            idempotency_key=request.headers.get("Idempotency-Key", "")[:255] or uuid4().hex,
            title=texts["title"] or "",
            body=texts["message"] or "",
            event_id=texts["event_id"],
            received_at=format_timestamp(datetime.now(UTC)),
        )
        await self.keep(owner, push)
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
        pushes = await self.pushes((principal.company_id, principal.id))
        return JSONResponse(
            {
                "pushes": [
                    {
                        "title": push.title,
                        "body": push.body,
                        "event_id": push.event_id,
                        "received_at": push.received_at,
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
