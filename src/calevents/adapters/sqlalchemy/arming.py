"""What an event's write does to its notification, within the same transaction."""

from sqlalchemy.ext.asyncio import AsyncConnection

from calevents.adapters.sqlalchemy.tables import Tables
from calevents.event import Event

__all__ = ["arm"]


async def arm(
    connection: AsyncConnection, tables: Tables, before: Event | None, after: Event | None
) -> None:
    """Arm, move or cancel the notification."""
