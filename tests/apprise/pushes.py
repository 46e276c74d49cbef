"""An event, deliveries of it, and notifiers that may reach the loopback."""

from datetime import UTC, datetime, timedelta
from typing import Any

from calevents.adapters.apprise import AppriseNotifier
from calevents.event import Event
from calevents.notification import Delivery, Message, Result

START = datetime(2025, 6, 15, 18, tzinfo=UTC)
EVENT = Event(
    id=12345,
    company_id=67890,
    title="Launch",
    url="https://example.com/launch",
    start=START,
    end=START + timedelta(hours=2),
    created_at=START - timedelta(days=9),
    updated_at=START - timedelta(days=9),
)


def delivery(address: str | None, recipient_id: int = 7, attempt: int = 1) -> Delivery:
    return Delivery(
        recipient_id=recipient_id,
        channel="push",
        address=address,
        locale="en",
        time_zone="UTC",
        attempt=attempt,
        idempotency_key=f"key-{recipient_id}",
        message=Message("Launch & <more>", "Starts in 20 minutes — *now*"),
    )


def notifier(**changes: Any) -> AppriseNotifier:
    """Patient: no test depends on a deadline unless it asks for one."""
    return AppriseNotifier(**{"allow_private_hosts": True, "deadline": 30.0} | changes)


async def push(address: str | None, **changes: Any) -> Result:
    async with notifier(**changes) as apprise:
        (result,) = await apprise.send(EVENT, [delivery(address)])
    return result
