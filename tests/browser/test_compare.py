from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import ANSWER_MS, Server

pytestmark = pytest.mark.browser
expect.set_options(timeout=ANSWER_MS)
Visit = Callable[..., Page]


def opened(visit: Visit, url: str, width: int = 1280, **link: str) -> Page:
    """Open a link to a comparison as a new visitor."""
    page = visit(f"{url}?{urlencode(link)}", width, awaited="#wordmark")
    expect(prompt(page)).to_be_visible()
    return page


def prompt(page: Page) -> Locator:
    return page.locator("#compare-prompt textarea")


def talk(page: Page, place: int) -> Locator:
    """Return what one side was asked and has said."""
    return page.locator(f"#compare-talk-{place} [role=log]")


def answers(page: Page, place: int) -> Locator:
    return page.locator(f"#compare-talk-{place}").get_by_test_id("bot")


def button(page: Page, name: str) -> Locator:
    return page.locator("#compare").get_by_role("button", name=name, exact=True)


def overflow(page: Page) -> object:
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def test_from_a_link_to_the_next_turn(scripted: Server, visit: Visit) -> None:
    page = opened(visit, scripted.url, compare="lead,understudy", prompt="Count.")
    expect(prompt(page)).to_have_value("Count.")
    expect(page.get_by_label("Model 2", exact=True)).to_have_value("understudy")
    expect(answers(page, 1)).to_have_count(0)

    button(page, "Compare").click()
    expect(talk(page, 1)).to_contain_text("word3")
    expect(talk(page, 2)).to_contain_text("word3")
    button(page, "Stop").click()
    figures = page.locator(".cmp-figures tbody tr")
    expect(figures).to_have_count(2)
    expect(figures.last).to_contain_text("stopped")

    button(page, "Retry").click()
    expect(figures).to_have_count(0)
    button(page, "Stop").click()
    expect(figures).to_have_count(2)

    prompt(page).fill("who are you?")
    prompt(page).press("Enter")
    expect(talk(page, 2)).to_contain_text("I am understudy, at your desk.")
    expect(talk(page, 2)).to_contain_text("Count.")
    expect(page.locator(".cmp-pair del")).to_contain_text("lead")
    expect(page.locator(".cmp-pair ins")).to_contain_text("understudy")

    button(page, "New comparison").click()
    expect(figures).to_have_count(0)
    expect(talk(page, 1)).not_to_contain_text("Count.")


def test_four_models_on_a_phone_and_nothing_hostile_comes_to_life(
    scripted: Server, visit: Visit
) -> None:
    page = opened(
        visit, scripted.url, 390, compare="lead,understudy,lead,understudy", prompt="hostile"
    )
    button(page, "Compare").click()
    expect(page.locator(".cmp-figures tbody tr")).to_have_count(4)
    expect(page.locator(".cmp-pair")).to_have_count(3)
    expect(talk(page, 4)).to_contain_text("onerror")
    expect(page).to_have_title("Understudy")
    assert overflow(page) == 0
    boxes = [page.locator(f"#compare-talk-{place}").bounding_box() for place in range(1, 5)]
    tops = [box["y"] for box in boxes if box]
    assert tops == sorted(tops)
    assert len(set(tops)) == 4, "sides stand on top of each other, not beside"


def test_a_hostile_link_is_refused_in_words(scripted: Server, visit: Visit) -> None:
    evil = '"><img src=x onerror="document.title=1">'
    page = opened(visit, scripted.url, compare=f"lead,{evil}", prompt="hello")
    expect(page.locator("#compare-notice")).to_contain_text("This link can't be opened as it is")
    expect(page.locator("#compare-notice img")).to_have_count(0)
    expect(prompt(page)).to_have_value("")
