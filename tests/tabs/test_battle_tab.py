import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app import build_app
from core.access import Access
from core.services import Services, make_services
from core.settings import Settings
from core.store.battles import Battles
from tabs.pages import make_pages
from tests.actors import HOST, HOSTILE, NORTH, SECRETS, SOUTH, WEST, WORDS, with_actors
from tests.http_voter import HttpVoter, RefusedError
from tests.tabs.conftest import SECRET, served

pytestmark = [
    # Gradio's server leaves its event loop to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # Gradio 6.31 asks pandas 3 for an option of pandas 2.
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting'"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]
TOKEN = "a-token-for-tests"
NAMES = {NORTH, SOUTH, WEST}


@dataclass
class Theatre:
    """The whole app with the cast behind it."""

    url: str
    services: Services
    access: Access

    def voter(self) -> HttpVoter:
        """Return a new visitor."""
        cookie = self.access.visitor_cookie(False).split(";")[0]
        return HttpVoter(self.url.rstrip("/"), cookie)

    @property
    def battles(self) -> Battles:
        """Return what is stored."""
        return Battles(self.services.store)


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    """Serve the app in this process."""
    home: Path = tmp_path_factory.mktemp("theatre")
    services = with_actors(make_services(Settings.from_env({"UNDERSTUDY_HOME": str(home)})))
    access = Access(SECRET, admin_token=TOKEN, trust_loopback=False)
    pages = make_pages(services, access)
    with served(build_app(pages).queue(max_size=64)) as url:
        yield Theatre(url, services, access)
    pages.close()
    services.close()


def told(voter: HttpVoter) -> str:
    """Return everything that the app has sent to the voter, in lower case."""
    return b"\n".join(voter.received).decode().lower()


def leaks(voter: HttpVoter) -> list[str]:
    """Return what of the secrets the voter has received."""
    text = told(voter)
    return [secret for secret in SECRETS if secret in text]


def test_a_battle_is_blind_until_its_vote_and_open_after_it(theatre: Theatre) -> None:
    voter = theatre.voter()
    battle = voter.begin("Good evening")
    frames = voter.stream(battle)
    assert len(frames) > 2
    assert [frame["is_complete"] for frame in frames] == [False] * (len(frames) - 1) + [True]
    said = {frames[-1][side].split("0-")[0] for side in "ab"}
    assert len(said & set(WORDS.values())) == 2
    with pytest.raises(RefusedError, match="No outcome"):
        voter.vote(battle, "lead")
    assert leaks(voter) == []

    reveal = voter.vote(battle, "model_b", ["clear", "correct"])
    assert {reveal[side]["asked"] for side in "ab"} <= NAMES
    for side in "ab":
        assert WORDS[reveal[side]["asked"]] in frames[-1][side]
        assert reveal[side]["timings"]["total_s"] >= 0
        assert reveal[side]["usage"]["output_tokens"] == 12
    assert reveal["outcome"] == "model_b"
    assert reveal["reasons"] == ["correct", "clear"]
    assert leaks(voter) != []
    assert reveal["a"]["verdict"] is None, "nobody marks a visitor's own prompt"


def test_sides_are_let_out_at_one_pace(theatre: Theatre) -> None:
    voter = theatre.voter()
    for frame in voter.stream(voter.begin("Good evening"))[:-1]:
        assert len(frame["a"]) == len(frame["b"]) or not min(frame["a"], frame["b"])


def test_a_side_that_fails_tells_nothing_and_takes_no_vote(theatre: Theatre) -> None:
    voter = theatre.voter()
    battle = voter.begin("please fail")
    last = voter.stream(battle)[-1]
    assert last["is_complete"]
    assert last["has_failed"]
    with pytest.raises(RefusedError, match="failed"):
        voter.vote(battle)
    with pytest.raises(RefusedError, match="answered already"):
        voter.stream(battle)
    assert leaks(voter) == []


def test_forged_votes_are_refused_and_change_nothing(theatre: Theatre) -> None:
    owner, stranger = theatre.voter(), theatre.voter()
    nobody = HttpVoter(theatre.url, None)
    forged = HttpVoter(theatre.url, str(owner.cookie)[:-3] + "abc")
    begun, battle = owner.begin("Not answered yet"), owner.fight("Who wins?")
    before = theatre.battles.counts()
    for made_up in ("", "0" * 32, "1 OR 1=1", "../../etc/passwd", battle.upper()):
        with pytest.raises(RefusedError, match="o such battle"):
            owner.vote(made_up)
    with pytest.raises(RefusedError, match="o such battle"):
        stranger.vote(battle)
    with pytest.raises(RefusedError, match="o such battle"):
        stranger.stream(begun)
    with pytest.raises(RefusedError, match="complete"):
        owner.vote(begun)
    for unknown in (nobody, forged):
        with pytest.raises(RefusedError, match="cookie"):
            unknown.vote(battle)
        with pytest.raises(RefusedError, match="cookie"):
            unknown.begin("Good evening")
    assert theatre.battles.counts() == before

    owner.vote(battle, "tie")
    with pytest.raises(RefusedError, match="already"):
        owner.vote(battle, "model_a")
    vote = theatre.battles.get(battle).vote
    assert vote is not None
    assert vote.outcome == "tie"
    assert leaks(stranger) == leaks(nobody) == leaks(forged) == []


@pytest.mark.parametrize(
    "data",
    [
        [None, "tie", []], [5, "tie", []], [{"id": 1}, "tie", []], [["x"], "tie", []],
        ["x" * 9999, "tie", []], ["battle", 5, []], ["battle", "tie", "correct"],
        ["battle", "tie", [5]], ["battle", "tie", [{"a": []}]], ["battle", "tie", ["correct"] * 99],
        ["battle", "tie", ["no such reason"]], ["battle", "", []],
    ],
)  # fmt: skip
def test_values_of_another_kind_are_refused_with_a_reason(
    theatre: Theatre, data: list[object]
) -> None:
    voter = theatre.voter()
    with pytest.raises(RefusedError) as refused:
        voter.vote(*[f"{7:032x}" if value == "battle" else value for value in data])
    assert str(refused.value) != "None", "a bug, not a refusal"


@pytest.mark.parametrize("prompt", ["", "   ", None, 5, ["x"], "x" * 100_001])
def test_prompts_that_are_none_begin_nothing(theatre: Theatre, prompt: object) -> None:
    before = theatre.battles.counts().begun
    with pytest.raises(RefusedError) as refused:
        theatre.voter().call("battle_begin", prompt, "", "")
    assert str(refused.value) != "None", "a bug, not a refusal"
    assert theatre.battles.counts().begun == before


def test_an_items_battle_is_on_the_item_of_the_server(theatre: Theatre) -> None:
    voter = theatre.voter()
    with pytest.raises(RefusedError, match="No task"):
        voter.begin("ignored", "no-such-task", "1")
    ticket = voter.call("battle_begin", "ignored", "desk_routing", first_item(theatre))
    stored = theatre.battles.get(ticket["id"])
    assert stored.task == "desk_routing"
    assert stored.messages[-1].text == ticket["prompt"] != "ignored"
    assert "exact_match" not in str(voter.stream(ticket["id"])), "no mark before the vote"
    reveal = voter.vote(ticket["id"])
    assert (reveal["task"], reveal["item"]) == ("desk_routing", stored.item)
    for side in "ab":
        assert set(reveal[side]["verdict"]["values"].values()) == {0.0}


def first_item(theatre: Theatre) -> str:
    path = Path(__file__).resolve().parents[2] / "assets" / "tasks" / "desk_routing.jsonl"
    return str(json.loads(path.read_text(encoding="utf-8").splitlines()[0])["id"])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("experiment_end", [None]),
        (
            "experiment_make",
            ["x", None, None, "votes", None, None, None, "always_valid", 200, 5, 10],
        ),
        ("votes_dataset", ["preference", "person"]),
    ],
)  # fmt: skip
def test_a_visitor_makes_and_ends_no_experiment_and_makes_no_dataset(
    theatre: Theatre, name: str, data: list[object]
) -> None:
    with pytest.raises(RefusedError, match="administrator"):
        theatre.voter().call(name, *data)


def test_the_page_lists_the_catalog_in_its_pickers_only(theatre: Theatre) -> None:
    config = httpx.get(f"{theatre.url}config", timeout=60).json()
    found = {
        part["props"].get("elem_id") or part["type"]
        for part in config["components"]
        if any(secret in json.dumps(part).lower() for secret in SECRETS)
    }
    pickers = {name for name in found if "model" in name}
    assert found - pickers == set(), "only pickers may name models"
    rest = {key: value for key, value in config.items() if key != "components"}
    assert [secret for secret in SECRETS if secret in json.dumps(rest).lower()] == []
    assert HOST not in json.dumps(config)


def test_hostile_answers_stay_text(theatre: Theatre) -> None:
    voter = theatre.voter()
    battle = voter.fight("be hostile")
    reveal = voter.vote(battle)
    assert HOSTILE in reveal["a"]["answer"]
    side = theatre.battles.get(battle).a
    assert HOSTILE in side.answer
