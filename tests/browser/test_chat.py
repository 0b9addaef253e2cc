import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import ANSWER_MS, Server

pytestmark = pytest.mark.browser
expect.set_options(timeout=ANSWER_MS)
FIGURES = re.compile(r"tokens/s|speed unknown")
Visit = Callable[..., Page]


def prompt(page: Page) -> Locator:
    """Return the field where one writes."""
    return page.get_by_role("textbox", name="Message")


def say(page: Page, text: str) -> None:
    """Write and press Enter."""
    prompt(page).fill(text)
    prompt(page).press("Enter")


def talk(page: Page) -> Locator:
    """Return the conversation."""
    return page.locator("#chatbot [role=log]")


def figures(page: Page) -> Locator:
    """Return the lines under finished answers."""
    return page.locator("#chatbot .title em").filter(has_text=FIGURES)


def button(page: Page, name: str) -> Locator:
    """Return the last button of this name."""
    return page.get_by_role("button", name=name, exact=True).last


def reopen(page: Page, title: str) -> None:
    """Reload and open a conversation of the list."""
    page.reload()
    page.get_by_role("radio", name=title).check(force=True)
    expect(talk(page)).to_contain_text(title)


def ask_retry_and_take_back(page: Page) -> None:
    """Leave a conversation with two questions and their answers."""
    page.get_by_role("button", name=re.compile("Seat Marie Curie")).click()
    expect(figures(page)).to_have_count(1)
    expect(page.get_by_role("radio", name="Seat Marie Curie at table 4.")).to_be_checked()
    last = page.get_by_test_id("bot").last
    before = last.get_attribute("aria-label") or ""  # Holds the trace's id.
    button(page, "Retry").click()
    expect(last).not_to_have_attribute("aria-label", before)
    expect(figures(page)).to_have_count(1)
    say(page, "Tell me about the music.")
    expect(figures(page)).to_have_count(2)
    button(page, "Undo").click()
    expect(prompt(page)).to_have_value("Tell me about the music.")
    expect(figures(page)).to_have_count(1)
    prompt(page).press("Enter")
    expect(figures(page)).to_have_count(2)


def judge(page: Page) -> None:
    """Dislike the last answer with a reason and a better one; like the first."""
    button(page, "Dislike").click()
    page.get_by_role("textbox", name="Reason").fill("wrong guest")
    page.get_by_role("textbox", name="Better answer").fill("The quartet plays at nine.")
    button(page, "Save").click()
    expect(talk(page)).to_contain_text("The quartet plays at nine.")
    page.get_by_role("button", name="Like", exact=True).first.click()
    button(page, "Close").click()
    expect(page.locator("#verdict")).to_be_hidden()


def test_a_visit(real: Server, visit: Visit, tmp_path: Path) -> None:
    page = visit(real.url)
    ask_retry_and_take_back(page)
    judge(page)
    reopen(page, "Seat Marie Curie at table 4.")
    expect(figures(page)).to_have_count(2)
    expect(page.get_by_role("button", name="Liked", exact=True)).to_have_count(1)
    expect(page.get_by_role("button", name="Disliked", exact=True)).to_have_count(1)
    expect(talk(page)).to_contain_text("The quartet plays at nine.")

    with page.expect_download() as download:
        page.get_by_text("Export this one").click()
    download.value.save_as(tmp_path / "export.jsonl")
    line = json.loads((tmp_path / "export.jsonl").read_text(encoding="utf-8"))
    assert [m["role"] for m in line["messages"]] == ["user", "assistant"] * 2
    assert [f["liked"] for f in line["feedback"]] == [True, False]
    assert line["feedback"][1]["reason"] == "wrong guest"
    assert line["feedback"][1]["correction"] == "The quartet plays at nine."

    button(page, "Delete").click()
    button(page, "Delete for good").click()
    expect(page.get_by_text("Your conversations will be listed here.")).to_be_visible()
    expect(figures(page)).to_have_count(0)


def test_what_cannot_be_answered_is_said_and_stays_typed(scripted: Server, visit: Visit) -> None:
    page = visit(scripted.url)
    say(page, "x" * 100_000)
    expect(page.get_by_test_id("toast-body")).to_contain_text("at most 32000 are allowed")
    assert len(prompt(page).input_value()) == 100_000

    model = page.get_by_role("combobox", name="Model")
    model.click()
    page.get_by_role("option", name=re.compile("openai-gpt-4o-mini")).click()
    expect(page.locator("#model-line")).to_contain_text("needs OPENAI_API_KEY", ignore_case=True)
    say(page, "hello there")
    expect(page.get_by_test_id("toast-body").last).to_contain_text("OPENAI_API_KEY")
    expect(prompt(page)).to_have_value("hello there")


def test_stop_keeps_what_came(scripted: Server, visit: Visit) -> None:
    page = visit(scripted.url)
    say(page, "count")
    expect(talk(page)).to_contain_text("word3")
    place = prompt(page).bounding_box()
    prompt(page).fill("typed meanwhile")
    button(page, "Stop").click()
    expect(figures(page)).to_contain_text("stopped")
    expect(talk(page)).to_contain_text("word3")
    expect(prompt(page)).to_have_value("typed meanwhile")
    assert prompt(page).bounding_box() == place


def test_a_browser_that_falls_behind_misses_nothing(scripted: Server, visit: Visit) -> None:
    page = visit(scripted.url)
    say(page, "count slowly")
    page.evaluate("() => { const end = Date.now() + 1500; while (Date.now() < end); }")
    expect(page.get_by_role("radio", name="count slowly")).to_be_checked()
    expect(prompt(page)).to_have_value("")
    button(page, "Stop").click()
    expect(figures(page)).to_contain_text("stopped")


def test_a_verdict_begun_while_an_answer_comes_stays(scripted: Server, visit: Visit) -> None:
    page = visit(scripted.url)
    say(page, "hostile")
    expect(figures(page)).to_have_count(1)
    say(page, "count")
    expect(talk(page)).to_contain_text("word3")
    # By keyboard: the talk scrolls as it grows, and a mouse may hit what has moved there.
    page.get_by_role("button", name="Dislike", exact=True).first.press("Enter")
    page.get_by_role("textbox", name="Reason").fill("it is code")
    button(page, "Stop").click()
    expect(figures(page)).to_have_count(2)
    expect(button(page, "Send")).to_be_visible()
    button(page, "Save").click()
    expect(page.locator("#verdict")).to_be_hidden()
    expect(page.get_by_role("button", name="Disliked", exact=True)).to_have_count(1)


def test_a_reload_ends_the_answer_and_keeps_what_came(scripted: Server, visit: Visit) -> None:
    page = visit(scripted.url)
    say(page, "reload me")
    expect(talk(page)).to_contain_text("word3")

    def look() -> None:
        reopen(page, "reload me")
        expect(figures(page)).to_contain_text("stopped", timeout=5000)

    for _ in range(5):
        try:
            look()
            break
        except AssertionError:
            continue
    expect(talk(page)).to_contain_text("word3")


def test_nothing_from_outside_comes_to_life(scripted: Server, visit: Visit) -> None:
    page = visit(scripted.url)
    say(page, "hostile")
    expect(figures(page)).to_have_count(1)
    expect(talk(page)).to_contain_text("<script>document.title='owned'</script>")
    mine = "<img src=x onerror=\"document.title='owned'\"> ![x](http://example.invalid/z.png)"
    say(page, mine)
    expect(talk(page)).to_contain_text(mine)
    expect(talk(page)).to_contain_text("word1")
    button(page, "Stop").click()
    expect(figures(page)).to_have_count(2)
    assert page.title() == "Understudy"
    assert talk(page).locator("img, script").count() == 0


def test_two_visitors(scripted: Server, visit: Visit) -> None:
    one, two = visit(scripted.url), visit(scripted.url)
    say(one, "hostile")
    expect(figures(one)).to_have_count(1)
    two.reload()
    expect(two.get_by_text("Your conversations will be listed here.")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone(scripted: Server, visit: Visit, theme: str) -> None:
    page = visit(f"{scripted.url}/?__theme={theme}", 390, 844)
    say(page, "hostile")
    expect(figures(page)).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
    box = prompt(page).bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 844


def test_by_keyboard_only(scripted: Server, visit: Visit) -> None:
    page = visit(scripted.url)
    expect(prompt(page)).to_be_focused()
    page.keyboard.type("hostile")
    page.keyboard.press("Enter")
    expect(figures(page)).to_have_count(1)
    prompt(page).focus()
    page.keyboard.type("count")
    page.keyboard.press("Tab")
    expect(button(page, "Send")).to_be_focused()
    page.keyboard.press("Enter")
    expect(talk(page)).to_contain_text("word1")
    button(page, "Stop").focus()
    page.keyboard.press("Enter")
    expect(figures(page)).to_have_count(2)


def test_kill_while_streaming(scripted: Server, visit: Visit) -> None:
    page = visit(scripted.url)
    say(page, "hostile")
    expect(figures(page)).to_have_count(1)
    say(page, "count")
    expect(talk(page)).to_contain_text("word3")
    scripted.kill()
    page.goto("about:blank")  # the page would load itself anew, and abort our own loading
    scripted.start()
    page.goto(scripted.url)
    page.get_by_role("radio", name="hostile").check(force=True)
    expect(page.locator("#notice")).to_contain_text("interrupted")
    expect(figures(page)).to_have_count(1)
    expect(talk(page)).to_contain_text("count")
    button(page, "Retry").click()
    expect(talk(page)).to_contain_text("word1")
    button(page, "Stop").click()
    expect(figures(page)).to_have_count(2)
    expect(page.locator("#notice")).to_be_hidden()
