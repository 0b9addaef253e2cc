"""Ratings of all votes in a store: planted strengths, coverage, choix, what is kept apart."""

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import choix
import numpy as np
import pytest

from core.store import Store, open_store
from evals.arena.results import words_of
from evals.arena.standings import Standings
from evals.ratings import Battle, rate
from evals.ratings.matrix import win_matrix
from evals.ratings.strengths import RIDGE
from tests.evals.arena.stored_votes import Cast, casts, fill, planted

POINTS = 400 / math.log(10)
THETA = [0.9, 0.4, 0.0, -0.3, -1.0]


def rated(standing):
    return {model.id: model for model in standing.ratings.models}


def test_planted_strengths_are_recovered_from_the_store_and_agree_with_choix(store: Store):
    battles = planted(np.random.default_rng(1), THETA, 1_200, prompts=400)
    fill(store, casts(battles))
    found = rated(Standings(store).of())
    for k, theta in enumerate(THETA):
        truth = 1_000 + POINTS * (theta - np.mean(THETA))
        assert found[f"m{k}"].rating == pytest.approx(truth, abs=45)
        assert found[f"m{k}"].low - 5 <= truth <= found[f"m{k}"].high + 5
    wins = []
    for one in battles:  # a tie is half a win: each win twice, a tie once both ways
        a, b = int(one.model_a[1:]), int(one.model_b[1:])
        ways = {"model_a": [(a, b)] * 2, "model_b": [(b, a)] * 2, "tie": [(a, b), (b, a)]}
        wins += ways[one.outcome]
    theirs = choix.opt_pairwise(5, wins, alpha=RIDGE)
    for k in range(5):
        expected = 1_000 + POINTS * (theirs[k] - theirs.mean())
        assert found[f"m{k}"].rating == pytest.approx(expected, abs=0.05)


def test_intervals_hold_the_planted_strengths_where_prompts_favour_models():
    """Ten battles of a prompt share its taste; intervals that forget it hold 3 of 4."""
    rng, theta = np.random.default_rng(2), np.array([0.6, 0.0, -0.6])
    hits, simulations = 0, 60
    for _ in range(simulations):
        taste = rng.normal(0, 1.0, (30, 3))
        battles = []
        for prompt in range(30):
            for _ in range(10):
                a, b = rng.choice(3, 2, replace=False)
                logit = theta[a] - theta[b] + taste[prompt, a] - taste[prompt, b]
                outcome = "model_a" if rng.random() < 1 / (1 + np.exp(-logit)) else "model_b"
                battles.append(Battle(f"{prompt}", f"m{a}", f"m{b}", outcome))
        # Tastes flatten the average: logits of normal deviation sqrt(2) shrink by about 0.8.
        truth = POINTS * theta / np.sqrt(1 + 2 * np.pi / 8)
        for model in rate(battles).models:
            hits += model.low <= 1_000 + truth[int(model.id[1:])] <= model.high
    assert hits / (3 * simulations) >= 0.88


def test_judges_votes_are_never_mixed_with_peoples(store: Store):
    fill(store, [Cast("x", "y", "model_a", f"p{n}") for n in range(40)])
    fill(store, [Cast("x", "y", "model_b", f"p{n}", source="judge") for n in range(35)])
    standings = Standings(store)
    people, judges = rated(standings.of()), rated(standings.of("judge"))
    assert people["x"].rating > 1_000 > judges["x"].rating
    assert (people["x"].n, judges["x"].n) == (40, 35)


def test_excluded_votes_are_counted_with_their_reason_and_rate_nobody(store: Store):
    fill(store, [Cast("x", "y", "model_a", f"p{n}") for n in range(10)])
    fill(store, [Cast("x", "y", "model_b", f"q{n}", excluded="names_itself") for n in range(90)])
    found = Standings(store).of()
    assert (found.votes, found.excluded) == (10, {"names_itself": 90})
    assert rated(found)["x"].rating > 1_000
    assert rated(found)["x"].is_provisional


def test_votes_on_other_weights_of_an_id_are_left_out_and_counted(store: Store):
    old, new = ("sha256:old", "sha256:y"), ("sha256:new", "sha256:y")
    fill(store, [Cast("x", "y", "model_b", f"p{n}", digests=old) for n in range(40)])
    fill(store, [Cast("x", "y", "model_a", f"p{n}", digests=new) for n in range(35)])
    found = Standings(store).of()
    assert (found.votes, found.excluded) == (35, {"old_weights": 40})
    assert rated(found)["x"].rating > 1_000
    assert words_of("old_weights") == "given on other weights of the model"


def test_the_matrix_gives_half_a_point_for_a_tie_and_none_for_both_bad():
    battles = [
        Battle("1", "x", "y", "model_a"),
        Battle("2", "y", "x", "tie"),
        Battle("3", "x", "y", "both_bad"),
        Battle("4", "z", "x", "model_b"),
    ]
    found = win_matrix(battles, ["x", "y", "z"])
    assert found.wins == ((0.0, 1.5, 1.0), (0.5, 0.0, 0.0), (0.0, 0.0, 0.0))
    assert found.battles == ((0, 2, 1), (2, 0, 0), (1, 0, 0))
    assert win_matrix([], []).wins == ()


def test_without_votes_there_is_no_rating(store: Store):
    found = Standings(store).of()
    assert (found.ratings.models, found.votes, found.newest_at) == ((), 0, None)
    assert found.to_dict()["matrix"] == {"names": [], "wins": (), "battles": ()}


def test_a_standing_is_computed_once_for_each_state_of_the_votes(store: Store):
    fill(store, [Cast("x", "y", "model_a", f"p{n}") for n in range(30)])
    standings, barrier = Standings(store), threading.Barrier(8)

    def ask(_: int) -> object:
        barrier.wait()
        return standings.of()

    with ThreadPoolExecutor(8) as pool:
        first = list(pool.map(ask, range(8)))
    assert all(each is first[0] for each in first)
    assert standings.of(length=True) is not first[0]
    fill(store, [Cast("x", "y", "model_b", "new")])
    assert standings.of().votes == 31


def test_a_longer_answer_is_taken_out_when_asked(store: Store):
    rng = np.random.default_rng(3)
    is_long = rng.random(400) < 0.5
    is_won = rng.random(400) < np.where(is_long, 0.8, 0.2)
    cast = [
        Cast(
            "x",
            "y",
            "model_a" if won else "model_b",
            f"p{n}",
            lengths=(300, 100) if long else (100, 300),
        )
        for n, (long, won) in enumerate(zip(is_long, is_won, strict=True))
    ]
    fill(store, cast)
    found = Standings(store).of(length=True)
    assert found.ratings.length.low > 0


def test_ten_thousand_battles_of_twenty_models_are_rated_in_two_seconds_of_work(sqlite_url):
    store = open_store(sqlite_url)
    strengths = np.linspace(1, -1, 20).tolist()
    fill(store, casts(planted(np.random.default_rng(4), strengths, 10_000, prompts=4_000)))
    standings = Standings(store)
    began = time.process_time()
    assert len(standings.of().ratings.models) == 20
    assert time.process_time() - began < 2
    began = time.process_time()
    standings.of()
    assert time.process_time() - began < 0.1
    store.close()
