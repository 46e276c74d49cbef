"""An event as the v202506 endpoints show it: the page's 18 keys, in the page's order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from calevents.event import Event, Image, status_at
from calevents.timestamps import format_timestamp

__all__ = ["document", "image_documents", "represent", "represent_natively"]


def represent(event: Event, now: datetime) -> dict[str, Any]:
    """The JSON object of ``event`` at ``now``: ``status`` and ``active`` follow the clock."""
    shown = represent_natively(event, now)
    for key in ("start", "end", "notification_sent_at"):
        if shown[key] is not None:
            shown[key] = format_timestamp(shown[key])
    shown["countries"] = list(event.countries)
    return shown


def represent_natively(event: Event, now: datetime) -> dict[str, Any]:
    """The same, for an encoder that writes datetimes and tuples by itself, which is faster."""
    return document(
        now,
        event.id,
        event.company_id,
        event.user_id,
        event.title,
        event.description,
        event.url,
        event.venue,
        event.color,
        event.start,
        event.end,
        event.time_zone,
        event.canonical_time_zone,
        event.active,
        image_documents(event.images),
        event.countries,
        event.notification_sent_at,
    )


def document(  # noqa: PLR0917 - called for every event of a list, with what was stored in this order
    now: datetime,
    event_id: int,
    company_id: int,
    user_id: int | None,
    title: str,
    description: str | None,
    url: str | None,
    venue: str | None,
    color: str | None,
    start: datetime,
    end: datetime,
    time_zone: str,
    canonical_time_zone: str,
    active: bool,  # noqa: FBT001
    images: Sequence[dict[str, Any]],
    countries: Sequence[str],
    notification_sent_at: datetime | None,
) -> dict[str, Any]:
    """What :func:`represent_natively` answers, for storage that needs no event on the way.

    ``active`` is the stored flag, ``images`` is what :func:`image_documents` gives.
    """
    return {
        "id": event_id,
        "company_id": company_id,
        "user_id": user_id,
        "title": title,
        "description": description,
        "url": url,
        "venue": venue,
        "color": color,
        "start": start,
        "end": end,
        "time_zone": time_zone,
        "canonical_time_zone": canonical_time_zone,
        "active": active and now < end,
        "status": status_at(start, end, now),
        "image_url": images[0]["full"] if images else None,
        "images": images,
        "countries": countries,
        "notification_sent_at": notification_sent_at,
    }


def image_documents(images: Sequence[Image]) -> Sequence[dict[str, Any]]:
    """The objects in an event's ``images``, in their order."""
    return [
        {
            "id": image.id,
            "position": image.position,
            "mini": image.mini,
            "detail": image.detail,
            "full": image.full,
        }
        for image in images
    ]
