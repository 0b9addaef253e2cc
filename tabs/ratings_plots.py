"""The plots of ratings: intervals, and who beat whom how often."""

from collections.abc import Sequence
from typing import Any

from gradio.components.plot import PlotData

from evals.arena.standings import Standing
from evals.ratings import Rating
from evals.ratings.matrix import WinMatrix
from evals.sample import Estimate
from tabs.plots import AROUND_PX, REST, ROW_PX, TITLE, TOP, errors_of, label, layout_of, plot_of

MOST_ROWS = 60
"""Models of a plot; more could not be read."""
WIDEST = 26
"""Characters of a name beside a plot; a phone has no room for more."""
SCALE = [[0.0, "rgba(141,133,123,.10)"], [0.5, "rgba(194,81,95,.22)"], [1.0, "rgba(194,81,95,.80)"]]
"""From never to always won; lets the page through, so that the text reads on both themes."""


def rating_plot(standing: Standing) -> PlotData | None:
    """Return ratings with 95% intervals, the strongest on top; None where nothing is rated."""
    models = [m for m in standing.ratings.models if m.rating is not None][:MOST_ROWS]
    if not models:
        return None
    found = [Estimate(m.rating or 0.0, m.low, m.high, m.n) for m in models]
    rows = list(range(len(models)))
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [estimate.value for estimate in found],
        "y": rows,
        "error_x": errors_of(found),
        "marker": {
            "size": 9,
            "color": [TOP if m.rank == 1 else REST for m in models],
            "symbol": ["circle-open" if m.is_provisional else "circle" for m in models],
        },
        "text": [_words(m) for m in models],
        "hovertemplate": "%{text}<extra></extra>",
    }
    layout = layout_of(ROW_PX * len(models) + AROUND_PX)
    layout["xaxis"] |= {"title": {**TITLE, "text": "Rating"}, "nticks": 6, "tickangle": 0}
    layout["yaxis"] |= _rows([m.id for m in models])
    return plot_of([trace], layout)


def matrix_plot(matrix: WinMatrix) -> PlotData | None:
    """Return how much of the decided battles each row took from each column; ties are half.

    Columns bear the numbers of the rows: names would take more room than the cells.
    """
    names = matrix.names[:MOST_ROWS]
    places = range(len(names))
    if not any(matrix.battles[i][j] for i in places for j in places):
        return None
    shares = [[_share(matrix, i, j) for j in places] for i in places]
    trace: dict[str, Any] = {
        "type": "heatmap",
        "z": shares,
        "zmin": 0,
        "zmax": 1,
        "colorscale": SCALE,
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "hoverongaps": False,
        "text": [["" if cell is None else f"{cell:.0%}"[:-1] for cell in row] for row in shares],
        "texttemplate": "%{text}",
        "textfont": {"size": 11},
        "customdata": [[_met(matrix, i, j) for j in places] for i in places],
        "hovertemplate": "%{customdata}<extra></extra>",
    }
    numbers = [str(place + 1) for place in places]
    layout = layout_of(ROW_PX * len(names) + 56)
    layout["margin"] |= {"b": 16}
    layout["xaxis"] |= {"tickvals": list(places), "ticktext": numbers, "side": "top"}
    layout["xaxis"] |= {"showgrid": False, "tickangle": 0}
    layout["yaxis"] |= _rows([f"{n}  {name}" for n, name in zip(numbers, names, strict=True)])
    layout["yaxis"] |= {"showgrid": False}
    return plot_of([trace], layout)


def _rows(names: Sequence[str]) -> dict[str, Any]:
    """Return an axis with a name at each row, the first on top; equal names stay apart."""
    return {
        "tickvals": list(range(len(names))),
        "ticktext": [
            label(name if len(name) <= WIDEST else f"{name[: WIDEST - 1]}…") for name in names
        ],
        "range": [len(names) - 0.5, -0.5],
    }


def _words(model: Rating) -> str:
    interval = "no interval yet"
    if model.low is not None and model.high is not None:
        interval = f"{model.low:.0f} to {model.high:.0f}"
    note = ", provisional" if model.is_provisional else ""
    return f"{model.rating:.0f} ({interval}), {model.n} battles{note}"


def _share(matrix: WinMatrix, one: int, other: int) -> float | None:
    battles = matrix.battles[one][other]
    return matrix.wins[one][other] / battles if battles else None


def _met(matrix: WinMatrix, one: int, other: int) -> str:
    names = label(matrix.names[one]), label(matrix.names[other])
    battles = matrix.battles[one][other]
    if not battles:
        return f"{names[0]} and {names[1]} have not met"
    return f"{names[0]} took {matrix.wins[one][other]:g} of {battles} from {names[1]}"
