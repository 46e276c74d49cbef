"""A notifier that sends nothing and forgets nothing."""

from collections.abc import Callable, Sequence

from calevents.event import Event
from calevents.notification import Delivery, Outcome, Result

__all__ = ["RecordingNotifier"]


class RecordingNotifier:
    """A :class:`~calevents.ports.Notifier` that accepts everything, or answers what it is told to.

    ``answer`` is called with each delivery; it may raise.
    """

    def __init__(
        self, *, claim_size: int = 8, answer: Callable[[Delivery], Result] | None = None
    ) -> None:
        self._claim_size = claim_size
        self.answer = answer or (lambda _: Result(Outcome.ACCEPTED))
        self.calls: list[tuple[Event, Sequence[Delivery]]] = []
        """Every call: the event and its deliveries."""

    @property
    def claim_size(self) -> int:
        """See :attr:`calevents.ports.Notifier.claim_size`."""
        return self._claim_size

    @property
    def deliveries(self) -> list[Delivery]:
        """The deliveries of every call, in order."""
        return [delivery for _, deliveries in self.calls for delivery in deliveries]

    async def send(self, event: Event, deliveries: Sequence[Delivery]) -> Sequence[Result]:
        """See :meth:`calevents.ports.Notifier.send`."""
        self.calls.append((event, deliveries))
        return [self.answer(delivery) for delivery in deliveries]
