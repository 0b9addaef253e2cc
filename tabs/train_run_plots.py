"""Curves of a run, as Plotly draws them; the server has thinned them already."""

from collections.abc import Mapping
from typing import Any

from gradio.components.plot import PlotData

from tabs.plots import REST, TITLE, TOP, layout_of, plot_of
from training.history import EVAL, Curve, History

POINTS: Mapping[str, int] = {
    "loss": 1000,
    EVAL: 300,
    "learning_rate": 200,
    "tokens_per_s": 300,
    "memory_gb": 200,
}
"""Most points of each curve: 2,000 in all."""
LOSS_PX, RATES_PX = 320, 320
MAX_MARKS = 40
"""Resumptions that are marked, the newest."""
RATES = (("learning_rate", "Learning rate"), ("tokens_per_s", "Tokens/s"), ("memory_gb", "GB"))
GAP = 0.08
"""Between two rates, as a share of the plot's height."""


def loss_plot(history: History) -> PlotData | None:
    """Return the loss and the eval loss over the steps; None before the first step."""
    loss, evaluated = history.curves["loss"], history.curves[EVAL]
    if not loss.steps:
        return None
    traces = [{**_line(loss, REST), "name": "loss"}]
    if evaluated.steps:
        mode = "lines+markers" if len(evaluated.steps) <= 60 else "lines"
        traces.append({**_line(evaluated, TOP), "name": "eval loss", "mode": mode})
    layout = layout_of(LOSS_PX)
    layout["showlegend"] = len(traces) > 1
    layout["legend"] = {"orientation": "h", "x": 0, "y": 1.12, "font": {"size": 13}}
    layout["hovermode"] = "x"
    layout["xaxis"] |= {"title": {**TITLE, "text": "step"}}
    layout["shapes"] = _marks(history)
    return plot_of(traces, layout)


def rates_plot(history: History) -> PlotData | None:
    """Return learning rate, speed and memory, one above the other; None before the first step."""
    known = [(history.curves[name], title) for name, title in RATES if history.curves[name].steps]
    if not known:
        return None
    layout = layout_of(RATES_PX)
    layout["hovermode"] = "x"
    layout["xaxis"] |= {"title": {**TITLE, "text": "step"}, "anchor": f"y{len(known)}"}
    axis = layout.pop("yaxis")
    height = (1 - GAP * (len(known) - 1)) / len(known)
    traces = []
    for place, (curve, title) in enumerate(known, start=1):
        top = 1 - (place - 1) * (height + GAP)
        domain = [max(0.0, round(top - height, 4)), round(top, 4)]
        layout[f"yaxis{place}"] = {
            **axis, "domain": domain, "rangemode": "tozero", "nticks": 3,
            "title": {**TITLE, "text": title}, "exponentformat": "e",
        }  # fmt: skip
        traces.append({**_line(curve, TOP), "yaxis": f"y{place}", "name": title})
    layout["shapes"] = _marks(history)
    return plot_of(traces, layout)


def _line(curve: Curve, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines" if len(curve.steps) > 1 else "markers",
        "x": curve.steps,
        "y": [float(f"{value:.5g}") for value in curve.values],
        "line": {"color": colour, "width": 1.5},
        "marker": {"color": colour, "size": 6},
    }


def _marks(history: History) -> list[dict[str, Any]]:
    """Return a dotted line where each later attempt went on."""
    line = {"color": REST, "width": 1, "dash": "dot"}
    ends = {"type": "line", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "line": line}
    return [{**ends, "x0": step, "x1": step} for step in history.resumed_at[-MAX_MARKS:] if step]
