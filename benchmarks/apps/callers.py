"""Who is calling: the same trivial answer for every application."""

from typing import NamedTuple


class Caller(NamedTuple):
    """A company (`user_id` 0) or one of its users."""

    company_id: int
    user_id: int
    country: str


def caller(authorization: str) -> Caller | None:
    """Read `Bearer <company_id> <user_id> <country>`."""
    try:
        scheme, company_id, user_id, country = authorization.split(" ")
        if scheme != "Bearer":
            return None
        return Caller(int(company_id), int(user_id), country)
    except ValueError:
        return None
