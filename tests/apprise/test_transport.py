"""A call that is cut sends nothing any more, leaves no thread behind, and says what is known."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import requests

from calevents.adapters.apprise.transport import Call, watch_requests
from calevents.notification import Outcome, Result
from tests.apprise.sinks import (
    CERTIFICATE,
    PATIENCE,
    Behaviour,
    Sink,
    answers,
    drips_its_body,
    drips_its_head,
    tarpit,
)

SENT = Result(Outcome.UNCERTAIN, detail="no answer after the request had been sent")
NOT_SENT = Result(Outcome.TRANSIENT, detail="no connection")


@contextmanager
def calling(url: str, call: Call) -> Iterator[threading.Thread]:
    """A thread that posts as a plugin does: with time-outs of its own, and all errors caught."""
    watch_requests()

    def run() -> None:
        with call.carried():
            try:
                requests.post(url, data="text", timeout=(PATIENCE, PATIENCE))
            except requests.RequestException:
                return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def a_call(seconds: float = 1000.0) -> Call:
    return Call(seconds=seconds, allow_private_hosts=True)


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def tls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
    return bool(request.param)


@pytest.mark.parametrize("behaviour", [tarpit, drips_its_head])
def test_cut_without_an_answer(behaviour: Behaviour, tls: bool) -> None:
    call = a_call()
    with Sink(behaviour, tls=tls) as sink:
        scheme = "https" if tls else "http"
        with calling(f"{scheme}://{sink.host}/", call) as thread:
            sink.arrived.get(timeout=PATIENCE)
            assert call.cut() == SENT
            thread.join(PATIENCE)
            assert not thread.is_alive()
        # Of a head that was broken off, the status may have been read.
        assert call.result(accepted=False).outcome is Outcome.UNCERTAIN


def test_cut_while_the_body_drips(tls: bool) -> None:
    call = a_call()
    with Sink(drips_its_body, tls=tls) as sink:
        scheme = "https" if tls else "http"
        with calling(f"{scheme}://{sink.host}/", call) as thread:
            sink.arrived.get(timeout=PATIENCE)
            # Before or after the head was read: either way nobody knows.
            assert call.cut().outcome is Outcome.UNCERTAIN
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert sink.broken.get(timeout=PATIENCE)


def test_cut_in_the_handshake_nothing_was_sent() -> None:
    call = a_call()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE)
        with calling(f"https://127.0.0.1:{silent.getsockname()[1]}/", call):
            connection, _ = silent.accept()
            connection.settimeout(PATIENCE)
            with connection:
                assert connection.recv(1)
                assert call.cut() == NOT_SENT


def test_cut_before_it_began() -> None:
    call = a_call()
    assert call.cut().outcome is Outcome.UNCERTAIN
    with Sink(answers()) as sink:
        with calling(f"http://{sink.host}/", call):
            pass
        assert not sink.requests
    assert call.result(accepted=False) == NOT_SENT


def test_cut_between_connecting_and_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    call = a_call()
    connect = call.connect

    def cut_then(host: str, port: int, options: object, *, proxy: bool) -> socket.socket:
        connection = connect(host, port, options, proxy=proxy)
        assert call.cut() == NOT_SENT
        return connection

    monkeypatch.setattr(call, "connect", cut_then)
    with Sink(answers()) as sink:
        with calling(f"http://{sink.host}/", call):
            pass
        assert not sink.requests
    assert call.result(accepted=False) == NOT_SENT


def test_a_connection_that_comes_too_late_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    call = a_call()
    original = socket.getaddrinfo

    def cut_then(*args: object, **kwargs: object) -> object:
        call.cut()
        return original(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they come

    monkeypatch.setattr(socket, "getaddrinfo", cut_then)
    with Sink(answers()) as sink:
        with calling(f"http://{sink.host}/", call):
            pass
        assert not sink.requests
    assert call.result(accepted=False) == NOT_SENT


def test_a_call_whose_time_is_over_sends_nothing() -> None:
    call = a_call(seconds=-1)
    with Sink(answers()) as sink:
        with calling(f"http://{sink.host}/", call):
            pass
        assert not sink.requests
    assert call.result(accepted=False) == NOT_SENT


def carried(call: Call, *posts: Callable[[], requests.Response]) -> None:
    watch_requests()
    with call.carried():
        for post in posts:
            try:
                post()
            except requests.RequestException:
                continue


def test_the_last_answer_of_several_decides() -> None:
    call = a_call()
    with Sink(answers(200), answers(404)) as sink:
        post = partial(requests.post, f"http://{sink.host}/", timeout=PATIENCE)
        carried(call, post, post)
    assert call.result(accepted=False) == Result(Outcome.REJECTED, detail="HTTP 404")


def test_one_that_had_no_answer_is_not_forgotten() -> None:
    call = a_call()
    with Sink(lambda sink, connection: connection.close(), answers(404)) as sink:
        post = partial(requests.post, f"http://{sink.host}/", timeout=PATIENCE)
        carried(call, post, post)
    assert call.result(accepted=False) == SENT


def test_a_login_before_a_connection_that_fails_is_no_push() -> None:
    call = a_call()
    with Sink(answers(200)) as sink:
        carried(
            call,
            partial(requests.post, f"http://{sink.host}/login", timeout=PATIENCE),
            partial(requests.post, "http://nowhere.invalid.:1/", timeout=PATIENCE),
        )
    assert call.result(accepted=False) == NOT_SENT


def test_a_failure_without_a_request_is_uncertain() -> None:
    assert a_call().result(accepted=False).outcome is Outcome.UNCERTAIN


def test_success_is_the_plugin_s_word() -> None:
    assert a_call().result(accepted=True) == Result(Outcome.ACCEPTED)


def test_redirects_are_answers_even_to_those_who_follow() -> None:
    call = a_call()
    with (
        Sink(answers()) as target,
        Sink(answers(307, location=f"http://{target.host}/")) as sink,
    ):
        carried(
            call,
            partial(requests.post, f"http://{sink.host}/", timeout=PATIENCE, allow_redirects=True),
        )
        assert not target.requests
    assert call.status == 307


def test_a_socks_proxy_cannot_be_watched_so_nothing_is_known() -> None:
    call = a_call()
    carried(
        call,
        partial(
            requests.post,
            "http://sink.example/",
            timeout=PATIENCE,
            proxies={"http": "socks5://127.0.0.1:1"},
        ),
    )
    assert call.result(accepted=False).outcome is Outcome.UNCERTAIN


def test_requests_outside_a_call_are_not_touched() -> None:
    watch_requests()
    watch_requests()
    with (
        Sink(answers(200, b"there")) as target,
        Sink(answers(307, location=f"http://{target.host}/")) as sink,
    ):
        response = requests.post(f"http://{sink.host}/", timeout=PATIENCE)
    assert response.content == b"there"
    assert response.history[0].headers["Location"] == f"http://{target.host}/"
