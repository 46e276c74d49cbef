"""Addresses are hostile until they have been read."""

import socket
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calevents.adapters.apprise import (
    FORBIDDEN_QUERY_KEYS,
    QUERY_KEYS,
    SCHEMAS,
    AppriseNotifier,
)
from calevents.adapters.apprise.addresses import Addresses, AddressRefused, Target
from calevents.notification import Outcome
from tests.apprise.pushes import push
from tests.apprise.sinks import Sink, answers


def reader(
    schemas: frozenset[str] = SCHEMAS, query_keys: frozenset[str] = QUERY_KEYS
) -> Callable[[str | None], Target]:
    addresses = Addresses(schemas=schemas, query_keys=query_keys, app_id="calevents")
    return lambda address: addresses.read(address, {}, {})


READ = reader()

MALICIOUS_QUERIES = [
    "optional=yes",
    "retry=9",
    "retry=0",
    "wait=3600",
    "rto=inf",
    "rto=nan",
    "rto=1e9",
    "rto=1",
    "cto=inf",
    "cto=1",
    "redirect=yes",
    "verify=no",
    "template=/etc/passwd",
    "keyfile=/etc/passwd",
    "subfile=/etc/passwd",
    "attach=file:///etc/passwd",
    "store=yes",
    "tag=a",
    "overflow=split",
    "format=html",
    "emojis=yes",
    "tz=UTC",
    "method=DELETE",
    "user=root",
    "pass=x",
    "password=x",
    "port=22",
    "host=localhost",
    "schema=file",
    "to=other",
    "+Host=internal",
    "+Authorization=Bearer%20x",
    "-page=2",
    ":message=other",
    # other ways of writing the same
    "OPTIONAL=yes",
    "%6fptional=yes",
    "optional%20=yes",
    "%20optional=yes",
    "optional",
    "optional=",
    "priority=high&optional=yes",
    "priority=high;optional=yes",
    "priority=high&&retry=9",
    "&",
    "=",
    "?optional=yes",
]


@pytest.mark.parametrize("query", MALICIOUS_QUERIES)
@pytest.mark.parametrize("schema", ["json", "ntfy"])
def test_a_query_key_that_is_not_listed_is_refused(query: str, schema: str) -> None:
    with pytest.raises(AddressRefused, match="query"):
        READ(f"{schema}://127.0.0.1/topic?{query}")


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "json",
        "json:",
        "json:/",
        "json://",
        "json:///",
        "json:/127.0.0.1",
        "://127.0.0.1",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "http://127.0.0.1/",
        "https://ntfy.sh/topic",
        "https://api.telegram.org/bot123/sendMessage",
        "syslog://localhost",
        "dbus://",
        "windows://",
        "apprise://127.0.0.1/token",
        "mailto://user:pass@example.com",
        "form://127.0.0.1/",
        "schan://x",
        " json://127.0.0.1/",
        "json://127.0.0.1/ ",
        "json://127.0.0.1/\r\nX-Evil: 1",
        "json://127.0.0.1/\x00",
        "json://exämple.com/",
        "json://127.0.0.1/\u212a",
        "json://127.0.0.1/ json://127.0.0.2/",
        "json://127.0.0.1:99999999/",
        "json://127.0.0.1/" + "a" * 2048,
        "ntfy://127.0.0.1/topic/another",
        "ntfy://127.0.0.1/topic,another",
    ],
)
def test_an_address_that_is_none_of_ours_is_refused(address: str | None) -> None:
    with pytest.raises(AddressRefused) as refusal:
        READ(address)
    # Only words of ours, none of the address's.
    assert "127.0.0" not in str(refusal.value)


@pytest.mark.parametrize("query", ["optional=yes", "retry=9", "rto=inf", "redirect=yes"])
async def test_a_refused_address_is_rejected_and_not_called(query: str) -> None:
    with Sink(answers()) as sink:
        result = await push(f"json://{sink.host}/?{query}")
    assert result.outcome is Outcome.REJECTED
    assert not sink.requests


async def test_no_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    for query in ("template", "keyfile", "subfile", "attach"):
        with Sink(answers()) as sink:
            result = await push(f"json://{sink.host}/?{query}={secret}")
        assert result.outcome is Outcome.REJECTED
        assert not sink.requests


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("json://127.0.0.1:8080/hook", ("json", "127.0.0.1", "8080")),
        ("JSON://User:Pass@Example.COM/hook", ("json", "example.com", "")),
        ("jsons://example.com/hook", ("jsons", "example.com", "")),
        ("ntfys://push.example.com/topic", ("ntfys", "push.example.com", "")),
        (
            "ntfys://push.example.com/topic?priority=high&image=no",
            ("ntfys", "push.example.com", ""),
        ),
        ("gotify://example.com/T0ken1234567890", ("gotify", "example.com", "")),
        # The provider's host is in the plugin; the token is no host.
        ("pover://" + "u" * 30 + "@" + "a" * 30, ("pover",)),
        ("prowl://" + "a" * 40, ("prowl",)),
        ("pbul://" + "a" * 34, ("pbul",)),
        ("pushy://key/device", ("pushy",)),
    ],
)
def test_what_fails_together_is_told_by_the_address(address: str, host: tuple[str, ...]) -> None:
    target = READ(address)
    assert target.host == host
    assert not target.plugin.redirects
    assert not target.plugin.optional
    assert target.plugin.retry == 0
    assert len(target.plugin) == 1


def test_names_for_logs_tell_addresses_apart_and_hold_nothing_of_them() -> None:
    one, same, other = (
        READ(f"json://127.0.0.1/{path}").name for path in ("token", "token", "other")
    )
    assert one == same != other
    assert one.startswith("json://#")
    assert "token" not in repr(READ("json://127.0.0.1/token"))


def test_keys_can_be_listed_in_any_case_and_with_their_prefix() -> None:
    read = reader(query_keys=frozenset({"Method", "+X-Room"}))
    read("json://127.0.0.1/?method=PUT&+x-room=5")
    with pytest.raises(AddressRefused):
        read("json://127.0.0.1/?x-room=5")


def test_certificates_are_checked_even_where_the_key_is_listed() -> None:
    read = reader(query_keys=frozenset({"verify"}))
    read("jsons://127.0.0.1/?verify=yes")
    with pytest.raises(AddressRefused):
        read("jsons://127.0.0.1/?verify=no")


@pytest.mark.parametrize("key", sorted(FORBIDDEN_QUERY_KEYS))
def test_a_forbidden_key_cannot_be_listed(key: str) -> None:
    with pytest.raises(ValueError, match=key):
        AppriseNotifier(query_keys={"priority", key.upper()})


def test_a_schema_that_apprise_does_not_have_cannot_be_listed() -> None:
    with pytest.raises(ValueError, match="nonesuch"):
        AppriseNotifier(schemas={"json", "nonesuch"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 0) for name in ("threads", "calls_per_host", "failures", "claim_size")),
        *((name, 0.0) for name in ("deadline", "pause")),
        *((name, -1.0) for name in ("deadline", "pause")),
        *((name, float("inf")) for name in ("deadline", "pause")),
        *((name, float("nan")) for name in ("deadline", "pause")),
    ],
)
def test_an_argument_out_of_range_is_named(name: str, value: float) -> None:
    arguments: dict[str, float] = {name: value}
    with pytest.raises(ValueError, match=name):
        AppriseNotifier(**arguments)  # type: ignore[arg-type]  # that's the point


URLISH = st.text(alphabet=string.ascii_letters + string.digits + ":/@?&=%#;+-.,[]~ ", max_size=60)


@given(
    st.one_of(
        st.text(max_size=60),
        st.builds("{}://{}".format, st.sampled_from(sorted(SCHEMAS)), URLISH),
        st.builds("{}://127.0.0.1/t?{}".format, st.sampled_from(sorted(SCHEMAS)), URLISH),
    )
)
def test_whatever_it_says_an_address_is_refused_or_harmless(address: str) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", no_network)
        patch.setattr(socket.socket, "connect", no_network)
        try:
            target = READ(address)
        except AddressRefused:
            return
    plugin = target.plugin
    assert target.host[0] in SCHEMAS
    assert (plugin.retry, plugin.optional, plugin.redirects) == (0, False, False)
    assert plugin.verify_certificate
    assert len(plugin) == 1
    assert plugin.request_timeout == (4.0, 4.0)
