"""For those who write adapters, and for hosts' own tests: needs pytest and anyio.

A contract suite is a class of tests. Subclass it, override its fixture with your adapter, and
pytest collects the tests. Ours, in memory and over SQL, pass the same ones.
"""

from calevents.testing.clock import FixedClock
from calevents.testing.events import an_event, an_image
from calevents.testing.ledger_contract import LedgerStorage, NotificationLedgerContract
from calevents.testing.notifier import RecordingNotifier
from calevents.testing.repository_contract import EventRepositoryContract

__all__ = [
    "EventRepositoryContract",
    "FixedClock",
    "LedgerStorage",
    "NotificationLedgerContract",
    "RecordingNotifier",
    "an_event",
    "an_image",
]
