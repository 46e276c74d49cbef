"""Keeps one host's trouble from becoming everybody's. Pure: takes ``now``."""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable

__all__ = ["Breaker", "Gate", "Gates"]

_MOST_GATES = 4096


class Breaker:
    """Opens after so many failures in a row, and lets one probe through after every pause.

    ``now`` is in seconds, of any clock that doesn't go back.
    """

    def __init__(self, failures: int, pause: float) -> None:
        self._threshold = failures
        self._pause = pause
        self._failures = 0
        self._open_until: float | None = None
        self._probing = False

    @property
    def pristine(self) -> bool:
        """Whether forgetting it would change nothing."""
        return not self._failures and self._open_until is None

    @property
    def is_open(self) -> bool:
        """Whether only probes go through."""
        return self._open_until is not None

    def wait(self, now: float) -> float | None:
        """Seconds after which to come again; ``None`` if a call may be made."""
        if self._open_until is None:
            return None
        if self._probing:
            return self._pause
        # At most the pause, whatever floating point makes of it.
        return min(self._open_until - now, self._pause) if now < self._open_until else None

    def begin(self) -> None:
        """A call is made. While open, it is the probe."""
        self._probing = self.is_open

    def succeeded(self) -> None:
        """The host answered."""
        self._failures = 0
        self._open_until = None
        self._probing = False

    def failed(self, now: float) -> None:
        """The host didn't answer, or not as one that works."""
        self._failures += 1
        self._probing = False
        if self._failures >= self._threshold:
            self._open_until = now + self._pause


class Gate:
    """A host's breaker, and the calls that it has at a time."""

    def __init__(self, name: str, *, calls: int, failures: int, pause: float) -> None:
        self.name = name
        self.slots = asyncio.Semaphore(calls)
        self.breaker = Breaker(failures, pause)
        self.users = 0
        """Deliveries that wait or are called."""


class Gates:
    """Every host's gate; those that have nothing to tell are forgotten."""

    def __init__(self, *, calls: int, failures: int, pause: float) -> None:
        self._calls = calls
        self._failures = failures
        self._pause = pause
        self._gates: OrderedDict[Hashable, Gate] = OrderedDict()

    def __len__(self) -> int:
        return len(self._gates)

    def enter(self, host: Hashable, name: str) -> Gate:
        """The host's gate; :meth:`leave` it."""
        gate = self._gates.get(host)
        if gate is None:
            gate = self._gates[host] = Gate(
                name, calls=self._calls, failures=self._failures, pause=self._pause
            )
        gate.users += 1
        return gate

    def leave(self, host: Hashable) -> None:
        """One who entered is done."""
        gate = self._gates[host]
        gate.users -= 1
        if gate.users:
            return
        if gate.breaker.pristine:
            del self._gates[host]
            return
        self._gates.move_to_end(host)
        # Directories may hold any number of hosts that fail.
        if len(self._gates) > _MOST_GATES:
            idle = next((key for key, value in self._gates.items() if not value.users), None)
            if idle is not None:
                del self._gates[idle]
