"""Who calls the API in the tests, and how."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
from starlette.requests import Request
from starlette.types import ASGIApp

from calevents import Company, Member

PRINCIPALS: Mapping[str, Company | Member] = {
    "acme": Company(67890),
    "globex": Company(11111),
    "ada": Member(company_id=67890, id=1, country="US"),
    "ben": Member(company_id=67890, id=2, country="DE"),
    "cleo": Member(company_id=67890, id=3, country="US"),
    "dan": Member(company_id=67890, id=4),
    # A namesake in the other company: the same id and country as Ada's.
    "zoe": Member(company_id=11111, id=1, country="US"),
}

COMPANY_EVENTS = "/api/company/crm/v202506/events"
USER_EVENTS = "/api/user/crm/v202506/events"


async def authenticate(request: Request) -> Company | Member | None:
    """A bearer token is the caller's name."""
    return PRINCIPALS.get(request.headers.get("authorization", "").removeprefix("Bearer "))


class Caller:
    """A client of the API with credentials."""

    def __init__(self, client: httpx2.AsyncClient, name: str) -> None:
        self.client = client
        self.name = name
        self.events = COMPANY_EVENTS if isinstance(PRINCIPALS[name], Company) else USER_EVENTS

    async def send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx2.Response:
        """A request to any path."""
        given = {"Authorization": f"Bearer {self.name}", **(headers or {})}
        return await self.client.request(method, path, headers=given, **options)

    async def get(self, event_id: object, **options: Any) -> httpx2.Response:
        return await self.send("GET", f"{self.events}/{event_id}", **options)

    async def post(self, document: object, **options: Any) -> httpx2.Response:
        return await self.send("POST", self.events, json=document, **options)

    async def patch(self, event_id: object, patch: object, **options: Any) -> httpx2.Response:
        return await self.send("PATCH", f"{self.events}/{event_id}", json=patch, **options)

    async def delete(self, event_id: object, **options: Any) -> httpx2.Response:
        return await self.send("DELETE", f"{self.events}/{event_id}", **options)

    async def list_events(self, **parameters: object) -> httpx2.Response:
        texts = {name.rstrip("_"): str(value) for name, value in parameters.items()}
        return await self.send("GET", self.events, params=texts)

    async def created(self, **fields: object) -> dict[str, Any]:
        """A new event, by default a company-wide one from 14:00 to 16:00."""
        response = await self.post(a_draft(**fields))
        assert response.status_code == 201, response.text
        event: dict[str, Any] = response.json()
        return event

    async def titles(self, **parameters: object) -> list[str]:
        """The titles of a list."""
        response = await self.list_events(**parameters)
        assert response.status_code == 200, response.text
        return [event["title"] for event in response.json()["events"]]

    async def pages(self, **parameters: object) -> AsyncIterator[dict[str, Any]]:
        """Every page of a list, by its cursors."""
        while True:
            response = await self.list_events(**parameters)
            assert response.status_code == 200, response.text
            page = response.json()
            yield page
            if page["meta"]["next_cursor"] is None:
                return
            parameters["cursor"] = page["meta"]["next_cursor"]


def a_draft(**fields: object) -> dict[str, object]:
    """A valid document for a new event."""
    return {
        "title": "Training",
        "start": "2025-06-15T14:00:00Z",
        "end": "2025-06-15T16:00:00Z",
        **fields,
    }


def client_of(app: ASGIApp, root_path: str = "") -> httpx2.AsyncClient:
    """A client that calls ``app`` in this process; exceptions of the application end the test."""
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app, root_path=root_path), base_url="http://testserver"
    )
