"""Whom an event is for: the one visibility predicate.

An event has *audiences*, a viewer belongs to audiences, and the viewer sees the event when they
have one in common. A member belongs to three: everyone, their country, and themselves. A company
belongs to one, its own. Storage keeps the audiences of each event in a side table, so that the
predicate runs inside the query; :func:`sees` is the same predicate in Python.
"""

import attrs

from calevents.countries import country_code
from calevents.event import Event

__all__ = [
    "COMPANY",
    "EVERYONE",
    "MAX_ID",
    "Company",
    "Member",
    "Viewer",
    "audiences_of_event",
    "audiences_of_viewer",
    "may_change",
    "sees",
]

MAX_ID = 2**63 - 1
"""The greatest id: a signed 64-bit integer, as databases keep it."""

COMPANY = "@"
"""The company itself: the audience of every event that it created."""

EVERYONE = "*"
"""Every member of the company."""


def _check_id(_instance: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{attribute.name} must be an integer, not {type(value).__name__}")
    if not 0 < value <= MAX_ID:
        raise ValueError(f"{attribute.name} must be from 1 to 2**63 - 1, not {value}")


def _country_or_none(value: str | None) -> str | None:
    return None if value is None else country_code(value)


@attrs.frozen
class Company:
    """A company, acting for itself. Raises ``ValueError`` or ``TypeError`` for a bad id."""

    id: int = attrs.field(validator=_check_id)

    @property
    def company_id(self) -> int:
        """The tenant: the company itself."""
        return self.id

    @property
    def user_id(self) -> None:
        """No user: the company acts for itself."""
        return None


@attrs.frozen(kw_only=True)
class Member:
    """A user of a company.

    Raises :class:`~calevents.exceptions.UnknownCountry`, ``ValueError`` or ``TypeError`` for bad
    values.
    """

    company_id: int = attrs.field(validator=_check_id)
    id: int = attrs.field(validator=_check_id)
    country: str | None = attrs.field(default=None, converter=_country_or_none)
    """ISO 3166-1 alpha-2, alpha-3 is accepted; ``None`` where the host doesn't know it: such a
    member sees no event that is for countries."""

    @property
    def user_id(self) -> int:
        """The user: the member."""
        return self.id


Viewer = Company | Member
"""Who is looking: a company or one of its members."""


def audiences_of_event(event: Event) -> tuple[str, ...]:
    """Whom ``event`` is for. No viewer belongs to two of them.

    A company's event that is switched off is for nobody but the company.
    """
    if event.personal:
        return (_user(event.user_id),)
    if not event.active:
        return (COMPANY,)
    if event.user_id is not None:
        return (COMPANY, _user(event.user_id))
    if event.countries:
        return (COMPANY, *map(_country, event.countries))
    return (COMPANY, EVERYONE)


def audiences_of_viewer(viewer: Viewer) -> tuple[str, ...]:
    """The audiences that ``viewer`` belongs to."""
    if isinstance(viewer, Company):
        return (COMPANY,)
    if viewer.country is None:
        return (EVERYONE, _user(viewer.id))
    return (EVERYONE, _country(viewer.country), _user(viewer.id))


def _country(country: str) -> str:
    return f"c:{country}"


def _user(user_id: int | None) -> str:
    return f"u:{user_id}"


def sees(viewer: Viewer, event: Event) -> bool:
    """Whether ``viewer`` may know that ``event`` exists.

    A company sees what it created, and never what its users made for themselves. A user sees what
    they made, and of the company's events those that are for them and switched on.
    """
    return viewer.company_id == event.company_id and not set(
        audiences_of_viewer(viewer)
    ).isdisjoint(audiences_of_event(event))


def may_change(viewer: Viewer, event: Event) -> bool:
    """Whether ``viewer``, who sees ``event``, made it and so may change and delete it."""
    return event.personal or isinstance(viewer, Company)
