"""What the gateway costs, in seven parts; each figure stands beside a yardstick of the same run.

`python benchmarks/gateway.py [--part PART] [--json]`: `hit`, an exact cache hit among 10,000
entries; `litellm`, the same in LiteLLM; `fallback`, from an error to the next request; `pipeline`,
one request against a bare client's; `filter`, the output filter on a stream; `streams`, 200 at
once; `imports`. Prints Markdown for BENCHMARKS.md. CPU time and load are told with everything: on a
busy machine believe those first.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import caching  # noqa: E402  the repository is not a package
import calls  # noqa: E402
import guarding  # noqa: E402
from figures import Figure, machine  # noqa: E402
from servers import PROJECT  # noqa: E402

STARTS = 5
IMPORT = """
import time
wall, cpu = time.perf_counter(), time.process_time()
import {module}
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def import_seconds(module: str) -> tuple[float, float]:
    """Return the best wall and CPU time of several fresh imports."""
    command = [sys.executable, "-c", IMPORT.format(module=module)]
    runs = [
        subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout
        for _ in range(STARTS)
    ]
    walls, cpus = zip(*(map(float, run.split()) for run in runs), strict=True)
    return min(walls), min(cpus)


def imports(_: int) -> list[Figure]:
    """Time `import core.gateway.gateway` in fresh processes against the client library's import."""
    ours, cpu = import_seconds("core.gateway.gateway")
    client, _ = import_seconds("openai")
    return [
        Figure("import of the gateway alone, best of 5", ours, "s", ("below", 0.5)),
        Figure("its CPU time, best of 5", cpu, "s"),
        Figure("ratio to `import openai`", ours / client, ""),
    ]


PARTS: Mapping[str, Callable[[int], list[Figure]]] = {
    "hit": caching.hit,
    "litellm": caching.litellm,
    "fallback": calls.fallback,
    "pipeline": calls.pipeline,
    "filter": guarding.meta_language,
    "streams": calls.streams,
    "imports": imports,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", action="append", choices=PARTS, help="this one; else all")
    parser.add_argument(
        "--scale",
        type=int,
        default=100,
        help="per cent of the usual repeats; below 100 for a trial",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    before, began, found = machine(), time.perf_counter(), {}
    for name in args.part or PARTS:
        print(f"measuring: {name}", file=sys.stderr)
        found[name] = PARTS[name](args.scale)
    after = machine()
    if args.json:
        figures = {name: [each.to_dict() for each in part] for name, part in found.items()}
        print(json.dumps({"before": before, "after": after, "figures": figures}))
        return
    print(
        f"{before['processor']}, {before['cores']} cores, Python {before['python']}; load "
        f"{before['load'][0]} before and {after['load'][0]} after, "
        f"{time.perf_counter() - began:.0f} s in all\n"
    )
    print("| what | measured | goal |\n| --- | --- | --- |")
    for part in found.values():
        for figure in part:
            print(figure.to_row())


if __name__ == "__main__":
    main()
