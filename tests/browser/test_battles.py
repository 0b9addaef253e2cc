import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from core.settings import Settings
from core.store import Store, open_store
from core.store.battles import Battles
from tests.actors import GATE, NORTH, SECRETS, SOUTH, WEST
from tests.browser.conftest import ANSWER_MS, Server
from tests.browser.recorder import Recorder
from tests.http_voter import HttpVoter, RefusedError

pytestmark = pytest.mark.browser
expect.set_options(timeout=ANSWER_MS)
Visit = Callable[..., Page]
NAMES = re.compile("|".join(map(re.escape, (WEST, SOUTH, NORTH))))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("battles")


@pytest.fixture(scope="module")
def arena(home: Path) -> Iterator[Server]:
    """Run the app with the cast; everybody on this machine is an administrator."""
    server = Server(home, "tests/browser/battle_app.py")
    yield server
    server.kill()


@pytest.fixture
def store(arena: Server, home: Path) -> Iterator[Store]:
    """Open what the app stores."""
    opened = open_store(Settings.from_env({"UNDERSTUDY_HOME": str(home)}).database_url)
    yield opened
    opened.close()


def open_section(visit: Visit, url: str, section: str, *size: int) -> Page:
    """Open a section of Compare as a new visitor."""
    page = visit(url, *size)
    return choose_section(page, section)


def choose_section(page: Page, section: str) -> Page:
    """Go to a section of a page that shows the Chat tab."""
    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("tab", name=section).click()
    return page


def fight(page: Page, prompt: str) -> None:
    """Start a battle."""
    page.locator("#battle-prompt textarea").fill(prompt)
    page.locator("#battle-begin").click()
    expect(page.locator("#battle-asked")).to_contain_text(prompt)


def answers(page: Page) -> Locator:
    return page.locator("#answer-a, #answer-b")


def vote(page: Page, button: str) -> None:
    """Wait until the vote is open, and give it."""
    page.get_by_role("button", name=button, exact=True).click()
    expect(page.locator(".bt-reveal")).to_have_count(2)


def counted(page: Page) -> int:
    """Return how many votes the ratings are of."""
    page.get_by_role("tab", name="Ratings").click()
    expect(page.locator("#ratings-table")).to_contain_text(re.compile("counted|Nobody"))
    shown = page.locator(".rt-summary strong")
    return int(shown.inner_text()) if shown.count() else 0


def newest(store: Store, prompt: str) -> str:
    """Return the id of the newest battle on a prompt."""
    with store.read() as connection:
        rows = connection.exec_driver_sql("SELECT id, messages FROM battles ORDER BY created_at")
        return [row[0] for row in rows if prompt in row[1]][-1]


def test_two_visitors_battle_at_once_and_neither_sees_the_other(
    arena: Server, visit: Visit, store: Store, home: Path
) -> None:
    one, two = (open_section(visit, arena.url, "Battle") for _ in range(2))
    before = counted(one)
    one.get_by_role("tab", name="Battle").click()
    for page, fruit in ((one, "apple"), (two, "pear")):
        fight(page, f"{fruit} before the gate opens")
        expect(answers(page).first).to_contain_text(f"0-{fruit}")
        expect(page.locator("#battle-votes button:disabled")).to_have_count(4)
    foreign, stranger = newest(store, "apple"), newest(store, "pear")
    (home / GATE).touch()
    expect(one.locator("#vote-a")).to_be_enabled()
    expect(two.locator("#vote-a")).to_be_enabled()

    thief = HttpVoter(arena.url, cookie_of(two))
    for battle, outcome in ((foreign, "model_a"), ("0" * 32, "model_a"), (stranger, "win")):
        with pytest.raises(RefusedError):
            thief.vote(battle, outcome)
    assert Battles(store).get(foreign).vote is None

    one.get_by_label("Clearer").check()
    vote(one, "A is better")
    expect(one.locator(".bt-model")).to_contain_text([NAMES, NAMES])
    expect(one.locator("#battle-result ins").first).to_be_visible()
    expect(one.locator("#battle-status")).to_contain_text("A is better")
    expect(two.locator(".bt-reveal")).to_have_count(0)
    vote(two, "Tie")
    with pytest.raises(RefusedError, match="already"):
        thief.vote(stranger, "model_a")
    for page, mine, other in ((one, "apple", "pear"), (two, "pear", "apple")):
        expect(page.locator("#battle")).to_contain_text(f"0-{mine}")
        expect(page.locator("#battle")).not_to_contain_text(other)
        page.get_by_role("tab", name="Ratings").click()
        expect(page.locator(".rt-summary strong")).to_have_text(str(before + 2))
    stored = Battles(store).get(foreign).vote
    assert stored is not None
    assert (stored.outcome, stored.reasons) == ("model_a", ("clear",))


def cookie_of(page: Page) -> str:
    """Return the visitor's cookie as a program would send it."""
    found = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    return f"understudy_visitor={found['understudy_visitor']}"


def test_nothing_names_a_model_before_the_vote(arena: Server, visit: Visit) -> None:
    with Recorder(arena.url) as wire:
        page = open_section(visit, wire.url, "Battle")
        fight(page, "first of all")
        vote(page, "B is better")
        assert NAMES.search(wire.since(0)), "the wire hears what the app sends"
        # The Chat tab's list of models comes once more with its first look, and then no more.
        with page.expect_request(lambda request: is_look(request.post_data or "", page)):
            pass
        with page.expect_request(lambda request: is_look(request.post_data or "", page)):
            pass

        mark = wire.mark()
        for prompt in ("second of all", "third and let it fail", "fourth and who are you"):
            fight(page, prompt)
            expect(page.locator("#battle-status")).to_contain_text(re.compile("complete|failed"))
            told = page.locator("#battle").evaluate("e => e.outerHTML").lower()
            told += wire.since(mark) if "who" not in prompt else ""
            told = told.split("i am ")[0] if "who" in prompt else told
            assert [secret for secret in SECRETS if secret in told] == [], prompt
        vote(page, "Both bad")
        expect(page.locator("#battle-status")).to_contain_text("not counted")


def is_look(body: str, page: Page) -> bool:
    """Say whether a request is the Chat tab's look at the models' states."""
    looks = page.evaluate(
        "gradio_config.dependencies.filter(d => d.api_name === 'model_states').map(d => d.id)"
    )
    return any(f'"fn_index":{look},' in body for look in looks)


def test_a_battle_survives_a_reload_and_ends_with_stop(arena: Server, visit: Visit) -> None:
    page = open_section(visit, arena.url, "Battle")
    fight(page, "hostile prompt")
    expect(page.locator("#vote-a")).to_be_enabled()
    page.reload()
    choose_section(page, "Battle")
    expect(page.locator("#battle-asked")).to_contain_text("hostile prompt")
    expect(answers(page).first).to_contain_text("<script>document.title='owned'</script>")
    assert page.locator("#battle img, #battle script").count() == 0
    vote(page, "A is better")
    assert page.title() == "Understudy"

    page.locator("#edit-b").click()
    better = page.locator("#battle-better textarea")
    expect(better).to_have_value(re.compile("owned"))
    better.fill("The quartet plays at nine.")
    page.locator("#battle-save").click()
    expect(page.locator("#battle-status")).to_contain_text("stored")

    page.get_by_role("combobox", name="Task").click()
    page.get_by_role("option", name="desk_routing").click()
    page.get_by_role("button", name="Random item").click()
    expect(page.locator("#battle-status")).to_contain_text("as in a run")
    expect(page.locator("#battle-prompt textarea")).not_to_have_value("")
    fight(page, "an endless one")
    expect(answers(page).first).to_contain_text("1 ")
    page.get_by_role("button", name="Stop", exact=True).last.click()
    expect(page.locator("#battle-status")).to_contain_text("Stopped")
    expect(page.locator("#vote-a")).to_be_disabled()
    page.reload()
    choose_section(page, "Battle")
    expect(page.locator("#battle-status")).to_contain_text("Write a prompt")
    expect(page.locator("#battle-sides")).to_be_hidden()


def test_votes_become_a_dataset_in_the_train_tab(arena: Server, visit: Visit) -> None:
    voter = HttpVoter.newcomer(arena.url)
    voter.vote(voter.fight("Who sits beside the host?"), "model_a")
    page = open_section(visit, arena.url, "Ratings")
    page.get_by_role("button", name="Use as dataset").click()
    expect(page).to_have_url(re.compile("train=data&dataset=votes"))
    expect(page.locator("#train")).to_contain_text("votes")


def test_an_experiment_from_its_plan_to_its_end(arena: Server, visit: Visit) -> None:
    page = open_section(visit, arena.url, "Experiments")
    page.locator("#experiment-make .label-wrap").click()
    page.locator("#experiment-name input").fill("north-against-south")
    for label, model in (("Arm A", NORTH), ("Arm B", SOUTH)):
        page.get_by_role("combobox", name=label).click()
        page.get_by_role("option", name=model, exact=True).last.click()
    page.get_by_role("button", name="Start the experiment").click()
    panel = page.locator("#experiment-panel")
    expect(panel).to_contain_text("north-against-south")
    expect(panel.locator(".xp-counts dd").nth(4)).to_have_text("0")

    voter = HttpVoter.newcomer(arena.url)
    reveal = voter.vote(voter.fight("Which is better?"), "tie")
    assert {reveal["a"]["asked"], reveal["b"]["asked"]} == {NORTH, SOUTH}
    assert reveal["experiment"] == "north-against-south"
    expect(panel.locator(".xp-counts dd").nth(4)).to_have_text("1")
    south = panel.locator("tbody tr").filter(has_text=SOUTH)
    expect(south).to_contain_text("unknown")
    page.locator("#experiment-rates .label-wrap").click()
    page.locator("#rate-hour input").fill("3.6")
    page.locator("#rate-hour input").press("Enter")
    expect(south).to_contain_text("entered: $3.6 an hour")

    page.get_by_role("button", name="End this experiment").click()
    page.get_by_role("button", name="End it", exact=True).click()
    expect(panel.locator("header")).to_contain_text("ended")
    page.goto("about:blank")
    page.goto(f"{arena.url}?experiment=north-against-south")
    expect(panel.locator("header")).to_contain_text("ended")


@pytest.mark.parametrize("theme", ["dark"])
def test_on_a_phone_nothing_is_wider_than_the_page(arena: Server, visit: Visit, theme: str) -> None:
    page = open_section(visit, f"{arena.url}?__theme={theme}", "Battle", 390, 844)
    fight(page, "hostile things")
    vote(page, "Tie")
    for name, shown in (
        ("Battle", ".bt-reveal"), ("Ratings", "#ratings-matrix .heatmaplayer"),
        ("Experiments", "#experiment-make"),
    ):  # fmt: skip
        page.get_by_role("tab", name=name).click()
        expect(page.locator(shown).first).to_be_attached()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0, name
