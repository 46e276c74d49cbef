"""The breaker's states, and the gates that are kept and forgotten."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from calevents.adapters.apprise import breaker as breaker_module
from calevents.adapters.apprise.breaker import Breaker, Gates


def test_it_opens_at_the_last_of_so_many_failures_in_a_row() -> None:
    breaker = Breaker(failures=3, pause=10)
    for _ in range(2):
        breaker.failed(100)
        assert breaker.wait(100) is None
    breaker.succeeded()
    for _ in range(2):
        breaker.failed(100)
        assert breaker.wait(100) is None
    breaker.failed(100)
    assert breaker.is_open
    assert breaker.wait(100) == 10
    assert breaker.wait(109.5) == 0.5


def test_after_the_pause_one_probe_goes_through_and_decides() -> None:
    breaker = Breaker(failures=1, pause=10)
    breaker.failed(100)
    assert breaker.wait(110) is None
    breaker.begin()
    assert breaker.wait(110) == 10
    breaker.failed(111)
    assert breaker.wait(111) == 10
    assert breaker.wait(121) is None
    breaker.begin()
    breaker.succeeded()
    assert breaker.wait(121) is None
    breaker.begin()
    assert breaker.wait(121) is None
    assert breaker.pristine


def test_a_call_from_before_that_succeeds_closes_it() -> None:
    breaker = Breaker(failures=1, pause=10)
    breaker.begin()
    breaker.begin()
    breaker.failed(100)
    breaker.succeeded()
    assert breaker.wait(100) is None


class BreakerMachine(RuleBasedStateMachine):
    """While open, at most one call is under way that began since, and each wait ends."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(failures=2, pause=10)
        self.now = 0.0
        self.probes = 0

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.breaker.wait(self.now) is None)
    @rule()
    def call(self) -> None:
        if self.breaker.is_open:
            self.probes += 1
        self.breaker.begin()

    @rule()
    def answered(self) -> None:
        self.breaker.succeeded()
        self.probes = 0

    @rule()
    def not_answered(self) -> None:
        self.breaker.failed(self.now)
        self.probes = 0

    @invariant()
    def one_probe(self) -> None:
        assert self.probes <= 1

    @invariant()
    def waits_are_bounded(self) -> None:
        wait = self.breaker.wait(self.now)
        assert wait is None or 0 < wait <= 10
        assert wait is None or self.breaker.is_open


TestBreaker = BreakerMachine.TestCase


def gates() -> Gates:
    return Gates(calls=2, failures=1, pause=10)


def test_a_host_that_works_is_forgotten_when_nobody_uses_it() -> None:
    kept = gates()
    gate = kept.enter("host", "name")
    assert kept.enter("host", "name") is gate
    kept.leave("host")
    assert len(kept) == 1
    kept.leave("host")
    assert len(kept) == 0


def test_one_that_fails_is_remembered() -> None:
    kept = gates()
    gate = kept.enter("host", "name")
    gate.breaker.failed(100)
    kept.leave("host")
    assert kept.enter("host", "name") is gate


def test_but_no_more_of_them_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker_module, "_MOST_GATES", 3)
    kept = gates()
    used = kept.enter("used", "used")
    used.breaker.failed(100)
    for host in range(10):
        kept.enter(host, "name").breaker.failed(100)
        kept.leave(host)
    assert len(kept) == 3
    assert kept.enter("used", "used") is used
    assert kept.enter(9, "name").breaker.is_open
    assert not kept.enter(0, "name").breaker.is_open
