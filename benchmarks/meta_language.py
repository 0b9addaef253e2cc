"""How well the meta-language filter finds announcements, and what it costs per chunk.

`python benchmarks/meta_language.py [--json]`: precision and recall on the labelled set, written by
hand (tests/data/meta_language.jsonl), per language and split with 95% Wilson intervals; CPU time
per chunk of four characters, and its ratio to a floor in the same run: a loop that looks at each
character of the chunk once and gives the chunk out again.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from scipy.stats import binomtest  # noqa: E402  the repository is not a package

from core.gateway.guard.meta_language import (  # noqa: E402
    MetaLanguageFilter,
    filter_text,
    has_meta_language,
)

ROWS = PROJECT / "tests" / "data" / "meta_language.jsonl"
CHUNK = 4


def share(hits: int, n: int) -> dict[str, float]:
    """Return a proportion with its 95% interval; it needs at least one trial."""
    interval = binomtest(hits, n).proportion_ci(method="wilson")
    return {"value": hits / n, "low": float(interval.low), "high": float(interval.high), "n": n}


def labelled() -> list[dict[str, Any]]:
    """Return the labelled rows."""
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()]


def quality(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the row counts, precision, recall, and the share filtered exactly as labelled."""
    counts = Counter((row["has_meta"], has_meta_language(row["text"])) for row in rows)
    exact = sum(filter_text(row["text"]).text == row["expected"] for row in rows)
    true, false, missed = counts[True, True], counts[False, True], counts[True, False]
    return {
        "rows": len(rows),
        "precision": share(true, true + false),
        "recall": share(true, true + missed),
        "exact": share(exact, len(rows)),
    }


def looked_at(chunks: list[str]) -> Iterator[str]:
    """Yield the chunks after a look at each character: the least a character filter does."""
    for chunk in chunks:
        for character in chunk:
            character.isspace()
        yield chunk


def filtered(chunks: list[str]) -> Iterator[str]:
    """Yield what the filter lets out."""
    stream = MetaLanguageFilter()
    for chunk in chunks:
        yield stream.push(chunk)
    yield stream.flush()


def chunk_us(run: Callable[[list[str]], Iterator[str]], chunks: list[str]) -> float:
    """Return CPU microseconds per chunk."""
    began = time.thread_time()
    for _ in run(chunks):
        pass
    return (time.thread_time() - began) / len(chunks) * 1e6


def speed(rows: list[dict[str, Any]], rounds: int) -> dict[str, Any]:
    """Return medians over the rounds, both sides timed in each."""
    text = "\n\n".join(row["text"] for row in rows)
    one_by_one = [
        [row["text"][at : at + CHUNK] for at in range(0, len(row["text"]), CHUNK)] for row in rows
    ]
    whole = [text[at : at + CHUNK] for at in range(0, len(text), CHUNK)]
    times, ratios = [], []
    for _ in range(rounds):
        floor = chunk_us(looked_at, whole)
        began = time.thread_time()
        for chunks in one_by_one:
            for _ in filtered(chunks):
                pass
        ours = (time.thread_time() - began) / sum(map(len, one_by_one)) * 1e6
        times.append(ours)
        ratios.append(ours / floor)
    return {
        "chunk_us": statistics.median(times),
        "chunk_us_worst_round": max(times),
        "ratio_to_floor": statistics.median(ratios),
        "chunks": len(whole),
        "rounds": rounds,
        "load_1m": os.getloadavg()[0],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=15, help="timed rounds over the whole set")
    args = parser.parse_args()
    rows = labelled()
    measured: dict[str, Any] = {
        f"{language} {split}": quality(
            [row for row in rows if row["language"] == language and row["split"] == split]
        )
        for split in ("dev", "test")
        for language in ("en", "pt")
    }
    measured["speed"] = speed(rows, args.rounds)
    if args.json:
        print(json.dumps(measured))
        return
    print("| what | rows | precision | recall | exact |\n| --- | --- | --- | --- | --- |")
    for name, found in measured.items():
        if name != "speed":
            cells = [
                f"{found[key]['value']:.3f} ({found[key]['low']:.3f} to {found[key]['high']:.3f})"
                for key in ("precision", "recall", "exact")
            ]
            print(f"| {name} | {found['rows']} | {' | '.join(cells)} |")
    cost = measured["speed"]
    print(
        f"\n{cost['chunk_us']:.1f} µs of CPU per chunk of {CHUNK} characters (goal: at most 25), "
        f"{cost['ratio_to_floor']:.0f} times the floor; load {cost['load_1m']:.1f}"
    )


if __name__ == "__main__":
    main()
