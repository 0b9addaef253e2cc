"""What following a long run costs the app: `python benchmarks/curves.py [--steps 100000] [--json]`.

A run's events are written as a worker writes them. Then the page's looks are timed: the first one
reads them all, each later one what was written since, a look at a run that stands still nothing.
What is sent is the JSON of both plots. Prints Markdown for BENCHMARKS.md.
"""

import argparse
import json
import math
import random
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from figures import Figure, Spans, machine  # noqa: E402  the repository is not a package
from gradio.components.plot import PlotData  # noqa: E402

from tabs.train_run_plots import POINTS, loss_plot, rates_plot  # noqa: E402
from tabs.train_run_view import STRETCHES  # noqa: E402
from training.events import NAME  # noqa: E402
from training.history import Histories, History  # noqa: E402

LOOKS = 50
SINCE = 20
"""Steps that are written between two looks."""


def lines(first: int, last: int, total: int) -> Iterator[str]:
    """Yield the events of the steps after `first` up to `last`."""
    draw = random.Random(first)
    for step in range(first + 1, last + 1):
        fall = math.exp(-3 * step / total)
        values = {
            "t": 1.7e9 + step, "kind": "step", "attempt": 1, "step": step,
            "loss": 2.6 * fall + 0.4 + draw.gauss(0, 0.06), "lr": 1e-4 * (1 + fall),
            "grad_norm": draw.uniform(0.5, 2.0), "tokens": 2048,
            "tokens_per_s": round(900 + draw.gauss(0, 30), 1), "memory_gb": 0.98,
        }  # fmt: skip
        yield f"{json.dumps(values)}\n"
        if step % 100 == 0:
            yield f"{json.dumps({**values, 'kind': 'eval', 'loss': 2.5 * fall + 0.5})}\n"


def both_plots(history: History) -> list[PlotData]:
    """Return what a page gets."""
    return [plot for plot in (loss_plot(history), rates_plot(history)) if plot]


def measure(steps: int) -> list[Figure]:
    """Follow a run that has done so many steps and goes on."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run", NAME)
        path.parent.mkdir()
        path.write_text("".join(lines(0, steps, steps)), encoding="utf-8")
        size_mb = path.stat().st_size / 1e6
        histories = Histories(Path(folder))
        first, later, still, drawn = Spans(), Spans(), Spans(), Spans()
        first.time(lambda: histories.look("run", POINTS))
        for number in range(LOOKS):
            begin = steps + SINCE * number
            with path.open("a", encoding="utf-8") as file:
                file.writelines(lines(begin, begin + SINCE, steps))
            history = later.time(lambda: histories.look("run", POINTS))
            still.time(lambda: histories.stamp("run", STRETCHES))
            plots = drawn.time(partial(both_plots, history))
    sent = sum(len(plot.plot) for plot in plots)
    points = sum(len(curve.steps) for curve in history.curves.values())
    return [
        Figure(f"first look at {steps:,} steps", first.p50_s, "s", note=f"{size_mb:.0f} MB"),
        Figure("a later look, median", later.p50_s * 1e3, "ms", ("at most", 100)),
        Figure("a look that finds nothing new, median", still.p50_s * 1e3, "ms", ("at most", 5)),
        Figure("both plots, median", drawn.p50_s * 1e3, "ms", ("at most", 100)),
        Figure("points sent", points, "", ("at most", 2000)),
        Figure("bytes sent", sent, "", ("at most", 60_000)),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = measure(args.steps)
    if args.json:
        print(json.dumps({"machine": machine(), "figures": [f.to_dict() for f in figures]}))
        return
    print("| what | value | goal |\n| --- | --- | --- |")
    print("\n".join(figure.to_row() for figure in figures))


if __name__ == "__main__":
    main()
