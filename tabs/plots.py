"""Plots as Plotly draws them; `assets/style.css` colours text and lines by theme.

Gradio brings Plotly's script; the Python package would add 16 MB to write the same JSON.
"""

import json
from collections.abc import Sequence
from typing import Any

from gradio.components.plot import PlotData

from evals.sample import Estimate
from tabs.templates import clean

TOP, REST = "#c2515f", "#8d857b"
"""Colours that read well on paper and on the dark stage."""
ROW_PX, AROUND_PX = 30, 92
TITLE = {"font": {"size": 13}}


def layout_of(height: int) -> dict[str, Any]:
    """Return the layout that all plots share; `height` in pixels."""
    axis = {"zeroline": False, "fixedrange": True, "automargin": True}
    return {
        "height": height,
        "margin": {"l": 8, "r": 24, "t": 24, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": False,
        "xaxis": dict(axis),
        "yaxis": dict(axis),
    }


def plot_of(traces: list[dict[str, Any]], layout: dict[str, Any]) -> PlotData:
    """Return the value of a `gr.Plot`."""
    figure = {"data": traces, "layout": layout, "config": {"displayModeBar": False}}
    return PlotData(type="plotly", plot=json.dumps(figure))


def plain(text: str) -> str:
    """Return a text in which Plotly, which knows some HTML, finds none."""
    return clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def label(name: str) -> str:
    """Return a name as it stands at an axis: short, and plain."""
    return plain(name if len(name) <= 40 else f"{name[:38]}…")


def errors_of(found: Sequence[Estimate], width: float = 5) -> dict[str, Any]:
    """Return how far intervals reach beyond their values, as Plotly's error bars have it."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [e.high - e.value if e.high is not None else 0 for e in found],
        "arrayminus": [e.value - e.low if e.low is not None else 0 for e in found],
        "thickness": 1.5,
        "width": width,
        "color": REST,
    }
