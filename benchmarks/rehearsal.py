"""The whole loop on the embedded understudy, by the commands that people use.

`python benchmarks/rehearsal.py [--rows 1500] [--home FOLDER] [--out rehearsal.json]`

Conversations of the understudy's world, a fifth of them with its bad habits, are imported, audited
against the tasks, curated, split and trained on with QLoRA; the tasks are evaluated before and
after, and compared item by item. The tasks hold words, phrasings and topics that the world's
training text never has. Every figure is one that a command printed. Prints Markdown for
BENCHMARKS.md and ends with 1 if a goal is missed. Without `--home` nothing but the file is left.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# The project first: in this folder the name of the package `training` is a file's.
sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import yaml  # noqa: E402  the repository is not a package
from figures import Figure, machine  # noqa: E402
from world_rows import write_world  # noqa: E402

from core.settings import PROJECT  # noqa: E402

BASE, DATASET = "understudy", "world"
SEED, HABITUAL = "rehearsal", 5
TOOLS, PERSONA = "desk_tools", "desk_persona"
SETTINGS: Mapping[str, Any] = {
    "model": BASE,
    "preset": "tool-call",
    # The preset's rate is for bases of billions of weights; one of a million takes ten times that.
    "learning_rate": 2e-3,
    "batch_size": 8,
    "max_length": 1024,
}
LONG = ("shown", "findings", "queue", "slices", "discordant", "diff", "classes", "preview")
"""What commands print that is of no use in a table."""
SECONDS, LEAST_ITEMS = 600, 200


class Home:
    """A folder of Understudy's, and what the commands on it printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[dict[str, Any]] = []

    def command(self, *words: str | Path) -> Any:
        """Run a command of the project; return the JSON that it prints."""
        line = ["python", "-m", *map(str, words), "--json"]
        print(" ".join(line), file=sys.stderr, flush=True)
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *line[1:]],
            cwd=PROJECT,
            env={**os.environ, "UNDERSTUDY_HOME": str(self.folder)},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"it ended with {done.returncode}: {done.stdout.strip()[-500:]}")
        answer = json.loads(done.stdout)
        seconds = round(time.perf_counter() - began, 1)
        self.told.append({"command": " ".join(line), "seconds": seconds, "answer": short(answer)})
        return answer


def main() -> int:
    """Rehearse and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--limit", type=int, help="items of each task instead of all")
    parser.add_argument("--home", type=Path, help="an empty folder, which stays")
    parser.add_argument("--out", type=Path, default=Path("rehearsal.json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = Home(args.home or Path(scratch))
        home.folder.mkdir(parents=True, exist_ok=True)
        write_world(home.folder / "world.jsonl", args.rows, SEED, HABITUAL)
        began, before = time.perf_counter(), machine()
        found = rehearsed(home, args.limit)
        took_s = time.perf_counter() - began
    found.append(Figure("all of it", took_s, "s", ("at most", SECONDS)))
    told = {"machine": {"before": before, "after": machine()}, "commands": home.told}
    told["figures"] = [figure.to_dict() for figure in found]
    args.out.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{told['machine']}\n\n| what | measured | goal |\n| --- | --- | --- |")
    for figure in found:
        print(figure.to_row())
    return int(any(figure.is_met is False for figure in found))


def rehearsed(home: Home, limit: int | None) -> list[Figure]:
    """Go through the loop; return what came of it."""
    before = evaluated(home, BASE, limit)
    dataset, found = prepared(home)
    settings = home.folder / "run.yaml"
    settings.write_text(yaml.safe_dump({**SETTINGS, "dataset": dataset}), encoding="utf-8")
    run = home.command("training", "run", settings, "--name", "rehearsal")
    found.append(Figure("training", home.told[-1]["seconds"], "s", None, f"{run['step']} steps"))
    after = evaluated(home, run["adapter"], limit)
    tools = compared(home, before[TOOLS], after[TOOLS], "tool_call_strict")
    persona = compared(home, before[PERSONA], after[PERSONA], "meta_language_rate")
    return [
        *found,
        *gain("right tool calls", tools, "low"),
        *gain("answers with announcements", persona, "high"),
    ]


def prepared(home: Home) -> tuple[str, list[Figure]]:
    """Import, audit, curate and split; return the version to train on, and what was found."""
    length = str(SETTINGS["max_length"])
    against = [word for task in (TOOLS, PERSONA) for word in ("--against", task)]
    home.command("training", "data", "import", home.folder / "world.jsonl", "--name", DATASET)
    audit = home.command(
        "training", "data", "audit", DATASET, "--model", BASE, "--max-length", length, *against
    )
    curated = home.command("training", "data", "curate", DATASET, "--audit", audit["audit"])
    split = home.command("training", "data", "split", curated["dataset"], "--eval-share", "0.05")
    changes = f"{curated['dropped']} dropped, {curated['rewritten']} rewritten"
    return curated["dataset"], [
        Figure("rows audited", audit["rows"], "", None, f"against {audit['items']} items"),
        Figure("with announcements", audit["meta_language"], ""),
        Figure("leaking an item", audit["leaked"], ""),
        Figure("rows trained on", split["train"], "", None, changes),
    ]


def evaluated(home: Home, model: str, limit: int | None) -> dict[str, str]:
    """Run the tasks; return the run of each."""
    tasks = [word for task in (TOOLS, PERSONA) for word in ("--task", task)]
    some = () if limit is None else ("--limit", str(limit))
    told = home.command("evals", "run", "--model", model, *tasks, *some)
    return {run["task"]: run["run"] for run in told["runs"]}


def compared(home: Home, before: str, after: str, metric: str) -> Mapping[str, Any]:
    """Compare two runs by a metric, item by item."""
    told: Mapping[str, Any] = home.command("evals", "compare", before, after, "--metric", metric)
    return told


def gain(what: str, told: Mapping[str, Any], end: str) -> list[Figure]:
    """Return shares before and after, and the end of the interval that 0 must lie beyond."""
    scores, between = told["scores"], told["difference"]
    interval = f"95 % interval {100 * between['low']:.1f} to {100 * between['high']:.1f}"
    kind = "above" if end == "low" else "below"
    return [
        Figure(f"{what}, before", 100 * scores["a"], "%"),
        Figure(f"{what}, after", 100 * scores["b"], "%"),
        Figure("paired difference", 100 * between["value"], "points", None, interval),
        Figure(f"its {end} end", 100 * between[end], "points", (kind, 0.0)),  # type: ignore[arg-type]
        Figure("items", told["n"], "", ("at least", LEAST_ITEMS)),
    ]


def short(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a command printed without its long lists."""
    return {key: plain(value) for key, value in answer.items() if key not in LONG}


def plain(value: Any) -> Any:
    """Do the same within lists of objects, such as those of several runs."""
    if isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
        return [short(each) for each in value]
    return value


if __name__ == "__main__":
    sys.exit(main())
