"""Events to test with."""

from datetime import UTC, datetime, timedelta
from typing import Any

from calevents.event import Event, Image
from calevents.identifiers import new_id

__all__ = ["NOON", "an_event", "an_image"]

NOON = datetime(2025, 6, 15, 12, 0, tzinfo=UTC)
"""The instant around which :func:`an_event` takes place."""


def an_event(**fields: Any) -> Event:
    """An event of company 1 from noon to two o'clock, with whatever ``fields`` say instead."""
    start = fields.pop("start", NOON)
    end = fields.pop("end", None) or start + timedelta(hours=2)
    event_id = fields.pop("id", None) or new_id()
    defaults: dict[str, Any] = {
        "company_id": 1,
        "title": f"Event {event_id}",
        "created_at": NOON - timedelta(days=7),
        "updated_at": NOON - timedelta(days=7),
    }
    return Event(id=event_id, start=start, end=end, **(defaults | fields))


def an_image(position: int = 1, url: str = "https://example.com/image.jpg") -> Image:
    """An image whose three sizes are ``url``."""
    return Image(id=new_id(), position=position, mini=url, detail=url, full=url)
