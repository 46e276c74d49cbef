"""No log of anybody's holds a word of an address."""

import asyncio
import logging

import apprise
import pytest
import requests

from calevents.notification import Outcome
from tests.apprise.pushes import EVENT, delivery, notifier
from tests.apprise.sinks import (
    PATIENCE,
    Behaviour,
    Sink,
    answers,
    breaks_off,
    refusing_port,
    resets,
)

SECRET = "s3cr3tT0ken"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that any logger has to say."""
    caplog.set_level(1)
    for name in ("apprise", "urllib3", "requests", "calevents", "asyncio", "charset_normalizer"):
        caplog.set_level(1, name)
    return caplog


def said(log: pytest.LogCaptureFixture) -> str:
    formatter = logging.Formatter("%(name)s %(message)s")
    return "\n".join(f"{formatter.format(record)} {record.__dict__}" for record in log.records)


def addresses(host: str) -> list[str]:
    return [
        f"json://{SECRET}@{host}/",
        f"json://user:{SECRET}@{host}/hook",
        f"json://{host}/{SECRET}",
        f"json://{host}/?+Authorization=Bearer%20{SECRET}",
        f"json://{host}/?-token={SECRET}",
        f"json://{host}/?:token={SECRET}",
        f"gotify://{host}/{SECRET}12345",
        f"ntfy://{host}/{SECRET}",
        f"ntfy://tk_{SECRET}@{host}/topic",
        # refused
        f"json://{host}/{SECRET}?optional=yes",
        f"json://{host}/?template={SECRET}",
        f"json://{host}:99999999/{SECRET}",
        f"nonesuch://{SECRET}",
        f"https://ntfy.sh/{SECRET}",
        f"ntfy://{host}/{SECRET}/another",
        f"{SECRET}",
        f"json://{SECRET} {host}/",
    ]


KEYS = {"+authorization", "-token", ":token"}


@pytest.mark.parametrize(
    "behaviour",
    [
        answers(),
        answers(500, f"wrong token {SECRET}".encode(), x_token=SECRET),
        answers(302, location=f"http://example.com/{SECRET}"),
        answers(429, retry_after=SECRET),
        resets,
        breaks_off,
        # urllib3 warns of headers like these, and names the URL
        answers(200, b"", **{"Broken Header": SECRET}),
    ],
    ids=["accepts", "fails", "redirects", "limits", "resets", "breaks off", "breaks its head"],
)
async def test_neither_ours_nor_apprise_s_nor_urllib3_s(
    behaviour: Behaviour, log: pytest.LogCaptureFixture
) -> None:
    with Sink(behaviour) as sink:
        async with notifier(query_keys=KEYS, failures=1000) as pushes:
            results = await pushes.send(
                EVENT,
                [delivery(address, n) for n, address in enumerate(addresses(sink.host))],
            )
        assert len(sink.requests) == 9
    text = said(log)
    assert SECRET not in text
    assert sink.host not in text
    assert "json://#" in text
    for result in results:
        assert SECRET not in repr(result)


async def test_nor_when_there_is_no_connection_and_the_breaker_opens(
    log: pytest.LogCaptureFixture,
) -> None:
    with refusing_port() as port:
        async with notifier(query_keys=KEYS, failures=1) as pushes:
            for n, address in enumerate(addresses(f"127.0.0.1:{port}")):
                (result,) = await pushes.send(EVENT, [delivery(address, n)])
                assert result.outcome in (Outcome.TRANSIENT, Outcome.REJECTED)
                assert SECRET not in repr(result)
    text = said(log)
    assert "pausing its deliveries" in text
    assert SECRET not in text
    assert str(port) not in text


async def test_a_delivery_does_not_show_its_address(log: pytest.LogCaptureFixture) -> None:
    assert SECRET not in repr(delivery(f"json://{SECRET}/"))


async def test_what_the_host_itself_does_with_these_libraries_is_logged_as_ever(
    log: pytest.LogCaptureFixture,
) -> None:
    with Sink(answers()) as sink:
        async with notifier() as pushes:
            await pushes.send(EVENT, [delivery(f"json://{sink.host}/ours")])
        await asyncio.to_thread(requests.post, f"http://{sink.host}/theirs", timeout=PATIENCE)
        assert await asyncio.to_thread(apprise.Apprise(f"json://{sink.host}/theirs").notify, "text")
    names = [record.name for record in log.records]
    assert "urllib3.connectionpool" in names
    assert "apprise" in names
    assert "/theirs" in said(log)
    assert "/ours" not in said(log)
