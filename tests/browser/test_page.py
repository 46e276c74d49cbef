"""The page, as people use it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import OpenPage, Watch
from tests.example.running import Demo

NORTHWIND = "demo-company-67890"
STATUSES = ("STARTING SOON", "IN PROGRESS", "CONCLUDED")
REFUSED = "status of 422"
FAR_AWAY = ("Pacific/Auckland", "Pacific/Pago_Pago")


def soon(**fields: Any) -> dict[str, Any]:
    """An event that starts in half an hour."""
    start = datetime.now(UTC) + timedelta(minutes=30)
    end = start + timedelta(hours=1)
    return {"title": "Soon", "start": start.isoformat(), "end": end.isoformat(), **fields}


def agenda(page: Page, title: str) -> Any:
    """The entries of what is on now and next with this title."""
    return page.locator("#agenda li").filter(has=page.get_by_text(title, exact=True))


async def view_as(page: Page, label: str) -> None:
    await page.get_by_label("Viewing as").select_option(label=label)


async def fill_in(page: Page, **fields: str) -> None:
    """Open the form and fill these fields, by their labels."""
    await page.get_by_role("button", name="New event").click()
    for label, value in fields.items():
        await page.get_by_role("dialog").get_by_label(label.replace("_", " ")).fill(value)


async def test_every_status_is_on_screen(
    seeded: Demo, open_page: OpenPage, picture: Path | None
) -> None:
    page = await open_page(seeded, "demo-user-1")
    for title, status in (
        ("Winter collection launch", "STARTING SOON"),
        ("Product training", "IN PROGRESS"),
        ("Leadership breakfast", "CONCLUDED"),
    ):
        await expect(agenda(page, title)).to_contain_text(status)
    for status in STATUSES[:2]:
        await expect(page.locator("#calendar .badge", has_text=status).first).to_be_visible()
    await expect(page.locator("#inbox")).to_contain_text("Winter collection launch")
    if picture is not None:
        await page.locator(".thumb").first.wait_for()
        picture.parent.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=picture)


async def test_events_have_their_colour_and_images(seeded: Demo, open_page: OpenPage) -> None:
    page = await open_page(seeded, "demo-user-1")
    launch = agenda(page, "Winter collection launch")
    border = await page.locator(".chip", has_text="Winter").first.evaluate(
        "chip => getComputedStyle(chip).borderLeftColor"
    )
    assert border == "rgb(228, 87, 46)"
    await launch.get_by_role("button").click()
    images = page.locator("#details img")
    await expect(images).to_have_count(2)
    for index in range(2):
        image = images.nth(index)
        await image.scroll_into_view_if_needed()
        await expect(image).to_have_js_property("complete", value=True)
        assert await image.evaluate("image => image.naturalWidth") > 0
    await expect(page.locator("#details")).to_contain_text("Virtual Event - Zoom")
    await expect(page.locator("#details")).to_contain_text("United States (US), Canada (CA)")


async def test_each_viewer_sees_their_own_events(seeded: Demo, open_page: OpenPage) -> None:
    page = await open_page(seeded, "demo-user-1")
    await expect(agenda(page, "Winter collection launch")).to_be_visible()
    await expect(agenda(page, "Ada: career talk")).to_be_visible()

    await view_as(page, "Ben (DE)")
    await expect(page.locator("#zone")).to_have_text("Times in Europe/Berlin")
    await expect(agenda(page, "Company town hall")).to_be_visible()
    await expect(page.get_by_text("Winter collection launch")).to_have_count(0)
    await expect(page.get_by_text("Ada: career talk")).to_have_count(0)
    await expect(page.locator("#inbox")).to_contain_text("No pushes yet")

    await view_as(page, "Dan (US)")
    await expect(agenda(page, "Warehouse safety training")).to_be_visible()
    await expect(page.get_by_text("Company town hall")).to_have_count(0)

    await view_as(page, "Northwind: the company")
    await expect(agenda(page, "Winter collection launch")).to_be_visible()
    await expect(page.locator("#inbox")).to_contain_text("Pick one")
    await expect(page.get_by_text("Warehouse safety training")).to_have_count(0)


async def test_times_are_the_viewers(empty: Demo, open_page: OpenPage) -> None:
    noon = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%dT12:00:00Z")
    end = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%dT13:30:00Z")
    event = empty.create(NORTHWIND, title="Call", start=noon, end=end, time_zone="UTC")
    instant = datetime.fromisoformat(event["start"])
    for token, zone, twelve in (
        ("demo-user-2", "Europe/Berlin", False),
        ("demo-user-3", "America/Los_Angeles", True),
    ):
        page = await open_page(empty, token)
        local = await page.evaluate(
            """([instant, zone, hour12]) => new Date(instant).toLocaleTimeString(
                "en", {timeZone: zone, hour12, hour: "numeric", minute: "2-digit"})""",
            [instant.isoformat(), zone, twelve],
        )
        clock = local.split()[0].lstrip("0")
        await expect(agenda(page, "Call")).to_contain_text(clock)
        await agenda(page, "Call").get_by_role("button").click()
        await expect(page.locator("#details")).to_contain_text("(UTC)")
        await page.context.close()


async def test_a_holiday_keeps_its_day_wherever_it_is_seen_from(
    empty: Demo, open_page: OpenPage
) -> None:
    # A day that isn't over yet, in a zone far away, and of the month that the page shows.
    zones = {name: datetime.now(ZoneInfo(name)).date() for name in FAR_AWAY}
    month = datetime.now(UTC).month
    zone, today = next((name, day) for name, day in zones.items() if day.month == month)
    empty.create(
        NORTHWIND,
        title="Day off",
        start=f"{today}T00:00:00",
        end=f"{today + timedelta(days=1)}T00:00:00",
        time_zone=zone,
    )
    for token in ("demo-user-2", "demo-user-3"):
        page = await open_page(empty, token)
        chip = page.locator(".chip", has_text="Day off")
        await expect(chip).to_have_count(1)
        await expect(chip.locator(".chip-time")).to_have_count(0)
        await expect(agenda(page, "Day off")).to_contain_text("all day")
        await page.context.close()


async def test_a_company_creates_an_event_for_a_country(empty: Demo, open_page: OpenPage) -> None:
    page = await open_page(empty, NORTHWIND)
    await fill_in(page, Title="Sommerfest", Venue="Hof")
    await page.get_by_label("Members in countries").check()
    await page.get_by_label("Countries", exact=True).fill("de, aut")
    await page.get_by_role("button", name="Create event").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(agenda(page, "Sommerfest")).to_contain_text("Hof")
    [event] = empty.events(NORTHWIND)
    assert event["countries"] == ["DE", "AT"]
    assert event["time_zone"] == "America/New_York"
    assert event["color"] == "#3B4CCA"
    await view_as(page, "Ben (DE)")
    await expect(agenda(page, "Sommerfest")).to_be_visible()
    await view_as(page, "Ada (US)")
    await expect(page.locator("#agenda")).to_contain_text("Nothing in the next seven days")


async def test_a_company_creates_an_event_for_one_member(empty: Demo, open_page: OpenPage) -> None:
    page = await open_page(empty, NORTHWIND)
    await fill_in(page, Title="Review")
    await page.get_by_label("One member").check()
    await page.get_by_label("Member", exact=True).select_option(label="Cleo (US)")
    await page.get_by_role("button", name="Create event").click()
    await expect(agenda(page, "Review")).to_be_visible()
    [event] = empty.events(NORTHWIND)
    assert (event["user_id"], event["countries"]) == (3, [])
    await view_as(page, "Cleo (US)")
    await expect(agenda(page, "Review")).to_be_visible()
    # The company made it, and the member can't delete it.
    await agenda(page, "Review").get_by_role("button").click()
    await page.get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("button", name="Really delete it?")).to_be_visible()


async def test_a_member_keeps_a_personal_event_and_deletes_it(
    empty: Demo, open_page: OpenPage
) -> None:
    page = await open_page(empty, "demo-user-1")
    await fill_in(page, Title="Dentist")
    await expect(page.get_by_text("Who is it for?")).to_be_hidden()
    await page.get_by_role("button", name="Create event").click()
    await expect(agenda(page, "Dentist")).to_be_visible()
    assert empty.events(NORTHWIND) == []
    [event] = empty.events("demo-user-1")
    assert event["user_id"] == 1

    await agenda(page, "Dentist").get_by_role("button").click()
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("button", name="Really delete it?").click()
    await expect(agenda(page, "Dentist")).to_have_count(0)
    assert empty.events("demo-user-1") == []


async def test_faults_are_shown_at_their_fields(
    empty: Demo, open_page: OpenPage, watch: Watch
) -> None:
    watch.expected.append(REFUSED)
    page = await open_page(empty, NORTHWIND)
    await fill_in(
        page,
        Start="2030-01-31T12:00",
        End="2030-01-31T11:00",
        Time_zone="Mars/Olympus",
        Link="javascript:alert(1)",
    )
    await page.get_by_label("Members in countries").check()
    await page.get_by_label("Countries", exact=True).fill("US, Atlantis")
    await page.get_by_role("button", name="Create event").click()
    for label in ("Title", "Time zone", "Countries", "Link"):
        field = page.get_by_role("dialog").get_by_label(label, exact=label != "Link")
        await expect(field).to_have_attribute("aria-invalid", "true")
        described = (await field.get_attribute("aria-describedby") or "").split()[-1]
        await expect(page.locator(f"#{described}")).to_be_visible()
    await expect(page.locator("#title")).to_be_focused()
    await expect(page.locator("#countries-error")).to_contain_text("Atlantis")
    assert empty.events(NORTHWIND) == []

    await page.get_by_label("Title").fill("In order")
    await page.get_by_label("Time zone").fill("Europe/Paris")
    await page.get_by_label("Countries", exact=True).fill("US")
    await page.get_by_label("Link").fill("")
    await page.get_by_role("button", name="Create event").click()
    await expect(page.locator("#end-error")).to_be_visible()
    await expect(page.locator("#end-error")).to_contain_text("after start")
    await expect(page.locator("#title-error")).to_be_hidden()

    await page.get_by_label("End", exact=True).fill("2030-01-31T13:00")
    await page.get_by_role("button", name="Create event").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    [event] = empty.events(NORTHWIND)
    assert event["start"] == "2030-01-31T11:00:00Z"


async def test_the_inbox_fills(fresh: Demo, open_page: OpenPage) -> None:
    ben = await open_page(fresh, "demo-user-2")
    ada = await open_page(fresh, "demo-user-1")
    await expect(ben.locator("#inbox")).to_contain_text("No pushes yet")
    event = fresh.create(NORTHWIND, **soon(title="Betriebsversammlung", countries=["DE"]))
    push = ben.locator("#inbox .push", has_text="Betriebsversammlung")
    await expect(push).to_contain_text("Beginnt")
    await expect(ben.locator("#inbox-count")).to_have_text("1")
    await expect(agenda(ben, "Betriebsversammlung")).to_contain_text("STARTING SOON")
    await agenda(ben, "Betriebsversammlung").get_by_role("button").click()
    await expect(ben.locator("#details")).to_contain_text("Push sent")
    assert event["notification_sent_at"] is None
    await expect(ada.locator("#inbox")).to_contain_text("No pushes yet")


@pytest.mark.parametrize("token", [NORTHWIND, "demo-user-1"])
async def test_text_of_an_event_stays_text(empty: Demo, open_page: OpenPage, token: str) -> None:
    attack = '<img src=x onerror="window.attacked=1"><script>window.attacked=1</script>'
    empty.create(NORTHWIND, **soon(title=attack, description=attack, venue=attack, color="#ff0000"))
    page = await open_page(empty, token)
    await expect(agenda(page, attack)).to_be_visible()
    await expect(page.locator(".chip-title")).to_have_text(attack)
    await agenda(page, attack).get_by_role("button").click()
    await expect(page.locator("#details h2")).to_have_text(attack)
    await expect(page.locator("#details .description")).to_have_text(attack)
    if token == "demo-user-1":
        await expect(page.locator("#inbox .push-title").first).to_have_text(attack)
    assert await page.evaluate("window.attacked") is None
    assert await page.locator("img[src=x]").count() == 0


async def test_what_has_ended_can_be_hidden(seeded: Demo, open_page: OpenPage) -> None:
    page = await open_page(seeded, "demo-user-1")
    shown = page.locator("#calendar .badge", has_text="IN PROGRESS")
    await expect(shown.first).to_be_visible()
    await page.get_by_label("Hide what has ended").check()
    await expect(page.locator("#calendar .badge", has_text="CONCLUDED")).to_have_count(0)
    await expect(shown.first).to_be_visible()


async def test_the_keyboard_is_enough(empty: Demo, open_page: OpenPage) -> None:
    empty.create(NORTHWIND, **soon(title="Reachable"))
    page = await open_page(empty, "demo-user-1")
    event = page.locator(".event", has_text="Reachable").first
    await event.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#details h2")).to_have_text("Reachable")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.get_by_role("button", name="New event").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#title")).to_be_focused()
    await page.keyboard.type("Typed")
    await page.keyboard.press("Enter")
    await expect(agenda(page, "Typed")).to_be_visible()


async def test_an_empty_calendar_works(empty: Demo, open_page: OpenPage) -> None:
    page = await open_page(empty, "demo-user-9")
    await expect(page.locator("#agenda")).to_contain_text("Nothing in the next seven days")
    await expect(page.locator(".event")).to_have_count(0)
    await page.locator(".tool", has_text="List").click()
    await expect(page.locator("#calendar")).to_contain_text("No events")


@pytest.mark.parametrize("width", [320, 390, 768])
async def test_nothing_is_cut_off_on_a_small_screen(
    seeded: Demo, open_page: OpenPage, width: int
) -> None:
    page = await open_page(seeded, "demo-user-1", width=width, height=800)
    await expect(agenda(page, "Winter collection launch")).to_be_visible()
    for view in ("Month", "List"):
        await page.locator(".tool", has_text=view).click()
        await expect(page.locator(".event").first).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await page.get_by_role("button", name="New event").click()
    assert await page.locator("#editor").evaluate("dialog => dialog.scrollWidth") <= width


async def test_a_browser_without_temporal_is_enough(seeded: Demo, open_page: OpenPage) -> None:
    page = await open_page(seeded, "demo-user-1")
    await page.add_init_script("delete globalThis.Temporal")
    await page.reload()
    assert await page.evaluate("typeof Temporal") == "undefined"
    await expect(page.locator(".event").first).to_be_visible()


async def test_a_host_that_is_gone_is_said(
    open_page: OpenPage, watch: Watch, tmp_path: Path
) -> None:
    with Demo(f"sqlite:///{tmp_path / 'demo.db'}", seed=False) as demo:
        page = await open_page(demo, "demo-user-1")
        watch.expected += ["ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET"]
        demo.stop()
        await expect(page.get_by_role("alert").first).to_contain_text("can't be reached")
