"""Who is who: the fixed tokens, and what each of them opens."""

import httpx2
import pytest

from calevents import Company, Member
from examples.company_calendar.members import USERS, directory, principal
from tests.example.running import COMPANY_EVENTS, USER_EVENTS

TOKENS = {
    "demo-company-67890": Company(67890),
    "demo-company-11111": Company(11111),
    "demo-user-1": Member(company_id=67890, id=1, country="US"),
    "demo-user-2": Member(company_id=67890, id=2, country="DE"),
    "demo-user-3": Member(company_id=67890, id=3, country="US"),
    "demo-user-9": Member(company_id=11111, id=9, country="US"),
}


@pytest.mark.parametrize(("token", "who"), TOKENS.items())
def test_a_token_says_who_calls(token: str, who: Company | Member) -> None:
    assert principal(f"Bearer {token}") == who
    assert principal(f"bearer {token}") == who


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer demo-user-4",
        "Bearer demo-user-1x",
        "Bearer demo-user-1 demo-user-2",
        "Bearer demo-inbox-1",
        "Bearer DEMO-USER-1",
        "Basic demo-user-1",
        "demo-user-1",
        "Token demo-user-1",
    ],
)
async def test_anything_else_is_nobody(
    client: httpx2.AsyncClient, authorization: str | None
) -> None:
    assert principal(authorization) is None
    headers = {} if authorization is None else {"Authorization": authorization}
    response = await client.get(USER_EVENTS, headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_two_credentials_are_nobody(client: httpx2.AsyncClient) -> None:
    headers = [("Authorization", "Bearer demo-user-1"), ("Authorization", "Bearer demo-user-2")]
    assert (await client.get(USER_EVENTS, headers=headers)).status_code == 401


async def test_paths_belong_to_one_kind_of_caller(client: httpx2.AsyncClient) -> None:
    for path, token in ((COMPANY_EVENTS, "demo-user-1"), (USER_EVENTS, "demo-company-67890")):
        response = await client.get(path, headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 403


async def test_companies_are_apart(client: httpx2.AsyncClient) -> None:
    northwind = {"Authorization": "Bearer demo-company-67890"}
    draft = {"title": "Ours", "start": "2030-01-01T10:00:00Z", "end": "2030-01-01T11:00:00Z"}
    created = await client.post(COMPANY_EVENTS, headers=northwind, json=draft)
    assert created.status_code == 201
    event_id = created.json()["id"]
    for token, sees in (("demo-user-1", True), ("demo-user-2", True), ("demo-user-9", False)):
        response = await client.get(
            f"{USER_EVENTS}/{event_id}", headers={"Authorization": f"Bearer {token}"}
        )
        assert response.status_code == (200 if sees else 404)
    contoso = {"Authorization": "Bearer demo-company-11111"}
    assert (await client.get(f"{COMPANY_EVENTS}/{event_id}", headers=contoso)).status_code == 404


async def test_the_directory_pages_by_company() -> None:
    members = directory(8000)
    for company_id in (67890, 11111):
        expected = [user.id for user in USERS if user.company_id == company_id]
        found = await members.recipients(company_id, limit=10)
        assert [recipient.id for recipient in found] == expected
    american = await members.recipients(67890, countries=["US"], limit=10)
    assert [recipient.id for recipient in american] == [1, 3]
    assert american[0].addresses == {"inbox": "json://127.0.0.1:8000/inbox/demo-inbox-1"}


async def test_the_page_knows_every_viewer(client: httpx2.AsyncClient) -> None:
    companies = (await client.get("/viewers")).json()["companies"]
    tokens = {viewer["token"] for company in companies for viewer in (company, *company["users"])}
    assert tokens == set(TOKENS)
