"""Decided battles as arrays: who met whom, which models are connected, and resamples of prompts."""

from collections.abc import Mapping, Sequence

import numpy as np

from core.errors import InputError
from evals.ratings.battles import Battle
from evals.ratings.strengths import Cells, fit
from evals.stats.arrays import SEED, Codes, Floats, numbered, sums
from evals.stats.bias import Outcome

WON: Mapping[Outcome, float] = {"model_a": 1.0, "tie": 0.5, "model_b": 0.0}
"""What a battle gives to the model shown first."""
AT_ONCE = 4_000_000
"""Numbers held in memory by one step of the fits."""
DOUBT = 0.5
"""Mean number of prompts that are turned each way where all prompts say the same: what the interval
of Agresti & Min (2005) adds to each cell."""
UPSETS = 1.5
"""Mean number of one-sided battles that a resample turns; see `Board._upsets`."""


class Board:
    """The battles that say something of strengths: wins, losses and ties, of at least one."""

    def __init__(self, battles: Sequence[Battle]) -> None:
        sides = [name for battle in battles for name in (battle.model_a, battle.model_b)]
        self.names = list(dict.fromkeys(sides))
        codes = numbered(sides).reshape(-1, 2)
        self.first, self.second = codes[:, 0], codes[:, 1]
        self.won = np.array([WON[battle.outcome] for battle in battles])
        self.n = len(battles)
        self.prompts = numbered([battle.prompt_id for battle in battles])
        self.battles = np.bincount(codes.ravel(), minlength=len(self.names))
        self.parts = _by_size(self._connected(is_strong=False))
        """Number of the connected part that each model is in, from 1, the largest first."""

    @property
    def has_one_prompt(self) -> bool:
        """Say whether nothing can be resampled."""
        return bool(self.prompts.max() == 0)

    def strengths(self, extras: Floats, refits: int, doubted: Sequence[int] = ()) -> Floats:
        """Return logits of the models and extras: first all battles', then of each resample.

        `extras` has a row for each battle, and a column for each thing to control for. A resample
        draws whole prompts. Where models have won everything against others, resamples would all
        say so too; therefore each holds some upsets that did not happen, see `_upsets`. So does
        each of the `doubted` parts, in which no resample would differ, see `_doubts`.
        """
        cells, places = self._cells(self.first, self.second, extras)
        upset_cells, upsets = self._upsets(refits, extras.shape[1])
        doubt_cells, doubts = self._doubts(refits, extras.shape[1], doubted)
        joined = cells.joined(upset_cells).joined(doubt_cells)
        upsets = np.concatenate([upsets, doubts])
        found = [fit(cells, *self._counts(np.ones((1, self.prompts.max() + 1)), places))]
        each = len(joined.first) + joined.columns**2 + 2 * self.n
        size = max(1, AT_ONCE // each)
        rng = np.random.default_rng(SEED)
        for start in range(0, 0 if self.has_one_prompt else refits, size):
            some = upsets[:, start : start + size]
            times, wins = self._counts(self._draw(rng, some.shape[1]), places)
            times = np.concatenate([times, some])
            found.append(fit(joined, times, np.concatenate([wins, np.zeros_like(some)])))
        return np.concatenate(found)

    def _cells(self, first: Codes, second: Codes, extras: Floats) -> tuple[Cells, Codes]:
        """Return the kinds of these battles, and each battle's kind."""
        rows = np.column_stack([first, second, extras])
        kinds, places = np.unique(rows, axis=0, return_inverse=True)
        models = kinds[:, :2].astype(np.int64)
        return Cells(len(self.names), models[:, 0], models[:, 1], kinds[:, 2:]), places

    def _draw(self, rng: np.random.Generator, many: int) -> Floats:
        prompts = int(self.prompts.max()) + 1
        drawn = rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=many)
        return drawn.astype(np.float64)

    def _counts(self, prompt_times: Floats, places: Codes) -> tuple[Floats, Floats]:
        """Return how often each kind came and was won: a column for each row of weights."""
        each = [weights[self.prompts] for weights in prompt_times]
        times = [sums(weights, places) for weights in each]
        wins = [sums(weights * self.won, places) for weights in each]
        return np.stack(times, axis=1), np.stack(wins, axis=1)

    def _upsets(self, refits: int, extras: int) -> tuple[Cells, Floats]:
        """Return battles that one side has always won, and how often each resample turns one.

        Where models can be split so that one side never lost a point to the other, the likelihood
        has no maximum (Ford 1957), and resamples know nothing of how large the gap may be. For each
        set of models that holds together by wins both ways, as many of its one-sided battles as a
        Poisson distribution of mean 1.5 says are lost as well. For ten wins of ten this puts the
        lower bound of the win rate at 71%; Wilson's interval says 72%.
        """
        tight = self._connected(is_strong=True)
        is_upset = tight[self.first] != tight[self.second]
        ahead = np.where(self.won == 1.0, self.first, self.second)[is_upset]
        behind = np.where(self.won == 1.0, self.second, self.first)[is_upset]
        cells, places = self._cells(ahead, behind, np.zeros((len(ahead), extras)))
        times = np.zeros((len(cells.first), refits))
        rng = np.random.default_rng(SEED + 1)
        for winners in np.unique(tight[ahead]):
            shares = sums((tight[ahead] == winners).astype(np.float64), places)
            times += rng.multinomial(rng.poisson(UPSETS, refits), shares / shares.sum()).T
        return cells, times

    def _doubts(self, refits: int, extras: int, parts: Sequence[int]) -> tuple[Cells, Floats]:
        """Return battles of each pair of these parts, and how often each resample has them.

        Where each prompt says the same of a pair (only ties, say), resamples know nothing of how
        far the next prompt may be from that. So each loses, and wins, as many prompts more as a
        Poisson distribution of mean 0.5 says.
        """
        inside = np.isin(self.parts[self.first], np.array(parts, dtype=np.int64))
        met = np.sort(np.column_stack([self.first, self.second])[inside], axis=1)
        pairs, places = np.unique(met, axis=0, return_inverse=True)
        places = places.reshape(-1)
        battles = np.bincount(places, minlength=len(pairs))
        on = np.unique(np.column_stack([places, self.prompts[inside]]), axis=0)
        each = battles / np.maximum(1, np.bincount(on[:, 0], minlength=len(pairs)))
        ways = np.concatenate([pairs, pairs[:, ::-1]]).astype(np.int64)
        cells = Cells(len(self.names), ways[:, 0], ways[:, 1], np.zeros((len(ways), extras)))
        rng = np.random.default_rng(SEED + 2)
        times = rng.poisson(DOUBT, (len(ways), refits)) * np.tile(each, 2)[:, None]
        return cells, times

    def _connected(self, is_strong: bool) -> Codes:
        """Return the number of each model's connected part; strong: by points won both ways."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        gave, took = self.won < 1.0, self.won > 0.0
        rows = np.concatenate([self.first[took], self.second[gave]])
        columns = np.concatenate([self.second[took], self.first[gave]])
        size = len(self.names)
        graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(size, size)).tocsr()
        labels = connected_components(graph, connection="strong" if is_strong else "weak")[1]
        return np.asarray(labels, dtype=np.int64)


def _by_size(labels: Codes) -> Codes:
    """Return labels numbered from 1 by how many models bear them, the most first."""
    sizes = np.bincount(labels)
    order = np.argsort(-sizes, kind="stable")
    numbers = np.empty_like(order)
    numbers[order] = np.arange(1, len(order) + 1)
    return np.asarray(numbers[labels], dtype=np.int64)


def columns_of(battles: Sequence[Battle], *, position: bool, length: bool) -> Floats:
    """Return what is controlled for: a row for each battle, a column for each thing.

    Raises:
        InputError: length is asked for and a battle lacks its lengths.
    """
    columns = []
    if position:
        columns.append(np.ones(len(battles)))
    if length:
        columns.append(_length_differences(battles))
    return np.stack(columns, axis=1) if columns else np.zeros((len(battles), 0))


def _length_differences(battles: Sequence[Battle]) -> Floats:
    known = [battle.lengths for battle in battles if battle.lengths is not None]
    if len(known) < len(battles):
        raise InputError(
            f"{len(battles) - len(known)} of {len(battles)} battles have no lengths; give all of "
            "them length_a and length_b, or don't control for length"
        )
    differences = np.array([(size.a - size.b) / (size.a + size.b + 1) for size in known])
    deviation = float(differences.std())
    return differences / deviation if deviation > 0 else differences
