"""What a notifier makes of what servers do."""

import email.utils
import json
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import parse_qs

import pytest

from calevents.notification import Outcome, Result
from calevents.ports import Notifier
from tests.apprise.pushes import EVENT, delivery, notifier, push
from tests.apprise.sinks import (
    CERTIFICATE,
    PATIENCE,
    Behaviour,
    Sink,
    answers,
    babbles,
    breaks_off,
    floods,
    refusing_port,
    resets,
    tarpit,
)


def test_it_is_a_notifier() -> None:
    port: Notifier = notifier(claim_size=3)
    assert port.claim_size == 3
    assert notifier().claim_size == 8


async def test_a_webhook_gets_the_message_the_event_and_the_key() -> None:
    with Sink(answers(204)) as sink:
        result = await push(f"json://user:pass@{sink.host}/hook")
    assert result == Result(Outcome.ACCEPTED)
    (request,) = sink.requests
    assert request.path == "/hook"
    assert request.headers["idempotency-key"] == "key-7"
    assert request.headers["authorization"] == "Basic dXNlcjpwYXNz"
    assert request.headers["user-agent"] == "calevents"
    assert json.loads(request.body) == {
        "version": "1.0",
        "title": "Launch & <more>",
        "message": "Starts in 20 minutes — *now*",
        "attachments": [],
        "type": "info",
        "idempotency_key": "key-7",
        "company_id": "67890",
        "event_id": "12345",
        "recipient_id": "7",
        "start": "2025-06-15T18:00:00Z",
        "url": "https://example.com/launch",
    }


async def test_forms_and_xml_get_them_too() -> None:
    with Sink(answers()) as sink:
        for schema in ("form", "xml"):
            result = await push(f"{schema}://{sink.host}/", schemas={schema})
            assert result.outcome is Outcome.ACCEPTED
    form, xml = sink.requests
    assert form.headers["idempotency-key"] == xml.headers["idempotency-key"] == "key-7"
    assert parse_qs(form.body.decode())["event_id"] == ["12345"]
    assert b"<idempotency_key>key-7</idempotency_key>" in xml.body


async def test_a_service_that_cannot_carry_them_gets_the_message() -> None:
    with Sink(answers(200, b"{}")) as sink:
        result = await push(f"gotify://{sink.host}/T0ken1234567890")
    assert result.outcome is Outcome.ACCEPTED
    assert json.loads(sink.requests[0].body)["title"] == "Launch & <more>"


async def test_an_address_cannot_replace_the_key_or_the_event() -> None:
    with Sink(answers()) as sink:
        address = f"json://{sink.host}/?+idempotency-KEY=theirs&:event_id=1&:room=5&+X-Mine=yes"
        keys = {"+Idempotency-Key", ":event_id", ":room", "+x-mine"}
        result = await push(address, query_keys=keys)
    assert result.outcome is Outcome.ACCEPTED
    (request,) = sink.requests
    assert request.headers["idempotency-key"] == "key-7"
    assert request.headers["x-mine"] == "yes"
    body = json.loads(request.body)
    assert (body["event_id"], body["room"]) == ("12345", "5")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((status, Outcome.ACCEPTED) for status in (200, 201, 202, 204, 299)),
        *((status, Outcome.REJECTED) for status in (300, 301, 302, 303, 304, 307, 308)),
        *((status, Outcome.REJECTED) for status in (400, 401, 403, 404, 410, 413, 422, 499)),
        *((status, Outcome.TRANSIENT) for status in (407, 408, 425, 429)),
        *((status, Outcome.TRANSIENT) for status in (500, 501, 503, 507, 521, 599)),
        *((status, Outcome.UNCERTAIN) for status in (409, 502, 504, 520, 524, 600)),
    ],
)
async def test_a_status_decides(status: int, outcome: Outcome) -> None:
    with Sink(answers(status)) as sink:
        result = await push(f"json://{sink.host}/")
    assert result.outcome is outcome
    if outcome is not Outcome.ACCEPTED:
        assert str(status) in (result.detail or "")
    assert len(sink.requests) == 1


@pytest.mark.parametrize("status", [429, 503, 500])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("120", 120.0),
        ("999999999", 86_400.0),
        ("9" * 5000, 86_400.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("١٢", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
async def test_retry_after_is_read(status: int, value: str, seconds: float | None) -> None:
    raw = value.encode().decode("latin-1")
    with Sink(answers(status, retry_after=raw)) as sink:
        result = await push(f"json://{sink.host}/")
    assert result == Result(Outcome.TRANSIENT, seconds, f"HTTP {status}")


async def test_retry_after_as_a_date_is_the_time_until_then() -> None:
    date = email.utils.format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    with Sink(answers(503, retry_after=date)) as sink:
        result = await push(f"json://{sink.host}/")
    assert result.retry_after is not None
    assert 0 < result.retry_after <= 3600


async def test_a_failure_is_not_tried_again_here_and_the_next_attempt_has_the_same_key() -> None:
    with Sink(answers(500), answers(200)) as sink:
        async with notifier() as apprise:
            address = f"json://{sink.host}/"
            (first,) = await apprise.send(EVENT, [delivery(address, attempt=1)])
            assert len(sink.requests) == 1
            (second,) = await apprise.send(EVENT, [delivery(address, attempt=2)])
    assert (first.outcome, second.outcome) == (Outcome.TRANSIENT, Outcome.ACCEPTED)
    assert [request.headers["idempotency-key"] for request in sink.requests] == ["key-7"] * 2


async def test_results_come_in_the_order_of_the_deliveries() -> None:
    with Sink(tarpit) as slow, Sink(answers(404)) as gone, Sink(answers(503)) as busy:

        def releases(sink: Sink, connection: socket.socket) -> None:
            answers()(sink, connection)
            slow.released.set()

        with Sink(releases) as quick:
            async with notifier() as apprise:
                sinks = [slow, gone, busy, quick]
                results = await apprise.send(
                    EVENT,
                    [
                        *(delivery(f"json://{sink.host}/", n) for n, sink in enumerate(sinks)),
                        delivery(None, 4),
                    ],
                )
    assert [result.outcome for result in results] == [
        Outcome.ACCEPTED,
        Outcome.REJECTED,
        Outcome.TRANSIENT,
        Outcome.ACCEPTED,
        Outcome.REJECTED,
    ]


async def test_no_deliveries_no_results() -> None:
    async with notifier() as apprise:
        assert list(await apprise.send(EVENT, [])) == []


async def test_at_the_deadline_a_call_is_uncertain() -> None:
    with Sink(tarpit) as sink:
        result = await push(f"json://{sink.host}/", deadline=2.0)
    assert result.outcome is Outcome.UNCERTAIN
    assert len(sink.requests) == 1


@pytest.mark.parametrize("behaviour", [resets, breaks_off, babbles])
async def test_without_a_whole_answer_a_call_is_uncertain(behaviour: Behaviour) -> None:
    with Sink(behaviour) as sink:
        result = await push(f"json://{sink.host}/")
    assert result.outcome is Outcome.UNCERTAIN
    assert len(sink.requests) == 1


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    with Sink(floods) as sink:
        result = await push(f"json://{sink.host}/")
        assert result.outcome is Outcome.ACCEPTED
        assert sink.broken.get(timeout=PATIENCE)


async def test_a_redirect_is_not_followed() -> None:
    with Sink(answers()) as target, Sink(answers(307, location=f"http://{target.host}/")) as sink:
        result = await push(f"json://{sink.host}/")
    assert result.outcome is Outcome.REJECTED
    assert (len(sink.requests), len(target.requests)) == (1, 0)


async def test_without_a_connection_a_call_is_transient() -> None:
    with refusing_port() as port:
        result = await push(f"json://127.0.0.1:{port}/")
    assert result == Result(Outcome.TRANSIENT, detail="no connection")


# Hosts


def resolving(addresses: dict[str, list[str]]) -> Callable[..., list[Any]]:
    """A stand-in for ``socket.getaddrinfo`` that knows these names, and IP addresses."""
    original = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        if host[0].isdigit() or ":" in host:
            return original(host, port, *args, **kwargs)
        if host not in addresses:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [
            info for address in addresses[host] for info in original(address, port, *args, **kwargs)
        ]

    return getaddrinfo


async def test_a_name_without_address_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving({"empty.example": []}))
    for name in ("nowhere.example", "empty.example"):
        result = await push(f"json://{name}/")
        assert result.outcome is Outcome.TRANSIENT


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        str(IPv4Address(0)),
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
    ],
)
async def test_private_addresses_are_refused_before_a_connection(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving({"sink.example": [address]}))

    def connect(*_: object) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(socket.socket, "connect", connect)
    result = await push("json://sink.example/", allow_private_hosts=False)
    assert result.outcome is Outcome.REJECTED
    assert "private" in (result.detail or "")


async def test_by_default_the_loopback_is_refused() -> None:
    with Sink(answers()) as sink:
        result = await push(f"json://{sink.host}/", allow_private_hosts=False)
    assert result.outcome is Outcome.REJECTED
    assert not sink.requests


async def test_a_name_is_looked_up_once_and_that_address_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up = []
    with Sink(answers()) as sink:
        resolve = resolving({"sink.example": ["127.0.0.1"]})

        def getaddrinfo(host: str, *args: Any, **kwargs: Any) -> list[Any]:
            looked_up.append(host)
            return resolve(host, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        result = await push(f"json://sink.example:{sink.port}/")
    assert result.outcome is Outcome.ACCEPTED
    assert looked_up.count("sink.example") == 1
    assert sink.requests[0].headers["host"] == f"sink.example:{sink.port}"


async def test_of_several_addresses_one_that_answers_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Sink(answers()) as sink:
        # Where the sink isn't.
        addresses = ["127.0.0.9", "127.0.0.10", "127.0.0.1"]
        monkeypatch.setattr(socket, "getaddrinfo", resolving({"sink.example": addresses}))
        result = await push(f"json://sink.example:{sink.port}/")
    assert result.outcome is Outcome.ACCEPTED


async def test_allowed_hosts_decides_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def allowed(host: str) -> bool:
        asked.append(host)
        return host.endswith(".good.example")

    names = {"push.good.example": ["127.0.0.1"], "bad.example": ["127.0.0.1"]}
    monkeypatch.setattr(socket, "getaddrinfo", resolving(names))
    with Sink(answers()) as sink:
        good = await push(f"json://push.good.example:{sink.port}/", allowed_hosts=allowed)
        bad = await push(f"json://bad.example:{sink.port}/", allowed_hosts=allowed)
    assert (good.outcome, bad.outcome) == (Outcome.ACCEPTED, Outcome.REJECTED)
    assert asked == ["push.good.example", "bad.example"]
    assert len(sink.requests) == 1


# TLS


async def test_tls_with_a_certificate_that_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
    with Sink(answers(), tls=True) as sink:
        result = await push(f"jsons://{sink.host}/")
    assert result.outcome is Outcome.ACCEPTED


async def test_tls_with_one_that_is_not() -> None:
    with Sink(answers(), tls=True) as sink:
        result = await push(f"jsons://{sink.host}/")
    assert result == Result(Outcome.TRANSIENT, detail="no connection")
    assert not sink.requests


def test_the_certificate_is_what_the_sinks_need() -> None:
    assert ssl.create_default_context(cafile=CERTIFICATE).get_ca_certs()


# Proxies


async def test_a_proxy_of_the_environment_is_used_and_its_own_address_may_be_private(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Sink(answers()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.host}")
        monkeypatch.setenv("http_proxy", f"http://{proxy.host}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        result = await push("json://sink.example/hook", allow_private_hosts=False)
    assert result.outcome is Outcome.ACCEPTED
    assert proxy.requests[0].path == "http://sink.example/hook"
