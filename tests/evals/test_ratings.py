"""Ratings against choix, hand-worked cases and planted strengths."""

import json
import math
import time
from pathlib import Path

import choix
import numpy as np
import pytest
from scipy.optimize import minimize

from core.errors import InputError, NotFoundError
from evals.ratings import Battle, Rating, Ratings, rate, ratings_from_file
from evals.ratings.strengths import RIDGE
from evals.stats.bias import Lengths, Outcome
from evals.stats.paired import agresti_min

POINTS = 400 / math.log(10)


def fought(one: str, other: str, outcomes: str, prompts: str = "p") -> list[Battle]:
    """Return battles on prompts of their own: w, l and t are a win, a loss and a tie of `one`."""
    names: dict[str, Outcome] = {"w": "model_a", "l": "model_b", "t": "tie", "x": "both_bad"}
    return [
        Battle(f"{prompts}{k}:{one}{other}", one, other, names[letter])
        for k, letter in enumerate(outcomes)
    ]


def planted(
    rng: np.random.Generator, strengths: list[float], many: int, first: float = 0.0, long: float = 0
) -> list[Battle]:
    """Return battles of models with these logits; `first` and `long` help an answer."""
    sides = np.array([rng.choice(len(strengths), 2, replace=False) for _ in range(many)])
    sizes = rng.integers(50, 500, (many, 2))
    longer = (sizes[:, 0] - sizes[:, 1]) / (sizes.sum(axis=1) + 1)
    theta = np.array(strengths)
    logits = theta[sides[:, 0]] - theta[sides[:, 1]] + first + long * longer / longer.std()
    won = rng.random(many) < 1 / (1 + np.exp(-logits))
    return [
        Battle(
            prompt_id=f"p{k % (many // 3)}",
            model_a=f"m{a}",
            model_b=f"m{b}",
            outcome="model_a" if won[k] else "model_b",
            lengths=Lengths(float(sizes[k, 0]), float(sizes[k, 1])),
        )
        for k, (a, b) in enumerate(sides)
    ]


def by_id(found: Ratings) -> dict[str, Rating]:
    return {model.id: model for model in found.models}


def value(model: Rating) -> float:
    assert model.rating is not None
    return model.rating


def ends(model: Rating) -> tuple[float, float]:
    assert model.low is not None
    assert model.high is not None
    return model.low, model.high


def test_two_models_worked_by_hand() -> None:
    """30 wins and 10 losses: odds of 3 are 400 log10(3) = 190.8 points."""
    found = by_id(rate(fought("A", "B", "w" * 30 + "l" * 10)))
    assert value(found["A"]) - value(found["B"]) == pytest.approx(190.8, abs=0.5)
    assert value(found["A"]) + value(found["B"]) == pytest.approx(2_000)


def test_a_tie_is_half_a_win() -> None:
    ties = by_id(rate(fought("A", "B", "w" * 20 + "t" * 20)))
    wins = by_id(rate(fought("A", "B", "w" * 30 + "l" * 10)))
    assert value(ties["A"]) == pytest.approx(value(wins["A"]))
    assert ends(ties["A"])[0] > ends(wins["A"])[0]  # ties vary less


def test_strengths_agree_with_choix() -> None:
    battles = planted(np.random.default_rng(1), [1.0, 0.4, 0.0, -0.3, -1.1], 800)
    wins = [
        tuple(int(name[1:]) for name in (b.model_a, b.model_b))[
            :: 1 if b.outcome == "model_a" else -1
        ]
        for b in battles
    ]
    theirs = choix.opt_pairwise(5, wins, alpha=RIDGE / 2)
    ours = by_id(rate(battles))
    for k in range(5):
        assert value(ours[f"m{k}"]) == pytest.approx(
            1_000 + POINTS * (theirs[k] - theirs.mean()), abs=0.01
        )


def test_controls_agree_with_a_direct_fit() -> None:
    battles = planted(np.random.default_rng(2), [0.5, 0.0, -0.5], 600, first=0.3, long=0.5)
    sizes = np.array([b.lengths for b in battles], dtype=float)
    longer = (sizes[:, 0] - sizes[:, 1]) / (sizes.sum(axis=1) + 1)
    design = np.zeros((600, 5))
    for k, b in enumerate(battles):
        design[k, int(b.model_a[1:])], design[k, int(b.model_b[1:])] = 1, -1
    design[:, 3], design[:, 4] = 1, longer / longer.std()
    won = np.array([b.outcome == "model_a" for b in battles])

    def loss(theta: np.ndarray) -> float:
        logits = design @ theta
        return float(
            np.logaddexp(0, np.where(won, -logits, logits)).sum() + RIDGE / 2 * theta @ theta
        )

    theirs = POINTS * minimize(loss, np.zeros(5), tol=1e-10).x
    ours = rate(battles, length=True, position=True)
    assert ours.first_shown is not None
    assert ours.length is not None
    assert ours.first_shown.value == pytest.approx(theirs[3], abs=0.05)
    assert ours.length.value == pytest.approx(theirs[4], abs=0.05)
    assert value(by_id(ours)["m0"]) == pytest.approx(1_000 + theirs[0], abs=0.05)


def test_planted_strengths_are_recovered() -> None:
    strengths = [1.2, 0.6, 0.2, 0.0, -0.6, -1.4]
    found = by_id(rate(planted(np.random.default_rng(3), strengths, 6_000)))
    for k, theta in enumerate(strengths):
        low, high = ends(found[f"m{k}"])
        assert value(found[f"m{k}"]) == pytest.approx(1_000 + POINTS * theta, abs=25)
        assert low - 10 <= 1_000 + POINTS * theta <= high + 10
    assert [model.id for model in sorted(found.values(), key=lambda m: -value(m))] == [
        f"m{k}" for k in range(6)
    ]


def test_planted_help_for_the_first_and_the_longer_answer_is_recovered() -> None:
    battles = planted(np.random.default_rng(4), [0.4, 0.0, -0.4], 3_000, first=0.2, long=0.6)
    found = rate(battles, length=True, position=True)
    for estimate, truth in ((found.first_shown, 0.2), (found.length, 0.6)):
        assert estimate is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < POINTS * truth < estimate.high
        assert estimate.high - estimate.low < 60


def test_intervals_of_ratings_hold_the_planted_strength() -> None:
    rng, strengths = np.random.default_rng(5), [0.8, 0.1, -0.9]
    hits = 0
    for _ in range(60):
        for k, model in by_id(rate(planted(rng, strengths, 240))).items():
            low, high = ends(model)
            hits += low <= 1_000 + POINTS * strengths[int(k[1:])] <= high
    assert hits / 180 >= 0.91


def test_battles_on_one_prompt_move_together() -> None:
    """The same verdict ten times on each prompt says no more than once."""
    once = fought("A", "B", "w" * 14 + "l" * 6)
    tenfold = [battle for battle in once for _ in range(10)]
    low, high = ends(by_id(rate(once))["A"])
    wide = ends(by_id(rate(tenfold))["A"])
    assert wide[1] - wide[0] == pytest.approx(high - low, rel=0.05)


def test_equal_models_share_a_rank_and_unequal_ones_do_not() -> None:
    rng = np.random.default_rng(6)
    parted = 0
    for _ in range(40):
        ranks = {k: m.rank for k, m in by_id(rate(planted(rng, [1.0, 0.0, 0.0], 300))).items()}
        assert ranks["m0"] == 1
        parted += ranks["m1"] != ranks["m2"]
        assert {ranks["m1"], ranks["m2"]} <= {1, 2, 3}
    assert parted <= 2


@pytest.mark.parametrize("wins", [5, 10, 30])
def test_who_has_never_lost_may_yet_lose(wins: int) -> None:
    """The lower bound is as far as Wilson's for a share of 1."""
    found = by_id(rate(fought("A", "B", "w" * wins)))
    gap = 2 * (ends(found["A"])[0] - 1_000) / POINTS
    assert 1 / (1 + math.exp(-gap)) == pytest.approx(wins / (wins + 3.84), abs=0.03)
    assert found["A"].is_provisional == (wins < 30)


def test_winners_as_a_group_may_yet_lose() -> None:
    strong, weak = fought("A", "B", "wl" * 20), fought("C", "D", "wl" * 20)
    found = by_id(rate(strong + weak + fought("A", "C", "w" * 8) + fought("B", "D", "w" * 8)))
    low, high = ends(found["A"])
    assert high - low > 200
    assert low < value(found["A"]) <= high


def test_models_that_no_battle_connects_are_not_compared() -> None:
    found = rate(
        fought("A", "B", "wwwl" * 10) + fought("C", "D", "wl" * 10) + fought("D", "E", "wl")
    )
    assert found.note is not None
    assert "2 groups" in found.note
    models = by_id(found)
    assert [models[name].component for name in "CDEAB"] == [1, 1, 1, 2, 2]
    assert models["A"].rank == models["C"].rank == 1
    assert value(models["A"]) + value(models["B"]) == pytest.approx(2_000)
    assert sum(value(models[name]) for name in "CDE") == pytest.approx(3_000)


def test_both_bad_is_counted_apart() -> None:
    battles = fought("A", "B", "wwll" * 10)
    found = rate(battles + fought("A", "B", "x" * 25) + fought("A", "Z", "x"))
    assert found.outcomes == {"model_a": 20, "model_b": 20, "tie": 0, "both_bad": 26}
    models = by_id(found)
    assert models["A"] == by_id(rate(battles))["A"]
    assert models["A"].n == 40
    assert models["Z"] == Rating("Z", None, None, None, 0, None, None, True)


def test_battles_that_were_all_bad_rate_nobody() -> None:
    found = rate(fought("A", "B", "xx"), length=False, position=True)
    assert [model.rating for model in found.models] == [None, None]
    assert (found.first_shown, found.note) == (None, None)


def test_battles_on_one_prompt_have_no_interval_and_the_note_says_why() -> None:
    found = rate([Battle("p", "A", "B", outcome) for outcome in ("model_a",) * 9 + ("tie",)])
    assert found.note is not None
    assert "on one prompt" in found.note
    for model in found.models:
        assert model.rating is not None
        assert (model.low, model.high, model.rank, model.tie_group) == (None, None, 1, 1)


@pytest.mark.parametrize("each", [("tie",), ("model_a", "model_b"), ("tie", "tie", "tie")])
def test_prompts_that_all_say_the_same_are_a_tie_with_an_interval(each: tuple[Outcome]) -> None:
    """Ties, or each model once on every prompt: as wide as Agresti and Min's for 50 pairs."""
    battles = [Battle(f"p{k}", "A", "B", outcome) for k in range(50) for outcome in each]
    found = rate(battles)
    assert [(model.rank, model.tie_group) for model in found.models] == [(1, 1), (1, 1)]
    low, high = ends(found.models[0])
    share = 1 / (1 + math.exp(-2 * (high - 1_000) / POINTS))
    assert 2 * share - 1 == pytest.approx(agresti_min(0, 0, 50)[1], abs=0.012)
    assert low == pytest.approx(2_000 - high, abs=8)


def test_tie_groups_are_told() -> None:
    found = rate(fought("A", "B", "w" * 60 + "l" * 5) + fought("B", "C", "wl" * 20))
    assert [(model.id, model.tie_group) for model in found.models][0] == ("A", 1)
    assert {model.tie_group for model in found.models[1:]} == {2}
    printed = found.to_dict()["models"]
    assert isinstance(printed, list)
    assert [model["tie_group"] for model in printed] == [1, 2, 2]


def test_the_same_battles_give_the_same_ratings() -> None:
    battles = planted(np.random.default_rng(7), [0.3, 0.0, -0.3], 200)
    assert rate(battles) == rate(list(battles))


def test_ten_thousand_battles_of_twenty_models_take_less_than_two_seconds() -> None:
    battles = planted(np.random.default_rng(8), np.linspace(1, -1, 20).tolist(), 10_000)
    rate(battles[:100])
    start = time.process_time()
    rate(battles)
    assert time.process_time() - start < 2


def test_no_battles_are_refused() -> None:
    with pytest.raises(InputError, match="no battles"):
        rate([])


def test_length_needs_the_lengths_of_every_battle() -> None:
    with pytest.raises(InputError, match="2 of 2 battles have no lengths"):
        rate(fought("A", "B", "wl"), length=True)


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines))
    return path


def battle(**other: object) -> dict[str, object]:
    return {"prompt_id": "p1", "model_a": "A", "model_b": "B", "outcome": "model_a", **other}


def test_a_file_gives_the_object_that_is_printed(tmp_path: Path) -> None:
    rows = [battle(prompt_id=f"p{k}", outcome="tie" if k % 3 else "model_b") for k in range(9)]
    found = ratings_from_file(write(tmp_path / "battles.jsonl", *rows, battle(outcome="both_bad")))
    printed = json.loads(json.dumps(found.to_dict()))
    assert set(printed) == {"models", "outcomes", "note", "first_shown", "length"}
    assert printed["outcomes"] == {"model_a": 0, "model_b": 3, "tie": 6, "both_bad": 1}
    assert [model["id"] for model in printed["models"]] == ["B", "A"]
    assert {"id", "rating", "low", "high", "n", "rank"} <= set(printed["models"][0])


def test_prompts_may_be_numbers(tmp_path: Path) -> None:
    rows = [battle(prompt_id=81 + k, outcome=f"model_{'ab'[k % 3 == 0]}") for k in range(9)]
    found = ratings_from_file(write(tmp_path / "b.jsonl", *rows, battle(prompt_id="81")))
    assert [model.n for model in found.models] == [10, 10]


def test_a_file_may_hold_lengths(tmp_path: Path) -> None:
    rows = [
        battle(prompt_id=f"p{k}", length_a=k, length_b=9 - k, outcome=f"model_{'ab'[k % 2]}")
        for k in range(9)
    ]
    found = ratings_from_file(write(tmp_path / "b.jsonl", *rows), length=True)
    assert found.length is not None
    assert found.length.n == 9


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: a battle must be a JSON object"),
        ({"prompt_id": "p"}, "line 2: 'model_a' is missing"),
        (battle(model_b="A"), "line 2: a model can't battle itself"),
        (battle(outcome="A"), "line 2: outcome is 'A'; it must be one of model_a, model_b, tie"),
        (battle(outcome=1), "line 2: 'outcome' must be a text, got '1'"),
        (battle(prompt_id=True), "line 2: 'prompt_id' must be a text, got 'True'"),
        (battle(prompt_id=""), "line 2: prompt_id, model_a and model_b must not be empty"),
        (battle(length_a=3), "line 2: length_a and length_b must both be numbers"),
        (battle(length_a=-3, length_b=1), "line 2: a length must be a number of at least 0"),
        (battle(length_a=True, length_b=1), "line 2: length_a and length_b must both be numbers"),
    ],
)
def test_a_line_that_is_no_battle_is_named(tmp_path: Path, line: object, said: str) -> None:
    path = write(tmp_path / "b.jsonl", battle(), line)
    with pytest.raises(InputError, match=said):
        ratings_from_file(path)


def test_a_file_without_battles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no battles"):
        ratings_from_file(write(tmp_path / "b.jsonl"))
    with pytest.raises(NotFoundError):
        ratings_from_file(tmp_path / "missing.jsonl")
