"""Who sees what: the one predicate, against the rules written out."""

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calevents.audience import (
    Company,
    Member,
    Viewer,
    audiences_of_event,
    audiences_of_viewer,
    may_change,
    sees,
)
from calevents.event import Event
from calevents.exceptions import UnknownCountry
from calevents.explanation import Reason, explain

NOON = datetime(2025, 6, 15, 12, 0, tzinfo=UTC)


def event(**fields: Any) -> Event:
    defaults: dict[str, Any] = {
        "id": 1,
        "company_id": 1,
        "title": "x",
        "start": NOON,
        "end": NOON.replace(hour=13),
    }
    return Event(**(defaults | {"created_at": NOON, "updated_at": NOON} | fields))


def the_rules(viewer: Viewer, event: Event) -> bool:
    """The specification's sentences, one after the other."""
    if event.company_id != viewer.company_id:
        return False
    if isinstance(viewer, Company):
        return not event.personal
    if event.personal:
        return event.user_id == viewer.id
    if not event.active:
        return False
    if event.user_id is not None:
        return event.user_id == viewer.id
    return not event.countries or viewer.country in event.countries


companies = st.integers(1, 2)
users = st.integers(1, 3)
countries = st.sampled_from(["US", "DE", "FR"])
viewers = st.one_of(
    st.builds(Company, companies),
    st.builds(Member, company_id=companies, id=users, country=st.none() | countries),
)


@st.composite
def events(draw: st.DrawFn) -> Event:
    company_id, active = draw(companies), draw(st.booleans())
    kind = draw(st.sampled_from(["personal", "individual", "countries", "everyone"]))
    if kind in {"personal", "individual"}:
        return event(
            company_id=company_id,
            active=active,
            user_id=draw(users),
            personal=kind == "personal",
        )
    chosen = draw(st.lists(countries, unique=True, min_size=1)) if kind == "countries" else []
    return event(company_id=company_id, active=active, countries=tuple(chosen))


@given(viewers, events())
def test_sees_says_what_the_rules_say(viewer: Viewer, event: Event) -> None:
    assert sees(viewer, event) is the_rules(viewer, event)


@given(viewers, events())
def test_a_viewer_and_an_event_share_at_most_one_audience(viewer: Viewer, event: Event) -> None:
    shared = set(audiences_of_viewer(viewer)) & set(audiences_of_event(event))
    assert len(shared) <= 1


@given(viewers, viewers, events())
def test_no_event_is_seen_in_two_companies(one: Viewer, other: Viewer, event: Event) -> None:
    if one.company_id != other.company_id:
        assert not (sees(one, event) and sees(other, event))


@given(viewers, events())
def test_only_those_who_made_an_event_change_it(viewer: Viewer, event: Event) -> None:
    if sees(viewer, event):
        assert may_change(viewer, event) is (isinstance(viewer, Company) or event.personal)


members = st.builds(Member, company_id=companies, id=users, country=st.none() | countries)


@given(members, events())
def test_explain_agrees_with_sees(member: Member, event: Event) -> None:
    explanation = explain(event, member)
    assert explanation.visible is sees(member, event)
    positive = {Reason.PERSONAL, Reason.INDIVIDUAL, Reason.COUNTRY, Reason.COMPANY_WIDE}
    assert (explanation.reason in positive) is explanation.visible
    assert explanation.detail.endswith(".")


@pytest.mark.parametrize(
    ("fields", "country", "reason"),
    [
        ({"company_id": 2}, "US", Reason.OTHER_COMPANY),
        ({"user_id": 1, "personal": True}, "US", Reason.PERSONAL),
        ({"user_id": 2, "personal": True}, "US", Reason.OTHER_USER),
        ({"user_id": 1}, "US", Reason.INDIVIDUAL),
        ({"user_id": 2}, "US", Reason.OTHER_USER),
        ({"countries": ("US", "CA")}, "US", Reason.COUNTRY),
        ({"countries": ("US", "CA")}, "DE", Reason.OTHER_COUNTRY),
        ({"countries": ("US", "CA")}, None, Reason.NO_COUNTRY),
        ({}, None, Reason.COMPANY_WIDE),
        ({"active": False}, "US", Reason.SWITCHED_OFF),
        ({"active": False, "user_id": 1, "personal": True}, "US", Reason.PERSONAL),
    ],
)
def test_explain_names_the_reason(
    fields: dict[str, Any], country: str | None, reason: Reason
) -> None:
    member = Member(company_id=1, id=1, country=country)
    assert explain(event(**fields), member).reason is reason


@pytest.mark.parametrize("written", ["us", "US", "usa", "USA"])
def test_a_member_s_country_is_taken_in_any_spelling(written: str) -> None:
    assert Member(company_id=1, id=1, country=written).country == "US"


def test_a_member_of_no_known_country_is_refused() -> None:
    with pytest.raises(UnknownCountry, match="XX"):
        Member(company_id=1, id=1, country="XX")


@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-1, ValueError), (2**63, ValueError), (True, TypeError), ("1", TypeError)],
)
def test_ids_are_positive_64_bit_integers(value: Any, error: type[Exception]) -> None:
    for make in (
        lambda: Company(value),
        lambda: Member(company_id=value, id=1),
        lambda: Member(company_id=1, id=value),
    ):
        with pytest.raises(error):
            make()
    assert Company(2**63 - 1).company_id == 2**63 - 1


def test_audiences_are_the_ones_that_storage_keeps() -> None:
    """A change here needs a migration of the audiences' table."""
    cases: list[tuple[Event, tuple[str, ...]]] = [
        (event(), ("@", "*")),
        (event(active=False), ("@",)),
        (event(countries=("US", "CA")), ("@", "c:US", "c:CA")),
        (event(user_id=7), ("@", "u:7")),
        (event(user_id=7, personal=True), ("u:7",)),
        (event(user_id=7, personal=True, active=False), ("u:7",)),
    ]
    for made, audiences in cases:
        assert audiences_of_event(made) == audiences
    assert audiences_of_viewer(Company(1)) == ("@",)
    assert audiences_of_viewer(Member(company_id=1, id=7)) == ("*", "u:7")
    assert audiences_of_viewer(Member(company_id=1, id=7, country="US")) == ("*", "c:US", "u:7")


def test_the_longest_audience_fits_its_column() -> None:
    longest = audiences_of_event(event(user_id=2**63 - 1, personal=True))
    assert all(len(audience) <= 24 for audience in itertools.chain(longest))
