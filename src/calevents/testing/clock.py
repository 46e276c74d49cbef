"""A clock that stands still until it is told to move."""

from datetime import datetime, timedelta

__all__ = ["FixedClock"]


class FixedClock:
    """A :class:`~calevents.ports.Clock` for tests."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """The instant that the clock was set to."""
        return self.now

    def advance(self, by: timedelta) -> None:
        """Move the clock, backwards too."""
        self.now += by
