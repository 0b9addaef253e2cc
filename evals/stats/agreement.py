"""How far raters agree beyond chance: Cohen's kappa and Krippendorff's alpha."""

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np

from core.errors import InputError
from evals.sample import Estimate
from evals.stats.arrays import ALPHA, RESAMPLES, SEED, Floats, check_lengths, is_finite

Scale = Literal["nominal", "ordinal", "interval"]
"""What a distance between two marks is: other or not, ranks apart, or the squared difference."""
MOST_VALUES = 64
"""Distinct marks that alpha is computed for."""
AT_ONCE = 2_000_000
"""Numbers drawn at once."""


def cohen_kappa(one: Sequence[Hashable], other: Sequence[Hashable]) -> Estimate:
    """Return the agreement of two raters' labels, -1.0 to 1.0, 0.0 being chance.

    The interval is the percentile bootstrap's over items; resamples with one label only, for which
    kappa is undefined, are left out.

    Raises:
        InputError: different lengths, no items, or all labels of both raters are the same one.

    Source: Cohen (1960), "A coefficient of agreement for nominal scales".
    """
    check_lengths("the raters' labels", one, other)
    n = len(one)
    if len({*one, *other}) < 2:
        raise InputError(f"kappa of {n} items with fewer than two different labels is undefined")
    names = {label: number for number, label in enumerate(dict.fromkeys([*one, *other]))}
    table = np.zeros((len(names), len(names)))
    for left, right in zip(one, other, strict=True):
        table[names[left], names[right]] += 1
    rng = np.random.default_rng(SEED)
    drawn = rng.multinomial(n, table.ravel() / n, size=RESAMPLES).reshape(-1, *table.shape)
    return _with_interval(_kappas(table[None])[0], _kappas(drawn.astype(np.float64)), n)


def _kappas(tables: Floats) -> Floats:
    """Return kappa of each table of counts; NaN where undefined."""
    totals = tables.sum(axis=(1, 2))  # (tables,)
    observed = np.trace(tables, axis1=1, axis2=2) / totals
    expected = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1) / totals**2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(expected < 1, (observed - expected) / (1 - expected), np.nan))


def krippendorff_alpha(
    ratings: Sequence[Sequence[float | None]], scale: Scale = "nominal"
) -> Estimate:
    """Return the agreement of any number of raters, with 1.0 full and 0.0 that of chance.

    `ratings` has a row for each item with a mark for each rater; None is missing. Items with fewer
    than two marks say nothing and are not counted in `n`. The interval is the percentile
    bootstrap's over items.

    Raises:
        InputError: no item has two marks, a mark is not finite, all marks are equal, or there are
            more than 64 different ones.

    Source: Krippendorff (2011), "Computing Krippendorff's alpha-reliability"; the ordinal distance
    is that of his "Content analysis", third edition.
    """
    rows = [[mark for mark in row if mark is not None] for row in ratings]
    rows = [row for row in rows if len(row) >= 2]
    values = sorted({float(mark) for row in rows for mark in row})
    _check_values(values)
    places = {value: place for place, value in enumerate(values)}
    counts = np.zeros((len(rows), len(values)))  # (items, values)
    for number, row in enumerate(rows):
        for mark in row:
            counts[number, places[float(mark)]] += 1
    distances = np.subtract.outer(values, values) ** 2
    pairs = _coincidences(counts)
    tables = np.concatenate([pairs.sum(axis=0)[None], _resampled(pairs)])
    alphas = _alphas(tables.reshape(-1, len(values), len(values)), scale, distances)
    return _with_interval(alphas[0], alphas[1:], len(rows))


def _check_values(values: Sequence[float]) -> None:
    if not values:
        raise InputError("alpha needs items with at least two marks, and there are none")
    if not is_finite(*values):
        raise InputError("marks must be finite numbers")
    if len(values) < 2:
        raise InputError(f"alpha is undefined: every mark is {values[0]:g}")
    if len(values) > MOST_VALUES:
        raise InputError(
            f"alpha takes at most {MOST_VALUES} different marks, got {len(values)}; round them"
        )


def _coincidences(counts: Floats) -> Floats:
    """Return each item's pairs of values, weighted so that each mark counts once."""
    raters = counts.sum(axis=1)[:, None, None]
    ordered = counts[:, :, None] * counts[:, None, :]
    ordered -= np.eye(counts.shape[1]) * counts[:, :, None]
    return np.asarray((ordered / (raters - 1)).reshape(len(counts), -1))  # (items, values²)


def _resampled(pairs: Floats) -> Floats:
    """Return the sums over items drawn with replacement, many times."""
    rng = np.random.default_rng(SEED)
    items = len(pairs)
    size = max(1, AT_ONCE // items)
    draws = [min(size, RESAMPLES - start) for start in range(0, RESAMPLES, size)]
    shares = np.full(items, 1 / items)
    return np.concatenate([rng.multinomial(items, shares, size=many) @ pairs for many in draws])


def _alphas(pairs: Floats, scale: Scale, squares: Floats) -> Floats:
    """Return alpha of each matrix of coincidences; NaN where all marks are equal."""
    margins = pairs.sum(axis=2)  # (matrices, values)
    totals = margins.sum(axis=1)
    distances = squares
    if scale == "nominal":
        distances = (squares > 0).astype(np.float64)
    elif scale == "ordinal":
        places = np.cumsum(margins, axis=1) - margins / 2
        distances = (places[:, :, None] - places[:, None, :]) ** 2
    observed = (pairs * distances).sum(axis=(1, 2))
    expected = (margins[:, :, None] * margins[:, None, :] * distances).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = (totals - 1) * observed / expected
    return np.asarray(np.where(expected > 0, 1 - ratios, np.nan))


def _with_interval(value: float, resampled: Floats, n: int) -> Estimate:
    defined = resampled[np.isfinite(resampled)]
    if n < 2 or not len(defined):
        return Estimate(float(value), None, None, n)
    low, high = np.quantile(defined, [ALPHA / 2, 1 - ALPHA / 2])
    return Estimate(float(value), float(low), float(high), n)
