"""FastAPI with SQLAlchemy's ORM and Pydantic, as their documentation has it: an async session for
each request, mapped classes, a response model."""

import base64
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import Depends, FastAPI, Header, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import DateTime, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.apps.callers import Caller, caller

HOUR = timedelta(hours=1)
Instant = DateTime(timezone=True)

engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=10)
new_session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    """The mapped classes."""


class EventRow(Base):
    """An event."""

    __tablename__ = "calevents_events"

    company_id: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None]
    title: Mapped[str]
    description: Mapped[str | None]
    url: Mapped[str | None]
    venue: Mapped[str | None]
    color: Mapped[str | None]
    start: Mapped[datetime] = mapped_column("starts_at", Instant)
    end: Mapped[datetime] = mapped_column("ends_at", Instant)
    time_zone: Mapped[str]
    canonical_time_zone: Mapped[str]
    stored_active: Mapped[bool] = mapped_column("active")
    stored_images: Mapped[list[Any] | None] = mapped_column("images", JSONB)
    stored_countries: Mapped[str] = mapped_column("countries")
    notification_sent_at: Mapped[datetime | None] = mapped_column(Instant)

    @property
    def active(self) -> bool:
        """Whether it is in the active view."""
        return self.stored_active and datetime.now(UTC) < self.end

    @property
    def status(self) -> str | None:
        """Where it stands in its life."""
        now = datetime.now(UTC)
        if now < self.start:
            return "STARTING SOON" if self.start - now <= HOUR else None
        return "IN PROGRESS" if now < self.end else "CONCLUDED"

    @property
    def images(self) -> list[dict[str, Any]]:
        """The images as objects."""
        names = ("id", "position", "mini", "detail", "full")
        return [dict(zip(names, image, strict=True)) for image in self.stored_images or []]

    @property
    def image_url(self) -> str | None:
        """The first image."""
        return self.stored_images[0][4] if self.stored_images else None

    @property
    def countries(self) -> list[str]:
        """The codes."""
        return self.stored_countries.split()


class AudienceRow(Base):
    """Who sees an event."""

    __tablename__ = "calevents_audiences"

    company_id: Mapped[int] = mapped_column(primary_key=True)
    audience: Mapped[str] = mapped_column(primary_key=True)
    starts_at: Mapped[datetime] = mapped_column(Instant, primary_key=True)
    event_id: Mapped[int] = mapped_column(primary_key=True)
    ends_at: Mapped[datetime] = mapped_column(Instant)


class ImageOut(BaseModel):
    """An image of the answer."""

    id: int
    position: int
    mini: str
    detail: str
    full: str


class EventOut(BaseModel):
    """An event of the answer."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    company_id: int
    user_id: int | None
    title: str
    description: str | None
    url: str | None
    venue: str | None
    color: str | None
    start: datetime
    end: datetime
    time_zone: str
    canonical_time_zone: str
    active: bool
    status: Literal["STARTING SOON", "IN PROGRESS", "CONCLUDED"] | None
    image_url: str | None
    images: list[ImageOut]
    countries: list[str]
    notification_sent_at: datetime | None


class Meta(BaseModel):
    """What goes with a page."""

    request_id: str
    timestamp: datetime
    next_cursor: str | None


class EventPage(BaseModel):
    """The answer."""

    events: list[EventOut]
    meta: Meta


async def session() -> AsyncIterator[AsyncSession]:
    """A session for one request."""
    async with new_session() as opened:
        yield opened


async def current_caller(authorization: Annotated[str, Header()]) -> Caller:
    """Who is calling."""
    found = caller(authorization)
    if found is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return found


app = FastAPI()


@app.get("/api/user/crm/v202506/events", response_model=EventPage)
async def list_events(
    request: Request,
    response: Response,
    who: Annotated[Caller, Depends(current_caller)],
    database: Annotated[AsyncSession, Depends(session)],
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: str | None = None,
    x_request_id: Annotated[str | None, Header()] = None,
) -> Any:
    """A user's active view."""
    now = datetime.now(UTC)
    query = (
        select(EventRow)
        .join(
            AudienceRow,
            (AudienceRow.company_id == EventRow.company_id) & (AudienceRow.event_id == EventRow.id),
        )
        .where(
            AudienceRow.company_id == who.company_id,
            AudienceRow.audience.in_(["*", f"c:{who.country}", f"u:{who.user_id}"]),
            AudienceRow.ends_at > now,
            EventRow.stored_active,
        )
        .order_by(EventRow.start, EventRow.id)
        .limit(limit + 1)
    )
    if cursor is not None:
        start, number = base64.urlsafe_b64decode(cursor).decode().split("|")
        after = tuple_(datetime.fromisoformat(start), int(number))
        query = query.where(tuple_(EventRow.start, EventRow.id) > after)
    rows = list(await database.scalars(query))
    response.headers["X-Request-Id"] = request_id = x_request_id or uuid4().hex
    next_cursor = None
    if len(rows) > limit:
        rows = rows[:limit]
        text = f"{rows[-1].start.isoformat()}|{rows[-1].id}"
        next_cursor = base64.urlsafe_b64encode(text.encode()).decode()
        link = request.url.include_query_params(cursor=next_cursor)
        response.headers["Link"] = f'<{link}>; rel="next"'
    return {
        "events": rows,
        "meta": {"request_id": request_id, "timestamp": now, "next_cursor": next_cursor},
    }
