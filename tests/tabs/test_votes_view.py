import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from core.errors import InputError
from core.settings import PROJECT
from core.store import Store, open_store
from core.store.battle_records import Arm, BattleCounts
from core.store.experiments import Experiment, Plan
from evals.arena.costs import ArmFigures, LocalRate
from evals.arena.panel import Counts, Panel
from evals.arena.standings import Standings
from evals.sample import Estimate
from tabs.battle_view import tally
from tabs.experiment_parts import FRESH_S, MOST_KEPT, Panels, number_of, plan_of, rates_of
from tabs.ratings_plots import matrix_plot, rating_plot
from tabs.vote_pages import VotePages
from tests.evals.arena.stored_votes import Cast, casts, fill, planted

BAD = "<img src=x onerror=alert(1)>"
PAGES = VotePages(PROJECT / "assets" / "pages")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return an empty store."""
    opened = open_store(f"sqlite:///{tmp_path / 'votes.db'}")
    yield opened
    opened.close()


def of_people(store: Store) -> str:
    return PAGES.ratings(Standings(store).of("person"), "person")


def test_without_votes_the_page_says_what_to_do(store: Store) -> None:
    assert "Nobody has voted yet" in of_people(store)
    assert "judge" in PAGES.ratings(Standings(store).of("judge"), "judge")
    found = Standings(store).of("person")
    assert rating_plot(found) is None
    assert matrix_plot(found.matrix) is None


def test_ratings_of_people_and_of_a_judge_are_never_added_up(store: Store) -> None:
    fill(store, [Cast("one", "two", "model_a")] * 3)
    fill(store, [Cast("two", "one", "model_a", source="judge")] * 5)
    assert "<strong>3</strong> votes counted: A better 3" in " ".join(of_people(store).split())
    judged = PAGES.ratings(Standings(store).of("judge"), "judge")
    assert "<strong>5</strong> verdicts counted: A better 5" in " ".join(judged.split())


def test_groups_without_a_battle_between_them_stand_apart(store: Store) -> None:
    fill(store, casts(planted(np.random.default_rng(1), [0.0, 1.0, 2.0], 200, 50)))
    fill(store, [Cast("lone", BAD, "model_a", prompt=f"p{n}") for n in range(4)])
    fill(store, [Cast("bad", "lone", "both_bad")])
    fill(store, [Cast("lone", BAD, "model_b", excluded="repeated")] * 2)
    page = of_people(store)
    assert page.count("<table") == 3
    assert "Group 2" in page
    assert "Not rated" in page
    assert "(2)" in page.split("2 excluded:")[1]
    assert "component" not in page
    assert page.count("provisional</span>") == 3
    assert "no rating" in page
    assert "<img" not in page
    assert "&lt;img src=x" in page


def test_plots_hold_every_model_once_and_what_is_unknown_is_empty(store: Store) -> None:
    long = "a-name-of-many-characters-that-"
    fill(store, [Cast(f"{long}begins", f"{long}ends", "model_a", prompt=f"p{n}") for n in range(9)])
    fill(store, [Cast(f"{long}ends", BAD, "tie")])
    found = Standings(store).of("person")
    intervals, matrix = rating_plot(found), matrix_plot(found.matrix)
    assert intervals is not None
    assert matrix is not None
    drawn = json.loads(intervals.plot)
    assert drawn["data"][0]["y"] == [0, 1, 2]
    assert len(drawn["layout"]["yaxis"]["ticktext"]) == 3
    heat = json.loads(matrix.plot)["data"][0]
    names = found.matrix.names
    first, last, bad = (names.index(each) for each in (f"{long}begins", f"{long}ends", BAD))
    assert heat["text"][first][last] == "100"
    assert heat["text"][last][bad] == "50"
    assert heat["z"][first][bad] is None
    assert heat["text"][first][bad] == ""
    assert "have not met" in heat["customdata"][first][bad]
    assert "<img" not in matrix.plot + intervals.plot


ARM_A, ARM_B = Arm("small", "sha256:aaaa"), Arm(BAD, "sha256:bbbb")
EXPERIMENT = Experiment(
    "small-against-big", ARM_A, ARM_B, "votes", Plan("always_valid", alpha=0.1, delta=0.05),
    None, None, None, datetime(2026, 11, 1, tzinfo=UTC),
)  # fmt: skip
UNKNOWN = ArmFigures("small", 0, *[None] * 3, 0, *[None] * 8)
PANEL = Panel(
    experiment=EXPERIMENT,
    counts=Counts(3, 5, 2, 1, 11),
    difference=Estimate(0.2, -0.4, 0.6, 11),
    verdict="not_enough",
    more=120,
    text="not enough data: about 120 more votes",
    position=Estimate(0.5, 0.2, 0.8, 8),
    excluded={"repeated": 2},
    arms=(UNKNOWN, replace(UNKNOWN, model=BAD)),
    notes=("a note",),
)


def test_an_experiment_says_what_is_known_and_what_is_not() -> None:
    page = " ".join(PAGES.experiment(PANEL).split())
    assert "Not enough data: about 120 more votes" in page
    assert "always-valid 90% interval -40.0 to +60.0" in page
    assert "a false winner at most 10% of the time" in page
    assert "2 votes excluded" in page
    assert page.count("unknown") == 12
    assert "$0" not in page
    assert "0.00 s" not in page
    assert "<img" not in page


def test_before_its_n_a_fixed_plan_shows_no_interval() -> None:
    fixed = replace(EXPERIMENT, plan=Plan("fixed_n", n=50))
    panel = replace(PANEL, experiment=fixed, difference=Estimate(0.2, None, None, 11))
    page = PAGES.experiment(panel)
    assert "interval" not in page
    assert "one look after 50 items" in page
    assert "Still needed" in page
    over = replace(panel, is_final=True, more=None)
    assert "Still needed" not in PAGES.experiment(over)
    nothing = replace(PANEL, difference=None, position=None)
    assert "B minus A" not in PAGES.experiment(nothing)


def test_a_cost_says_of_how_many_requests_it_is() -> None:
    paid = replace(UNKNOWN, requests=100, unpriced=99, usd_per_thousand=2.5, price_source="catalog")
    page = PAGES.experiment(replace(PANEL, arms=(paid, UNKNOWN)))
    assert "catalog, of 1 of 100 requests, no price is known of the others" in page


def test_the_tally_counts_what_is_excluded_and_says_why() -> None:
    counts = BattleCounts(0, 0, 0, 5, 0, {}, {})
    assert tally(counts) == "No votes yet."
    some = replace(counts, counted=1200, excluded={"identical": 2, "repeated": 1})
    assert tally(some).startswith("1,200 votes counted, 3 excluded: ")
    assert "(2)" in tally(some)


@pytest.mark.parametrize("value", ["abc", "nan", "inf", True, [1], {"a": 1}, "1e999"])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="must be a number"):
        number_of(value, "alpha")


def test_an_empty_field_is_unknown_and_not_zero() -> None:
    assert number_of("", "x") is None
    assert number_of(None, "x") is None
    assert rates_of(EXPERIMENT, ("", None, "")) == {}
    assert rates_of(EXPERIMENT, ("", "300", "")) == {}
    assert rates_of(EXPERIMENT, ("1.5", "300", "")) == {
        "small": LocalRate(1.5), BAD: LocalRate(1.5)
    }  # fmt: skip
    assert rates_of(EXPERIMENT, ("", "300", 0.25))["small"] == LocalRate(None, 300.0, 0.25)
    with pytest.raises(InputError):
        rates_of(EXPERIMENT, ("-1", None, None))


def test_a_form_becomes_a_plan_or_says_what_is_missing() -> None:
    assert plan_of("fixed_n", 200, None, 5) == Plan("fixed_n", n=200, delta=0.05)
    assert plan_of("always_valid", None, 5, 10) == Plan("always_valid", alpha=0.05, delta=0.1)
    for wrong in (
        ("fixed_n", None, 5, 5), ("fixed_n", 1.5, 5, 5), ("always_valid", 5, None, 5),
        ("always_valid", 5, 5, None), ("always_valid", 5, 90, 5), ("peek", 5, 5, 5),
    ):  # fmt: skip
        with pytest.raises(InputError):
            plan_of(*wrong)


class Looked:
    """Experiments that count how often they are looked at."""

    times = 0

    def panel(self, name: str) -> Panel:
        self.times += 1
        return PANEL


def test_many_viewers_of_a_panel_cost_one_look() -> None:
    now, looked = [0.0], Looked()
    panels = Panels(looked, clock=lambda: now[0])
    for _ in range(50):
        assert panels.of("one", {}).counts.n == 11
    assert looked.times == 1
    now[0] += FRESH_S
    panels.of("one", {})
    panels.forget("one")
    panels.of("one", {})
    assert looked.times == 3
    for n in range(MOST_KEPT + 1):
        panels.of(f"name-{n}", {})
    panels.of("name-0", {})
    assert looked.times == 3 + MOST_KEPT + 2, "the oldest is forgotten"
