"""A walk through the Train tab on the embedded understudy: from a file to a run in the queue."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import ANSWER_MS, Server
from training.job_lock import held

pytestmark = pytest.mark.browser
expect.set_options(timeout=ANSWER_MS)
Visit = Callable[..., Page]
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
SAID = [
    ("r1", "Who sits at table one?", "The guests from Lisbon."),
    ("r2", "When does the music begin?", "At nine."),
    ("r3", "When does the music begin?", "There is none."),
    ("r4", "Who brings the coats?", "Let me first analyze this. Anna brings them."),
    ("r5", HOSTILE, HOSTILE),
    ("r6", "Sum it up", "=1+1"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run the app where everybody on this machine is an administrator, and no job is started."""
    home = tmp_path_factory.mktemp("train")
    (home / "jobs").mkdir()
    with held(home / "jobs"):
        app = Server(home, "app.py")
        yield app
        app.kill()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file that a person brings, with a line that is broken."""
    rows = [
        {"id": name, "messages": [{"role": "user", "content": asked},
                                  {"role": "assistant", "content": said}]}
        for name, asked, said in SAID
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("sent") / "Gala talk.jsonl"
    lines = [*map(json.dumps, rows[:2]), '{"id": ', *map(json.dumps, rows[2:])]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def opened(visit: Visit, server: Server, query: str, width: int = 1280) -> Page:
    """Open an address of the tab as another browser."""
    return visit(f"{server.url}?{query}", width, awaited="#wordmark")


def box(page: Page, name: str) -> Locator:
    return page.get_by_role("textbox", name=name, exact=True)


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def overflow(page: Page) -> object:
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def bring_and_audit(page: Page, file: Path) -> None:
    page.locator("#train-file input[type=file]").set_input_files(file)
    expect(page.locator("#train-preview")).to_contain_text("refused: not JSON")
    expect(box(page, "Name of the dataset")).to_have_value("gala-talk")
    button(page, "Import").click()
    expect(page.locator("#train-report")).to_contain_text("gala-talk@v1 has 6 rows, 1 refused")
    expect(page.locator("#train-about")).to_contain_text("1 row of the source refused")
    button(page, "Audit").click()
    expect(page.locator("#train-found mark").first).to_be_visible()
    expect(page.locator("#train-review")).to_be_visible()


def decide_and_split(page: Page) -> None:
    expect(page.locator("#train-row")).to_contain_text("contradiction")
    box(page, "Reason").fill("the music is at nine")
    button(page, "Drop").click()
    expect(page.locator("#train-plan")).to_contain_text("drops 1, rewrites 1")
    button(page, "Make the new version").click()
    expect(page.locator("#train-changes")).to_contain_text(
        "4 kept as they are, 1 rewritten, 1 drop"
    )
    expect(page.locator("#train-about")).to_contain_text("gala-talk@v1")
    button(page, "Split").click()
    expect(page.locator("#train-about")).to_contain_text("4 to train, 1 to evaluate")


def configure(page: Page) -> None:
    button(page, "Configure a run with it").click()
    yaml = page.locator("#train-yaml")
    expect(yaml).to_contain_text("dataset: gala-talk@v2")
    rank = page.locator("#train-set-rank [data-testid=textbox]")
    page.get_by_role("radio", name="tool-call").check()
    expect(rank).to_have_value("64")
    expect(yaml).to_contain_text("rank: 64")
    rank.fill("0")
    rank.blur()
    expect(page.locator("#train-checks")).to_contain_text("rank must be a whole number of 1")
    rank.fill("8")
    rank.blur()
    expect(yaml).to_contain_text("rank: 8")
    expect(page.locator("#train-checks")).to_contain_text("was not audited")


def estimate_and_start(page: Page) -> None:
    button(page, "Estimate it").click()
    button(page, "Estimate").click()
    expect(page.locator("#train-probe-work progress")).to_be_visible()
    page.locator("#train-probe-work").get_by_role("button", name="Stop").click()
    expect(page.locator("#train-probe-work")).to_contain_text("was stopped")
    box(page, "Name of the run").fill("first-night")
    button(page, "Start the run").click()
    expect(page.locator("#train-run-told")).to_contain_text("first-night")
    expect(page.locator("#train-run-told")).to_contain_text("queued")


def test_from_a_file_to_a_run_in_the_queue(server: Server, visit: Visit, file: Path) -> None:
    page = opened(visit, server, "train=data")
    bring_and_audit(page, file)
    assert page.locator("#train img, #train script").count() == 0
    assert page.title() == "Understudy"
    decide_and_split(page)
    configure(page)
    estimate_and_start(page)

    other = opened(visit, server, "train=estimate&dataset=gala-talk@v1")
    expect(other.locator("#train-probe-work")).to_contain_text("was stopped")
    other.get_by_role("tab", name="Data").click()
    expect(other.locator("#train-about")).to_contain_text("1 row of the source refused")
    expect(other.locator("#train-found mark").first).to_be_visible()
    other.get_by_role("tab", name="Configure").click()
    expect(other.locator("#train-yaml")).to_contain_text("rank: 8")
    expect(other).to_have_url(re.compile("train=configure&dataset=gala-talk%40v1"))


def test_on_a_phone_in_the_dark_nothing_is_wider_than_the_page(
    server: Server, visit: Visit
) -> None:
    page = opened(visit, server, "__theme=dark&train=data", 390)
    for step, shown in (
        ("Data", "#train-about"),
        ("Configure", "#train-yaml"),
        ("Estimate", "#train-estimated .lb"),
    ):
        page.get_by_role("tab", name=step).click()
        expect(page.locator(shown)).to_be_visible()
        assert overflow(page) == 0, step
