"""The plots of a task."""

from typing import Any

from gradio.components.plot import PlotData

from evals.leaderboard import Board, Cell
from evals.leaderboard_pareto import Against, Pareto, pareto
from evals.leaderboard_text import money
from tabs.leaderboard_markup import digest_of
from tabs.plots import (
    AROUND_PX,
    REST,
    ROW_PX,
    TITLE,
    TOP,
    errors_of,
    label,
    layout_of,
    plain,
    plot_of,
)
from tabs.templates import clean, number, share

MAX_ROWS = 60
"""Models of a plot; more could not be read."""


def forest_plot(board: Board, task: str) -> PlotData | None:
    """Return scores with 95% intervals, the best on top; None where nothing is ranked."""
    cells = board.ranked(task)[:MAX_ROWS]
    column = board.column(task)
    if not cells or column is None:
        return None
    scores = [cell.run.score for cell in cells if cell.run.score]
    values = [score.value for score in scores]
    names = _labels(cells)
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": values,
        "y": names,
        "error_x": errors_of(scores),
        "marker": {"size": 9, "color": [TOP if cell.group == 1 else REST for cell in cells]},
        "text": [_interval(cell) for cell in cells],
        "hovertemplate": "%{text}<extra></extra>",
    }
    layout = layout_of(ROW_PX * len(cells) + AROUND_PX)
    layout["xaxis"] |= {"title": {**TITLE, "text": plain(column.metric)}}
    layout["yaxis"] |= {"autorange": "reversed", "type": "category"}
    if column.floor is not None:
        layout["shapes"] = [_floor_line(column.floor)]
        layout["annotations"] = [_floor_name(column.floor)]
    return plot_of([trace], layout)


def pareto_plot(board: Board, task: str, against: Against) -> PlotData | None:
    """Return quality against cost or speed, the front as a line; None where nothing is known."""
    found, column = pareto(board, task, against), board.column(task)
    points = found.points[: MAX_ROWS * 5]
    if not points or column is None:
        return None
    front = [point for point in points if point.on_front]
    labels = dict(zip((p.cell for p in points), _labels([p.cell for p in points]), strict=True))
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": [point.x for point in front],
        "y": [point.y for point in front],
        "line": {"color": TOP, "width": 1.5, "dash": "dot"},
        "hoverinfo": "skip",
    }
    dots = {
        "type": "scatter",
        "mode": "markers+text",
        "x": [point.x for point in points],
        "y": [point.y for point in points],
        "text": [labels[point.cell] if point.on_front else "" for point in points],
        "textposition": "top center",
        "cliponaxis": False,
        "error_y": errors_of([p.cell.run.score for p in points if p.cell.run.score], width=3),
        "marker": {"size": 9, "color": [TOP if point.on_front else REST for point in points]},
        "customdata": [f"{labels[p.cell]}<br>{_axis_text(p.x, against)}" for p in points],
        "hovertemplate": "%{customdata}<br>%{y:.3f}<extra></extra>",
    }
    layout = layout_of(360)
    name = "US dollars for 1,000 answers" if against == "cost" else "Tokens per second"
    layout["xaxis"] |= {"title": {**TITLE, "text": name}, "rangemode": "tozero"}
    layout["yaxis"] |= {"title": {**TITLE, "text": plain(column.metric)}}
    return plot_of([line, dots] if len(front) > 1 else [dots], layout)


def unknown_line(found: Pareto, against: Against) -> str:
    """Return which models the plot leaves out and why; empty for none."""
    if not found.unknown:
        return ""
    what = "cost" if against == "cost" else "speed"
    names = [clean(cell.run.model.name) for cell in found.unknown[:20]]
    more = len(found.unknown) - len(names)
    return f"Not plotted, {what} unknown: {', '.join(names)}{f' and {more} more' if more else ''}."


def _labels(cells: list[Cell]) -> list[str]:
    """Return names that differ, with digits of the digest where two models share one."""
    names = [cell.run.model.name for cell in cells]
    labels = [
        f"{name} · {digest_of(cell.run.model)}" if names.count(name) > 1 else name
        for name, cell in zip(names, cells, strict=True)
    ]
    return [label(name) for name in labels]


def _interval(cell: Cell) -> str:
    score = cell.run.score
    if score is None or score.low is None or score.high is None:
        return "no interval"
    return f"{share(score.value)} ({share(score.low)} to {share(score.high)}), n = {score.n}"


def _axis_text(x: float, against: Against) -> str:
    return f"{money(x)} for 1,000" if against == "cost" else f"{number(x)} tokens/s"


def _floor_line(floor: float) -> dict[str, Any]:
    line = {"color": REST, "width": 1, "dash": "dash"}
    ends = {"x0": floor, "x1": floor, "y0": 0, "y1": 1}
    return {"type": "line", "xref": "x", "yref": "paper", **ends, "line": line}


def _floor_name(floor: float) -> dict[str, Any]:
    place = {"x": floor, "y": 1, "xref": "x", "yref": "paper", "yanchor": "bottom"}
    return {**place, "text": "floor", "showarrow": False, "font": {"size": 12}}
