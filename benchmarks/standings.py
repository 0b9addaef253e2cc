"""How long the ratings of a full arena take, and choix on the same battles beside them.

`python benchmarks/standings.py [--battles 10000] [--models 20] [--rounds 5] [--json]`

The battles are drawn from planted strengths, some of them ties, on two prompts for every five
battles, and stored as people's votes in an SQLite file. Measured are: reading and rating all of
them with intervals from 500 resamples of the prompts; the same with length taken out; and the
page's second look, which finds the votes unchanged, with its table and plots. choix has no
intervals: it is given the same 500 resamples, counted by numpy, and fits each by its fastest way,
iterative Luce spectral ranking on a matrix of wins; timed are 20 of them. Strengths are compared
with those of choix's Newton method, which takes our ridge, and with what was planted. Prints
Markdown for BENCHMARKS.md.
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

# The project first: in this folder the names of packages are those of benchmarks.
sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from figures import Figure, Spans, machine  # noqa: E402  the repository is not a package

from core.settings import PROJECT  # noqa: E402
from core.store import open_store  # noqa: E402
from evals.arena.standings import Standing, Standings  # noqa: E402
from evals.ratings import Battle  # noqa: E402
from evals.ratings.board import Board, columns_of  # noqa: E402
from evals.ratings.rate import REFITS, SCALE  # noqa: E402
from evals.ratings.strengths import RIDGE  # noqa: E402
from evals.stats.arrays import numbered  # noqa: E402
from tabs.ratings_plots import matrix_plot, rating_plot  # noqa: E402
from tabs.vote_pages import VotePages  # noqa: E402
from tests.evals.arena.stored_votes import casts, fill, planted  # noqa: E402

SPREAD = 1.2
"""Strengths lie evenly between this and its negative, in logits."""
FITTED = 20
"""Resamples that choix fits."""


@dataclass(frozen=True)
class Arena:
    """Battles, and the strengths that they were drawn from."""

    battles: Sequence[Battle]
    strengths: Sequence[float]

    def truth(self, name: str) -> float:
        """Return the planted rating of a model."""
        return 1_000 + SCALE * self.strengths[int(name[1:])]


def rate_times(arena: Arena, rounds: int) -> tuple[list[Spans], Standing]:
    """Return the times of a new standing, of one without length, and of a second look."""
    new, length, kept = Spans(), Spans(), Spans()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/arena.db")
        fill(store, casts(arena.battles))
        for _ in range(rounds):
            standings = Standings(store)
            found: Standing = new.time(standings.of)
            kept.time(partial(show, standings))
            length.time(partial(standings.of, length=True))
        store.close()
    return [new, length, kept], found


def show(standings: Standings) -> None:
    """Make all that the page shows of the ratings."""
    found = standings.of()
    VotePages(PROJECT / "assets" / "pages").ratings(found, "person")
    rating_plot(found)
    matrix_plot(found.matrix)


def choix_times(arena: Arena) -> tuple[float, float]:
    """Return seconds that choix takes for a fit with each resample, and its distance in points."""
    import choix

    size, resamples = len(arena.strengths), Spans()
    wins = np.array([pair for battle in arena.battles for pair in _wins(battle)])
    prompts = numbered([battle.prompt_id for battle in arena.battles for _ in range(2)])
    asked, rng = int(prompts.max()) + 1, np.random.default_rng(1)

    def fit_resample() -> None:
        drawn = rng.multinomial(asked, np.full(asked, 1 / asked))
        counts = np.zeros((size, size))
        np.add.at(counts, (wins[:, 0], wins[:, 1]), drawn[prompts] / 2)
        choix.ilsr_pairwise_dense(counts, alpha=RIDGE)

    for _ in range(FITTED):
        resamples.time(fit_resample)
    board = Board(arena.battles)
    found = board.strengths(columns_of(arena.battles, position=False, length=False), 0)[0]
    mine = found[[board.names.index(f"m{n}") for n in range(size)]]
    theirs = choix.opt_pairwise(size, [tuple(pair) for pair in wins.tolist()], alpha=RIDGE)
    apart = (mine - mine.mean()) - (theirs - theirs.mean())
    return resamples.p50_s, float(SCALE * np.abs(apart).max())


def _wins(battle: Battle) -> list[tuple[int, int]]:
    """Return the battle as choix takes it: a win twice, a tie once each way."""
    a, b = int(battle.model_a[1:]), int(battle.model_b[1:])
    ways = {"model_a": [(a, b), (a, b)], "model_b": [(b, a), (b, a)], "tie": [(a, b), (b, a)]}
    return ways[battle.outcome]


def figures(arena: Arena, rounds: int) -> list[Figure]:
    """Measure everything."""
    (new, length, kept), standing = rate_times(arena, rounds)
    fit_s, apart = choix_times(arena)
    models = standing.ratings.models
    off = [abs((model.rating or math.nan) - arena.truth(model.id)) for model in models]
    inside = sum((model.low or 0) <= arena.truth(model.id) <= (model.high or 0) for model in models)
    peer = f"choix {version('choix')}"
    theirs = fit_s * (REFITS + 1)
    return [
        Figure("ratings with intervals, read from the store", new.p50_s, "s", ("below", 2)),
        Figure("processor time of it", new.mean_cpu_s, "s"),
        Figure("the same with length taken out", length.p50_s, "s"),
        Figure("the page's second look, table and plots", kept.p50_s, "s", ("below", 1)),
        Figure(f"the same fits by {peer}", theirs, "s", note=f"{FITTED} of {REFITS + 1} timed"),
        Figure(
            f"ours, with reading and ranking, over {peer}", new.p50_s / theirs, "", ("below", 1)
        ),
        Figure(f"largest difference of a strength to {peer}", apart, "points", ("at most", 0.1)),
        Figure("mean distance to the planted rating", sum(off) / len(off), "points"),
        Figure("planted ratings inside their 95% interval", inside / len(models), ""),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--battles", type=int, default=10_000)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    strengths = np.linspace(SPREAD, -SPREAD, args.models).tolist()
    rng = np.random.default_rng(20261121)
    prompts = max(2, 2 * args.battles // 5)
    arena = Arena(planted(rng, strengths, args.battles, prompts), strengths)
    found = figures(arena, args.rounds)
    if args.json:
        print(json.dumps({"figures": [each.to_dict() for each in found], "machine": machine()}))
        return
    print(f"{args.battles} battles, {args.models} models, {args.rounds} rounds; {machine()}\n")
    print("| what | measured | goal |\n|---|---|---|")
    print("\n".join(each.to_row() for each in found))


if __name__ == "__main__":
    main()
