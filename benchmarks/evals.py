"""How long an evaluation takes: `python -m evals run`, and lm-eval on the same task beside it.

`python benchmarks/evals.py [--model lead|mid] [--task desk_tools] [--rounds 3] [--json]`

Both are run by their command lines, from start to summary: the same weights in 32-bit floats on the
CPU, the same prompts token for token, greedy, the same limit of new tokens. lm-eval gets its best
setting: each batch size and number of threads is tried once, and the best one then takes turns with
ours, which is run as it comes. What lm-eval answered is graded by our scorer, outside its time.
Answers that differ are counted, with how close the two best scores are where they can part. `mid`
is a random Llama of 80 M parameters. Prints Markdown for BENCHMARKS.md.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

# The project first: in this folder the name of the package is this file's.
sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from figures import Figure, machine  # noqa: E402  the repository is not a package
from lm_eval_run import LmEval, Setting, Times, times_of  # noqa: E402
from made_models import LEAD, make_mid  # noqa: E402
from rig import home_with  # noqa: E402
from servers import PROJECT  # noqa: E402
from timed_command import run  # noqa: E402

from core.catalog import ModelEntry, Target  # noqa: E402
from core.providers.base import ProviderCall  # noqa: E402
from core.providers.prompt import build_prompt  # noqa: E402
from core.tool_calls import split_calls  # noqa: E402
from evals.grading import GradingFailure, ScorerSpec, grade_all  # noqa: E402
from evals.plan import ordered  # noqa: E402
from evals.run_files import open_run  # noqa: E402
from evals.run_rows import Row  # noqa: E402
from evals.sample import Answer, Grade, Sample  # noqa: E402
from evals.task import Task  # noqa: E402
from evals.task_files import load_task, samples_of  # noqa: E402
from evals.totals import estimate_of  # noqa: E402

CONTEXT = 1024
TIE = 1e-3
"""Two scores this close may change places when sums are made over batches of another shape."""
MID_ITEMS = 64

Plain = tuple[str, tuple[tuple[str, str], ...]]
"""An answer as both sides can tell it: the text beside the calls, and each call."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one evaluation came to."""

    times: Times
    answers: Mapping[str, Plain]
    grades: Sequence[Grade]
    tokens: int | None
    """New tokens; None: not told."""


class Exam:
    """One model and one task, ready for both harnesses."""

    def __init__(self, folder: Path, task: str, limit: int | None) -> None:
        from transformers import AutoTokenizer

        entry = {
            "provider": "local",
            "path": str(folder),
            "context": CONTEXT,
            "precision": "fp32",
        }
        self.folder = folder
        self.home = home_with({"models": {"measured": entry}, "default_model": "measured"})
        self.task: Task = load_task(task, self.home)
        self.samples = {s.id: s for s in ordered(samples_of(self.task), 0, limit)}
        self._limit = ["--limit", str(len(self.samples))]
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self.tokens = {name: self._tokens(sample) for name, sample in self.samples.items()}
        prompts = {name: self._text(tokens) for name, tokens in self.tokens.items()}
        room = Path(tempfile.mkdtemp(prefix="understudy-lm-eval-"))
        self.peer = LmEval(folder, prompts, self.task.params.max_tokens, room)

    def ours(self, threads: int | None = None) -> Outcome:
        """Run our harness once; `threads` is None for its own choice."""
        command = [sys.executable, "-m", "evals", "run", "--model", "measured", "--task"]
        command += [self.task.name, "--no-cache", "--json", *self._limit]
        environment = {"UNDERSTUDY_HOME": str(self.home), "PYTHONPATH": str(PROJECT)}
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        ran = run(command, environment, PROJECT)
        summary = json.loads(next(line for line in ran.lines if line.startswith("{")))
        folder = open_run(self.home, summary["run"])
        rows = folder.rows()
        moments = [moment for row in rows for moment in _span(row)]
        answers = {
            row.id: (row.text, tuple((c["name"], c["arguments"]) for c in row.tool_calls or ()))
            for row in rows
        }
        return Outcome(
            times_of(ran, moments), answers, folder.grades(), int(summary["output_tokens"])
        )

    def theirs(self, setting: Setting) -> Outcome:
        """Run lm-eval once and grade its answers."""
        times, texts = self.peer.run(setting)
        pairs = ((each, each, Answer(texts[name])) for name, each in self.samples.items())
        spec = ScorerSpec(self.task.scorer, self.task.arguments)
        grades: list[Grade] = []
        for sample, found in grade_all(spec, pairs):
            if isinstance(found, GradingFailure):
                raise RuntimeError(f"{sample.id!r} can't be graded: {found.text}")
            grades.append(Grade(sample.id, sample.group, found))
        answers = {name: self._plain(self.samples[name], text) for name, text in texts.items()}
        return Outcome(times, answers, grades, None)

    def closest(self, name: str) -> float:
        """Return the smallest gap between the two best scores of an item's greedy answer.

        Where two greedy answers part, one of them parts from this one, at a token of this one.
        """
        import torch

        prompt = torch.tensor([self.tokens[name]])
        with torch.inference_mode():
            made = self._model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=self.task.params.max_tokens,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
            )
        best = torch.cat(made.logits).topk(2).values  # (tokens, 2)
        return float((best[:, 0] - best[:, 1]).min())

    @cached_property
    def _model(self) -> Any:
        import torch
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32).eval()

    def _tokens(self, sample: Sample) -> list[int]:
        """Return the prompt as our provider makes it."""
        target = Target("measured", "measured", ModelEntry("local", CONTEXT))
        messages, tools = sample.messages, sample.tools
        call = ProviderCall(target, messages, tools, self.task.params, threading.Event())
        return build_prompt(self._tokenizer, call).tokens

    def _text(self, tokens: list[int]) -> str:
        """Return the prompt as a text that becomes the same tokens again."""
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=False)
        if self._tokenizer(text)["input_ids"] != tokens:
            raise RuntimeError(f"a prompt is not the same tokens as a text: {text[:200]!r}")
        return text

    @staticmethod
    def _plain(sample: Sample, text: str) -> Plain:
        if not sample.tools:
            return text, ()
        found = split_calls(text)
        return found.content, tuple((call.name, call.arguments) for call in found.calls)


def _span(row: Row) -> tuple[float, float]:
    """Return when an answer was begun, the weights being there, and when it was ended."""
    assert row.began is not None
    assert row.ended is not None
    loading = (row.timings or {}).get("load_s")
    assert isinstance(loading, float)
    return row.began + loading, row.ended


def timed(title: str, times: Sequence[Times]) -> list[Figure]:
    """Return the medians of some runs."""
    note = f"median of {len(times)}" if len(times) > 1 else "once"
    parts: Mapping[str, Callable[[Times], float]] = {
        "wall time": lambda each: each.wall_s,
        "until the model begins": lambda each: each.starting_s,
        "generating": lambda each: each.generating_s,
        "after the last answer": lambda each: each.ending_s,
        "CPU time": lambda each: each.cpu_s,
    }
    return [
        Figure(f"{title}: {name}", statistics.median(map(part, times)), "s", note=note)
        for name, part in parts.items()
    ]


def tried(exam: Exam, batches: Sequence[str], threads: Sequence[int]) -> dict[Setting, Outcome]:
    """Run lm-eval once in every setting, after a run that warms the disk's cache."""
    settings = [Setting(batch, count) for count in threads for batch in batches]
    exam.peer.run(settings[0], limit=1)
    return {setting: exam.theirs(setting) for setting in settings}


def agreement(exam: Exam, ours: Outcome, theirs: Outcome) -> Iterator[Figure]:
    """Compare answers, marks and scores."""
    apart = [name for name in exam.samples if ours.answers[name] != theirs.answers[name]]
    ties = [name for name in apart if exam.closest(name) <= TIE]
    yield Figure("items", len(exam.samples), "")
    note = f"{len(ties)} of them have a token whose two best scores are within {TIE:g}"
    yield Figure("answers that differ", len(apart), "", note=note if apart else "")
    yield Figure("of these without such a tie", len(apart) - len(ties), "", ("at most", 0))
    marks = [{grade.id: grade.score.values for grade in each.grades} for each in (ours, theirs)]
    differ = sum(marks[0][name] != marks[1][name] for name in exam.samples)
    yield Figure("items marked otherwise", differ, "", ("at most", len(ties)))
    for metric in exam.task.metrics:
        for title, outcome in (("Understudy", ours), ("lm-eval", theirs)):
            found = estimate_of(metric, outcome.grades)
            yield Figure(f"{title}: {metric}", None if found is None else found.value, "")


def compare(exam: Exam, args: argparse.Namespace) -> list[Figure]:
    """Try lm-eval's settings, then measure its best and ours in turns."""
    settings = tried(exam, args.batches, args.threads)
    best = min(settings, key=lambda each: settings[each].times.wall_s)
    figures = [
        Figure(f"lm-eval, {setting}: wall time", outcome.times.wall_s, "s", note="once")
        for setting, outcome in settings.items()
    ]
    exam.ours()  # for the disk's cache, and where weights are converted
    pairs = [(exam.ours(), exam.theirs(best)) for _ in range(args.rounds)]
    ours, theirs = [one.times for one, _ in pairs], [other.times for _, other in pairs]
    figures += timed("Understudy", ours) + timed(f"lm-eval, {best}", theirs)
    last = pairs[-1][0]
    rates = [(last.tokens or 0) / each.generating_s for each in ours]
    figures.append(Figure("Understudy: new tokens per second", statistics.median(rates), ""))
    ratios = [b.wall_s / a.wall_s for a, b in zip(ours, theirs, strict=True)]
    spent = [b.cpu_s / a.cpu_s for a, b in zip(ours, theirs, strict=True)]
    scatter = f"{min(ratios):.2f} to {max(ratios):.2f}"
    ratio, cpu_ratio = statistics.median(ratios), statistics.median(spent)
    figures += [
        Figure("lm-eval's wall time to ours", ratio, "", ("at least", 2.0), scatter),
        Figure("lm-eval's CPU time to ours", cpu_ratio, ""),
    ]
    alone = exam.ours(threads=1).times
    figures.append(Figure("Understudy, 1 thread: wall time", alone.wall_s, "s", note="once"))
    return figures + list(agreement(exam, last, pairs[-1][1]))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("lead", "mid"), default="lead")
    parser.add_argument("--task", default="desk_tools")
    parser.add_argument("--limit", type=int, help=f"items; all, and {MID_ITEMS} for mid")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", nargs="+", default=["1", "8", "32", "64", "auto"])
    cores = sorted({1, os.cpu_count() or 1})
    parser.add_argument("--threads", type=int, nargs="+", default=cores, help="of lm-eval")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    limit = args.limit or (MID_ITEMS if args.model == "mid" else None)
    before = machine()
    exam = Exam(LEAD if args.model == "lead" else make_mid(), args.task, limit)
    report(before, compare(exam, args), is_json=args.json)
    return 0


def report(before: Mapping[str, Any], figures: Sequence[Figure], *, is_json: bool) -> None:
    """Print the figures with the machine and the versions."""
    packages = {name: version(name) for name in ("lm_eval", "torch", "transformers")}
    after = machine()
    if is_json:
        rows = [figure.to_dict() for figure in figures]
        whole = {"before": before, "after": after, "versions": packages, "figures": rows}
        print(json.dumps(whole))
        return
    print(f"{before['processor']}, {before['cores']} cores, Python {before['python']}, {packages};")
    print(f"load {before['load'][0]} before and {after['load'][0]} after\n")
    print("| what | measured | goal |\n| --- | --- | --- |")
    print("\n".join(figure.to_row() for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
