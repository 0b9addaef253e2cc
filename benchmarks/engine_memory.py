"""Whether the pool's figures are true: what an engine says it takes, and what the process grew by.

`python benchmarks/engine_memory.py [--json]` loads a random Llama of 80 M parameters on each
engine, in a process of its own per row, lets eight requests fill their places, and compares.
"""

import argparse
import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import psutil  # noqa: E402  the repository is not a package
from figures import Figure  # noqa: E402
from made_models import LEAD, make_mid  # noqa: E402

from core.engines.base import Engine, Job  # noqa: E402
from core.engines.llama_cpp import load_llama_cpp  # noqa: E402
from core.engines.llama_server import LlamaOptions  # noqa: E402
from core.engines.transformers_engine import load_engine  # noqa: E402

KINDS = ("fp32", "nf4", "int8", "F32", "F16", "Q8_0", "Q4_0")
"""Precisions of transformers, then quantisations of llama.cpp."""
CONTEXT, REQUESTS, NEW_TOKENS = 1024, 8, 64


def loaded(folder: Path, kind: str, cache: Path) -> Engine:
    """Load the folder on the engine that has this precision."""
    if kind in ("fp32", "nf4", "int8"):
        return load_engine("measured", folder, kind)  # type: ignore[arg-type]  # one of KINDS
    return load_llama_cpp("measured", folder, LlamaOptions(kind, CONTEXT, cache))  # type: ignore[arg-type]


def own_bytes() -> int:
    """Return the memory that only this process has, after what is free was given back."""
    import ctypes

    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return psutil.Process().memory_full_info().uss


def fill(engine: Engine) -> None:
    """Let rows of some length run to their ends, so that every buffer there is has been used."""
    from threading import Event

    from core.messages import GenerationParams

    params = GenerationParams(max_tokens=NEW_TOKENS)
    jobs = [
        Job([20 + n, *range(30, 630)], params, None, NEW_TOKENS, Event()) for n in range(REQUESTS)
    ]
    for future in [engine.submit(job) for job in jobs]:
        future.result()


def measure(folder: Path, kind: str) -> tuple[int, int]:
    """Return the bytes by which the process grew, and what the engine says that it takes."""
    with tempfile.TemporaryDirectory() as room:
        cache = Path(room)
        loaded(folder, kind, cache).close()  # libraries, and converted files
        small = loaded(LEAD, kind, cache)
        fill(small)
        small.close()
        before = own_bytes()
        engine = loaded(folder, kind, cache)
        fill(engine)
        grown = own_bytes() - before
        said = engine.size_bytes
        engine.close()
    return grown, said


def main() -> int:
    """Measure each kind in a process of its own and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("FOLDER", "KIND"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(Path(args.one[0]), args.one[1])))
        return 0
    folder, figures = make_mid(), []
    for kind in KINDS:
        command = [sys.executable, __file__, "--one", str(folder), kind]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        grown, said = json.loads(done.stdout.splitlines()[-1])
        figures += [
            Figure(f"{kind}: the process grew by", grown / 1e6, "MB"),
            Figure(f"{kind}: the engine says", said / 1e6, "MB"),
            Figure(f"{kind}: said to grown", said / grown, ""),
        ]
    if args.json:
        print(json.dumps([figure.to_dict() for figure in figures]))
        return 0
    print("| what | measured | goal |\n| --- | --- | --- |")
    print("\n".join(figure.to_row() for figure in figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
