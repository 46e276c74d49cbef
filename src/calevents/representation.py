"""An event as the v202506 endpoints show it: the page's 18 keys, in the page's order."""

from datetime import datetime
from typing import Any

from calevents.event import Event
from calevents.timestamps import format_timestamp

__all__ = ["represent", "represent_natively"]


def represent(event: Event, now: datetime) -> dict[str, Any]:
    """The JSON object of ``event`` at ``now``: ``status`` and ``active`` follow the clock."""
    document = represent_natively(event, now)
    for key in ("start", "end", "notification_sent_at"):
        if document[key] is not None:
            document[key] = format_timestamp(document[key])
    document["countries"] = list(event.countries)
    return document


def represent_natively(event: Event, now: datetime) -> dict[str, Any]:
    """The same, for an encoder that writes datetimes and tuples by itself, which is faster."""
    images = event.images
    return {
        "id": event.id,
        "company_id": event.company_id,
        "user_id": event.user_id,
        "title": event.title,
        "description": event.description,
        "url": event.url,
        "venue": event.venue,
        "color": event.color,
        "start": event.start,
        "end": event.end,
        "time_zone": event.time_zone,
        "canonical_time_zone": event.canonical_time_zone,
        "active": event.is_active(now),
        "status": event.status(now),
        "image_url": images[0].full if images else None,
        "images": [
            {
                "id": image.id,
                "position": image.position,
                "mini": image.mini,
                "detail": image.detail,
                "full": image.full,
            }
            for image in images
        ],
        "countries": event.countries,
        "notification_sent_at": event.notification_sent_at,
    }
