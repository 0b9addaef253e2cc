"""lm-eval for comparison: a task of ours as one of its own, run by its command line.

It gets our prompts as texts, tools included, so that its template is ours. It grades with an exact
match that costs nothing; its answers are graded by us later, outside the measured time.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import yaml
from timed_command import Ran, run

BAR = b"Running generate_until requests:"
"""Printed when the weights and the prompts are there, and once more with each answer."""
TABLE = "pytablewriter"
NO_TABLE = """
class MarkdownTableWriter:
    headers, value_matrix = (), ()
    def dumps(self): return ""
LatexTableWriter = MarkdownTableWriter
"""
"""Stands in for what prints its table at the end, where that is not installed."""


@dataclass(frozen=True, slots=True)
class Times:
    """One evaluation, from its command to its end."""

    wall_s: float
    starting_s: float
    """Imports, plan, prompts and weights: until the model begins."""
    generating_s: float
    cpu_s: float

    @property
    def ending_s(self) -> float:
        """Return what passed after the last answer."""
        return self.wall_s - self.starting_s - self.generating_s


@dataclass(frozen=True, slots=True)
class Setting:
    """How lm-eval runs a model."""

    batch: str
    """Rows of a batch; `auto`: it looks for the most that it can."""
    threads: int

    def __str__(self) -> str:
        """Return the setting for people."""
        return f"batch {self.batch}, {self.threads} thread{'s' * (self.threads > 1)}"


class LmEval:
    """One model folder and one task, ready to be run by lm-eval."""

    def __init__(
        self, folder: Path, prompts: Mapping[str, str], new_tokens: int, room: Path
    ) -> None:
        """`prompts` are texts by item; `room` is an empty folder."""
        self._folder = folder
        self._prompts = prompts
        self._room = room
        rows = room / "rows.jsonl"
        lines = (json.dumps({"item": name, "prompt": text}) for name, text in prompts.items())
        rows.write_text("\n".join(lines), encoding="utf-8")
        task = {
            "task": "measured",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(rows)}},
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": "prompt",
            "doc_to_target": "item",
            "generation_kwargs": {
                "until": ["<|im_end|>"],
                "max_gen_toks": new_tokens,
                "do_sample": False,
            },
            "metric_list": [{"metric": "exact_match"}],
        }
        (room / "task.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
        if find_spec(TABLE) is None:
            (room / f"{TABLE}.py").write_text(NO_TABLE, encoding="utf-8")

    def run(self, setting: Setting, limit: int | None = None) -> tuple[Times, dict[str, str]]:
        """Evaluate once; return the times and the texts by item.

        Raises:
            RuntimeError: lm-eval failed, or asked something else than it was told to.
        """
        output = self._room / f"out-{len(list(self._room.glob('out-*')))}"
        environment = {
            "OMP_NUM_THREADS": str(setting.threads),
            "HF_HOME": str(self._room / "hub"),
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(self._room),
        }
        command = [*self._command(setting, output), *(["--limit", str(limit)] if limit else [])]
        ran = run(command, environment, self._room)
        return times_of(ran, [at for at, piece in ran.printed if BAR in piece]), self._read(output)

    def _command(self, setting: Setting, output: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "lm_eval", "run", "--model", "hf"),
            *("--model_args", f"pretrained={self._folder},dtype=float32"),
            *("--device", "cpu", "--batch_size", setting.batch),
            *("--tasks", "measured", "--include_path", str(self._room)),
            *("--log_samples", "--output_path", str(output)),
        ]

    def _read(self, output: Path) -> dict[str, str]:
        (log,) = output.glob("*/samples_*.jsonl")
        *lines, _ = log.read_text(encoding="utf-8").split("\n")
        answers: dict[str, str] = {}
        for row in map(json.loads, lines):
            name = row["doc"]["item"]
            if row["arguments"]["gen_args_0"]["arg_0"] != self._prompts[name]:
                raise RuntimeError(f"lm-eval asked something else for {name!r}")
            answers[name] = row["resps"][0][0]
        return answers


def times_of(ran: Ran, moments: list[float]) -> Times:
    """Return a command's times; the first and last of the moments are those of generating.

    Raises:
        RuntimeError: there is no moment, so nothing was generated.
    """
    if not moments:
        raise RuntimeError(f"nothing was generated: {' '.join(ran.lines[-3:])[-1000:]}")
    first, last = min(moments), max(moments)
    return Times(ran.wall_s, first - ran.began, last - first, ran.cpu_s)
