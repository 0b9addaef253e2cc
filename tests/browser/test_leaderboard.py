import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from evals.leaderboard_runs import RunIndex
from tests.browser.conftest import ANSWER_MS, Server
from tests.evals.leaderboard_home import BEGAN, write_home, write_run

pytestmark = pytest.mark.browser
expect.set_options(timeout=ANSWER_MS)
Visit = Callable[..., Page]
HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    "${document.title='owned'}{{value}} \x00\u202e end"
)
MODEL = 'evil"><img src=x onerror="document.title=\'owned\'">${1+1}'
SUMS = """
description: Sums of one digit.
scorer: gsm8k
metrics: [gsm8k]
params: {max_tokens: 4}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with runs of three tasks, one of them hostile, and a task that can be run."""
    folder = tmp_path_factory.mktemp("board")
    write_home(folder, models=6, tasks=2, items=120)
    marks = [float(n % 3 > 0) for n in range(120)]
    texts = {0: HOSTILE, 1: "[" * 1_000_000, 2: "half \ud800"}
    write_run(
        folder, "hostile", model=MODEL, task="task-00", marks=marks, texts=texts, finished=BEGAN
    )  # fmt: skip
    dead: list[float | None] = [None] * 120
    write_run(folder, "dead", model="dead", task="task-00", marks=dead, status="invalid")
    (folder / "evals" / "broken").mkdir()
    (folder / "evals" / "broken" / "summary.json").write_text("{", encoding="utf-8")
    (folder / "tasks").mkdir()
    (folder / "tasks" / "sums.yaml").write_text(SUMS, encoding="utf-8")
    rows = [{"id": str(n), "input": f"{n} + 1?", "target": str(n + 1)} for n in range(4)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "tasks" / "sums.jsonl").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def owned(home: Path) -> Iterator[Server]:
    """Run the app where everybody on this machine is an administrator."""
    server = Server(home, "app.py")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run the app where an administrator signs in, on an empty home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNDERSTUDY_ADMIN_TOKEN", "a-token-for-tests")
        server = Server(tmp_path_factory.mktemp("guarded"), "app.py")
    yield server
    server.kill()


def opened(visit: Visit, address: str, width: int = 1280, height: int = 800) -> Page:
    """Open a link to the leaderboard as a new visitor."""
    page = visit(address, width, height, awaited="#wordmark")
    expect(page.locator("#board-table .lb")).to_be_visible()
    return page


def table(page: Page) -> Locator:
    return page.locator("#board-table")


def names(page: Page) -> Locator:
    return page.locator("#board-table tbody .lb-name")


def choose(page: Page, name: str, option: str | re.Pattern[str]) -> None:
    page.get_by_role("combobox", name=name, exact=True).click()
    page.get_by_role("option", name=option).click()


def overflow(page: Page) -> object:
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def key_of(home: Path, run: str) -> str:
    return RunIndex(home).get(run).model.id


def test_from_the_table_to_two_models_beside_each_other(owned: Server, visit: Visit) -> None:
    page = visit(owned.url)
    page.get_by_role("tab", name="Leaderboard").click()
    expect(table(page)).to_contain_text("model-05")
    expect(table(page)).to_contain_text("1 damaged run left out")
    expect(page.locator("#board-plots")).to_be_hidden()

    page.get_by_role("link", name="task-00").click()
    expect(names(page).first).to_have_text("model-05")
    expect(names(page)).to_have_count(8)
    expect(table(page)).to_contain_text("INVALID")
    expect(page.locator("#board-forest .scatterlayer .point").first).to_be_visible()
    expect(page.locator("#board-unknown")).to_contain_text("model-03")
    page.get_by_label("Tokens per second").check()
    expect(page.locator("#board-unknown")).to_contain_text("model-04")

    page.locator("#board-search input").press_sequentially("model-04")
    expect(names(page)).to_have_text(["model-04"])
    page.locator(".lb-cell").click()
    expect(page.locator(".lb-items h3")).to_contain_text("model-04 on task-00")
    choose(page, "Beside it", re.compile("model-05"))
    expect(page.locator(".lb-square")).to_be_visible()
    expect(page.locator(".lb-count")).to_have_text("120 items")
    choose(page, "Items", re.compile("only the second"))
    expect(page.locator(".lb-outcome").first).to_have_text("only the second is right")
    expect(page).to_have_url(re.compile("leaderboard=task-00.*against=model-05.*show=only_b"))

    page.reload()
    expect(page.locator(".lb-outcome").first).to_have_text("only the second is right")
    expect(page.locator("#board-search input")).to_have_value("model-04")
    page.get_by_role("link", name="Close").click()
    expect(page.locator("#board-cell")).to_be_hidden()


def test_labels_and_pages(owned: Server, visit: Visit, home: Path) -> None:
    model = quote(key_of(home, "run-000-00"))
    page = opened(visit, f"{owned.url}?leaderboard=task-00&model={model}")
    expect(page.locator(".lb-item")).to_have_count(50)
    page.get_by_role("link", name="Next").click()
    expect(page.locator(".lb-pages")).to_contain_text("Page 2 of 3")
    choose(page, "Label", re.compile("wrong_name"))
    expect(page.locator(".lb-item .lb-badge").first).to_have_text("wrong_name")
    expect(page.locator(".lb-count")).not_to_have_text("120 items")
    wrong = int((page.locator(".lb-count").text_content() or "").split()[0])
    assert 0 < wrong < 60


def test_what_a_model_wrote_is_text(owned: Server, visit: Visit, home: Path) -> None:
    model = quote(key_of(home, "hostile"))
    page = opened(visit, f"{owned.url}?leaderboard=task-00&model={model}")
    expect(names(page).filter(has_text="evil")).to_have_text(MODEL)
    shown = page.locator(".lb-item pre").first
    expect(shown).to_contain_text(
        "<script>document.title='owned'</script>${document.title='owned'}"
    )
    expect(page.locator(".lb-item").nth(1)).to_contain_text("980,000 more characters")
    expect(page.locator("#board-forest")).to_contain_text("<img src=x")
    assert page.locator("#board img, #board script").count() == 0
    assert page.title() == "Understudy"


def test_a_link_that_leads_nowhere_says_so(owned: Server, visit: Visit) -> None:
    for query in ("task-99", "task-00&model=nobody", "task-00&sort=rm", "task-00&at=-1"):
        page = opened(visit, f"{owned.url}?leaderboard={query}")
        expect(page.locator("#board-notice")).to_contain_text("can't be opened")
        expect(table(page)).to_contain_text("model-05")


def test_csv(owned: Server, visit: Visit, tmp_path: Path) -> None:
    page = opened(visit, f"{owned.url}?leaderboard=task-00")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    download.value.save_as(tmp_path / "board.csv")
    lines = (tmp_path / "board.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].startswith('"task","model",')
    assert len(lines) == 9


def test_an_admin_starts_a_run_and_sees_its_row_and_items(owned: Server, visit: Visit) -> None:
    page = opened(visit, f"{owned.url}?leaderboard=all")
    page.locator("#eval-runs .label-wrap").click()
    choose(page, "Task to run", "sums")
    page.get_by_role("button", name="Start a run").click()
    expect(page.locator("#eval-list")).to_contain_text(re.compile("queued|starting|running"))
    expect(table(page).get_by_role("link", name="sums")).to_be_visible()
    expect(page.locator("#eval-list .lb-row").filter(has_text="sums")).to_have_count(0)

    table(page).get_by_role("link", name="sums").click()
    page.locator(".lb-one .lb-cell").click()
    expect(page.locator(".lb-item")).to_have_count(4)
    expect(page.locator(".lb-item").first).to_contain_text(re.compile(r"user: \d \+ 1\?"))
    expect(page.locator(".lb-item").first).to_contain_text("Target")


def test_a_visitor_sees_the_board_and_starts_nothing(guarded: Server, visit: Visit) -> None:
    page = opened(visit, f"{guarded.url}?leaderboard=all")
    expect(table(page)).to_contain_text("Nothing was evaluated yet")
    expect(table(page)).to_contain_text("python -m evals run --model")
    expect(page.locator("#eval-runs")).to_be_hidden()
    for name, data in (
        ("eval_start", ["lead", "sums", ""]), ("eval_stop", []), ("eval_resume", []),
        ("eval_progress", []),
    ):  # fmt: skip
        url = f"{guarded.url}/gradio_api/call/{name}"
        event = httpx.post(url, json={"data": data}, timeout=30).json()["event_id"]
        answer = httpx.get(f"{url}/{event}", timeout=30).text
        assert "event: error" in answer, name


@pytest.mark.parametrize("theme", ["dark"])
def test_on_a_phone_nothing_is_wider_than_the_page(
    owned: Server, visit: Visit, home: Path, theme: str
) -> None:
    one, two = (quote(key_of(home, name)) for name in ("hostile", "run-005-00"))
    link = f"{owned.url}?__theme={theme}&leaderboard=task-00&model={one}&against={two}"
    page = opened(visit, link, 390, 844)
    expect(page.locator(".lb-item").first).to_be_visible()
    expect(page.locator("#board-front .scatterlayer .point").first).to_be_visible()
    assert overflow(page) == 0
    page.goto("about:blank")
    page.goto(f"{owned.url}?__theme={theme}&leaderboard=all")
    expect(names(page).first).to_be_visible()
    assert overflow(page) == 0


def test_a_resume_that_cannot_be_says_why_in_the_list(owned: Server, visit: Visit) -> None:
    page = opened(visit, f"{owned.url}?leaderboard=all")
    page.locator("#eval-runs .label-wrap").click()
    row = page.locator("#eval-list .lb-row").filter(has_text="dead")
    row.get_by_role("button", name="Resume").click()
    expect(row).to_contain_text("failed")
    expect(row.get_by_role("button", name="Resume")).to_be_visible()
