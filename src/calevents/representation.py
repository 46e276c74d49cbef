"""An event as the v202506 endpoints show it: the page's 18 keys, in the page's order."""

from datetime import datetime
from typing import Any

from calevents.event import Event, Image
from calevents.timestamps import format_timestamp

__all__ = ["represent"]


def represent(event: Event, now: datetime) -> dict[str, Any]:
    """The JSON object of ``event`` at ``now``: ``status`` and ``active`` follow the clock."""
    status = event.status(now)
    sent_at = event.notification_sent_at
    return {
        "id": event.id,
        "company_id": event.company_id,
        "user_id": event.user_id,
        "title": event.title,
        "description": event.description,
        "url": event.url,
        "venue": event.venue,
        "color": event.color,
        "start": format_timestamp(event.start),
        "end": format_timestamp(event.end),
        "time_zone": event.time_zone,
        "canonical_time_zone": event.canonical_time_zone,
        "active": event.is_active(now),
        "status": None if status is None else status.value,
        "image_url": event.images[0].full if event.images else None,
        "images": [_image(image) for image in event.images],
        "countries": list(event.countries),
        "notification_sent_at": None if sent_at is None else format_timestamp(sent_at),
    }


def _image(image: Image) -> dict[str, Any]:
    return {
        "id": image.id,
        "position": image.position,
        "mini": image.mini,
        "detail": image.detail,
        "full": image.full,
    }
