"""calevents, as its own documentation would have a host use it."""

import os

from starlette.requests import Request

from benchmarks.apps.callers import caller
from calevents import Calendar, Company, Member
from calevents.adapters.sqlalchemy import Database
from calevents.adapters.starlette import create_app


async def authenticate(request: Request) -> Company | Member | None:
    """Take the caller's word."""
    found = caller(request.headers.get("authorization", ""))
    if found is None:
        return None
    if not found.user_id:
        return Company(found.company_id)
    return Member(company_id=found.company_id, id=found.user_id, country=found.country)


app = create_app(Calendar(Database(os.environ["DATABASE_URL"]).repository), authenticate)
