"""The host's own users, and how they prove who they are.

A real host has tables of its own and sessions or JWTs; what calevents wants of it is the same: a
function from a request to a company or a member, and a directory of recipients.
"""

import attrs
from starlette.requests import Request

from calevents import Company, Member, Recipient
from calevents.adapters.memory import MemoryDirectory
from examples.company_calendar.settings import HOST

__all__ = [
    "ADMINISTRATORS",
    "USERS",
    "Administrator",
    "User",
    "authenticate",
    "directory",
    "principal",
]


@attrs.frozen(kw_only=True)
class Administrator:
    """Who acts for a company."""

    company_id: int
    name: str
    token: str
    time_zone: str
    locale: str

    @property
    def principal(self) -> Company:
        """Who this is to calevents."""
        return Company(self.company_id)


@attrs.frozen(kw_only=True)
class User:
    """A member of a company."""

    id: int
    company_id: int
    name: str
    token: str
    inbox: str
    """Names the member's inbox in the address of their pushes; it can't be read with it."""
    country: str
    time_zone: str
    locale: str

    @property
    def principal(self) -> Member:
        """Who this is to calevents."""
        return Member(company_id=self.company_id, id=self.id, country=self.country)

    def recipient(self, port: int) -> Recipient:
        """Where this member's pushes go: to the host's own endpoint, by Apprise's webhook."""
        return Recipient(
            id=self.id,
            country=self.country,
            locale=self.locale,
            time_zone=self.time_zone,
            addresses={"inbox": f"json://{HOST}:{port}/inbox/{self.inbox}"},
        )


# The tokens are fixed and public: this is a demo.
ADMINISTRATORS = (
    Administrator(
        company_id=67890,
        name="Northwind",
        token="demo-company-67890",
        time_zone="America/New_York",
        locale="en-US",
    ),
    Administrator(
        company_id=11111,
        name="Contoso",
        token="demo-company-11111",
        time_zone="America/Chicago",
        locale="en-US",
    ),
)

USERS = (
    User(
        id=1,
        company_id=67890,
        name="Ada",
        token="demo-user-1",
        inbox="demo-inbox-1",
        country="US",
        time_zone="America/New_York",
        locale="en-US",
    ),
    User(
        id=2,
        company_id=67890,
        name="Ben",
        token="demo-user-2",
        inbox="demo-inbox-2",
        country="DE",
        time_zone="Europe/Berlin",
        locale="de-DE",
    ),
    User(
        id=3,
        company_id=67890,
        name="Cleo",
        token="demo-user-3",
        inbox="demo-inbox-3",
        country="US",
        time_zone="America/Los_Angeles",
        locale="en-US",
    ),
    User(
        id=9,
        company_id=11111,
        name="Dan",
        token="demo-user-9",
        inbox="demo-inbox-9",
        country="US",
        time_zone="America/Chicago",
        locale="en-US",
    ),
)

_PRINCIPALS: dict[str, Company | Member] = {
    known.token: known.principal for known in (*ADMINISTRATORS, *USERS)
}


def principal(authorization: str | None) -> Company | Member | None:
    """Who has these credentials: ``Bearer`` and a token (RFC 6750, section 2.1)."""
    scheme, _, token = (authorization or "").partition(" ")
    return _PRINCIPALS.get(token.strip(" ")) if scheme.lower() == "bearer" else None


async def authenticate(request: Request) -> Company | Member | None:
    """Who sends ``request``; ``None`` for nobody who is known."""
    credentials = request.headers.getlist("authorization")
    return principal(credentials[0]) if len(credentials) == 1 else None


def directory(port: int) -> MemoryDirectory:
    """Every member as a recipient of pushes, to a host that listens on ``port``."""
    companies = {user.company_id for user in USERS}
    return MemoryDirectory(
        {
            company_id: [user.recipient(port) for user in USERS if user.company_id == company_id]
            for company_id in companies
        }
    )
