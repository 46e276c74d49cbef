"""The demo in a process of its own, looked at by a real browser."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect

from tests.example.running import DEMO, Demo

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")

# The page looks for news every few seconds, on machines that are busy with other tests.
expect.set_options(timeout=30_000)

OpenPage = Callable[..., Awaitable[Page]]


def chromium() -> str:
    """The browser's path: ``CALEVENTS_TEST_CHROMIUM``, or what the system has."""
    chosen = os.environ.get("CALEVENTS_TEST_CHROMIUM")
    if chosen is not None:
        if shutil.which(chosen) is None:
            pytest.fail(f"CALEVENTS_TEST_CHROMIUM={chosen} is no program")
        return chosen
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(
            "NO BROWSER, SO THE PAGE IS NOT TESTED: install chromium (apt-get install chromium),"
            " or name one by CALEVENTS_TEST_CHROMIUM"
        )
    return found


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests; each test has a profile of its own."""
    path = chromium()
    if not (DEMO / "node_modules" / "fullcalendar").is_dir():
        pytest.fail("the front end's packages are not installed: make test installs them")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture(scope="module")
def seeded(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo that has filled itself; tests leave it as it is."""
    file = tmp_path_factory.mktemp("seeded") / "demo.db"
    with Demo(f"sqlite:///{file}", seed=True) as demo:
        demo.read_until("The calendar is filled")
        yield demo


@pytest.fixture(scope="module")
def unseeded(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo that started empty."""
    file = tmp_path_factory.mktemp("unseeded") / "demo.db"
    with Demo(f"sqlite:///{file}", seed=False) as demo:
        yield demo


@pytest.fixture
def empty(unseeded: Demo) -> Demo:
    """A demo without events; its inboxes may hold pushes of other tests."""
    for token in ("demo-company-67890", "demo-company-11111", "demo-user-1", "demo-user-2"):
        path = f"/api/{'company' if 'company' in token else 'user'}/crm/v202506/events"
        for event in unseeded.events(token):
            assert unseeded.send("DELETE", f"{path}/{event['id']}", token).status_code == 204
    return unseeded


@pytest.fixture
def fresh(browser: Browser, tmp_path: Path) -> Iterator[Demo]:
    """A demo without events whose inboxes are empty, too."""
    with Demo(f"sqlite:///{tmp_path / 'demo.db'}", seed=False) as demo:
        yield demo


class Watch:
    """What a page must not do: fail, or call anybody but its host."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.expected: list[str] = []
        """Parts of console messages that a test provokes."""

    def attach(self, page: Page, address: str) -> None:
        def hear(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                self.faults.append(f"console: {message.text}")

        def see(request: Request) -> None:
            if not request.url.startswith(f"{address}/"):
                self.faults.append(f"request: {request.url}")

        page.on("console", hear)
        page.on("request", see)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))

    def check(self) -> None:
        unexpected = [
            fault for fault in self.faults if not any(part in fault for part in self.expected)
        ]
        assert unexpected == []


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    yield watch
    watch.check()


@pytest.fixture
async def open_page(browser: Browser, watch: Watch) -> AsyncIterator[OpenPage]:
    """``await open_page(demo, "demo-user-1")``: the page as this viewer sees it."""
    contexts = []

    async def open_page(
        demo: Demo, token: str, *, width: int = 1280, height: int = 900, zone: str = "Asia/Tokyo"
    ) -> Page:
        # The machine's own zone must not matter.
        context = await browser.new_context(
            viewport={"width": width, "height": height}, timezone_id=zone, locale="en-US"
        )
        contexts.append(context)
        page = await context.new_page()
        watch.attach(page, demo.address)
        await page.goto(f"{demo.address}/#{token}")
        await page.locator("#agenda li").first.wait_for()
        await page.locator("#calendar [role=grid], #calendar table, .tool").first.wait_for()
        return page

    yield open_page
    for context in contexts:
        await context.close()


@pytest.fixture
def picture() -> Path | None:
    """Where the README's picture goes, if it is to be taken: ``CALEVENTS_TEST_PICTURE=1``."""
    if os.environ.get("CALEVENTS_TEST_PICTURE") != "1":
        return None
    return Path(__file__).resolve().parents[2] / "docs" / "images" / "page.png"
