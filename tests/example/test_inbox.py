"""The host's end of a push."""

import httpx2
import pytest

PUSH = {"version": "1.0", "title": "Soon", "message": "In an hour", "event_id": "7"}


async def shown(client: httpx2.AsyncClient, user_id: int = 1) -> list[dict[str, str]]:
    headers = {"Authorization": f"Bearer demo-user-{user_id}"}
    response = await client.get("/inbox", headers=headers)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    pushes: list[dict[str, str]] = response.json()["pushes"]
    return pushes


async def test_a_push_is_shown_to_its_member_alone(client: httpx2.AsyncClient) -> None:
    response = await client.post("/inbox/demo-inbox-1", json=PUSH)
    assert response.status_code == 204
    [push] = await shown(client)
    assert (push["title"], push["body"], push["event_id"]) == ("Soon", "In an hour", "7")
    for user_id in (2, 3, 9):
        assert await shown(client, user_id) == []


async def test_a_push_that_comes_twice_is_shown_once(client: httpx2.AsyncClient) -> None:
    for key in ("a", "b", "a"):
        await client.post(
            "/inbox/demo-inbox-1", json={**PUSH, "title": key}, headers={"Idempotency-Key": key}
        )
    assert [push["title"] for push in await shown(client)] == ["b", "a"]


async def test_only_the_last_pushes_are_shown(client: httpx2.AsyncClient) -> None:
    for number in range(105):
        await client.post("/inbox/demo-inbox-1", json={**PUSH, "title": str(number)})
    assert [push["title"] for push in await shown(client)] == [str(n) for n in range(104, 4, -1)]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/inbox/demo-user-1", b"{}", 404),
        ("/inbox/nobody", b"{}", 404),
        ("/inbox/demo-inbox-1", b"", 400),
        ("/inbox/demo-inbox-1", b"{", 400),
        ("/inbox/demo-inbox-1", b"\xff", 400),
        ("/inbox/demo-inbox-1", b"[" * 10_000, 400),
        ("/inbox/demo-inbox-1", b"[]", 422),
        ("/inbox/demo-inbox-1", b'{"title": 1}', 422),
        ("/inbox/demo-inbox-1", b" " * 20_000, 413),
    ],
)
async def test_what_is_no_push_is_refused(
    client: httpx2.AsyncClient, path: str, body: bytes, status: int
) -> None:
    response = await client.post(path, content=body)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert await shown(client) == []


async def test_an_inbox_is_shown_to_members_alone(client: httpx2.AsyncClient) -> None:
    nobody = await client.get("/inbox")
    assert nobody.status_code == 401
    assert nobody.headers["WWW-Authenticate"] == "Bearer"
    company = {"Authorization": "Bearer demo-company-67890"}
    assert (await client.get("/inbox", headers=company)).status_code == 403
