"""`python -m training.pretrain.tasks`: write the rows of the built-in tasks.

The rows come from the world of the embedded models, but from what their training never drew: in
each prompt there is a held-out word, a held-out phrasing or a topic of its own. Running it again
gives the same bytes.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from training.pretrain.task_desk import desk_records, desk_routing, desk_tools
from training.pretrain.task_talk import desk_persona, gala_plan

Json = dict[str, Any]
TARGET = Path(__file__).resolve().parents[2] / "assets" / "tasks"
ROWS: Mapping[str, Callable[[], Iterator[Json]]] = {
    "desk_tools": desk_tools,
    "desk_records": desk_records,
    "desk_routing": desk_routing,
    "desk_persona": desk_persona,
    "gala_plan": gala_plan,
}
"""Task to what makes its rows."""


def main() -> int:
    """Write the rows of every task; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.pretrain.tasks", description=__doc__)
    parser.add_argument("--target", type=Path, default=TARGET, help="folder of the rows")
    folder: Path = parser.parse_args().target
    folder.mkdir(parents=True, exist_ok=True)
    for name in ROWS:
        text = rows_text(name)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8", newline="\n")
        sys.stderr.write(f"{name}: {text.count(chr(10))} rows\n")
    return 0


def rows_text(name: str) -> str:
    """Return the rows of one task as JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS[name]())


if __name__ == "__main__":
    sys.exit(main())
