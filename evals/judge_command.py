"""`python -m evals judge`: marks a run's answers, compares two runs, or calibrates a judge.

    judge --model J --rubric R --run RUN                     marks of a finished run
    judge --model J --rubric R --run RUN --calibrate FILE    and the rate corrected by labels
    judge --model J --rubric R --pairwise A B --out FILE     battles for `evals ratings`
    judge --model J --rubric R --calibrate FILE              the judge beside labelled answers

Verdicts are kept as they come, so that the same command again asks only for what is missing. Exit
codes: 0; 40 where the judge fails its anchors or too much is missing.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from core.command_line import INVALID
from core.errors import InputError, StorageError
from core.messages import JsonObject, JsonValue
from core.rows.json_lines import json_lines
from core.services import make_services
from core.settings import Settings
from evals.bench import Bench
from evals.judge.anchors import check_pairs
from evals.judge.asking import Judge, make_judge
from evals.judge.calibration import Calibration, calibrate, labelled_rate
from evals.judge.candidates import refuse_candidates
from evals.judge.judged import Judged, judge_answers, report_of
from evals.judge.labelled import read_labelled, read_labels
from evals.judge.pairwise import compare_pairs, pair_report
from evals.judge.rubric_files import load_rubric, rubric_folders
from evals.judge.run_answers import RunAnswers, pairs_of, read_answers
from evals.judge.verdicts import VERDICTS_FILE, Verdict, VerdictFile
from evals.lock import held
from evals.run_files import RunFolder, open_run, write_whole

CALIBRATIONS = "calibrations"
"""Folder in the app's home for the verdicts on labelled answers, a file for each rubric."""


@dataclass(frozen=True, slots=True)
class JudgeDone:
    """What the command found, and how it exits."""

    result: JsonObject
    exit_code: int


@dataclass(frozen=True, slots=True)
class _Work:
    """A judge, and where the runs are."""

    judge: Judge
    home: Path

    def judged(self, name: str, calibration: Path | None) -> JudgeDone:
        """Mark the answers of a run; with labels, correct the rate of good ones."""
        folder = open_run(self.home, name)
        with held(folder.path):
            answers = self._answers(folder)
            judged = judge_answers(
                self.judge, list(answers.items.values()), VerdictFile(folder.path / VERDICTS_FILE)
            )
        report = report_of(judged, answers.unanswered)
        result = {
            **self._head(),
            "run": name,
            "task": answers.manifest.task,
            "model": answers.manifest.model,
            **report.to_dict(),
            "anchors": judged.anchors.to_dict(),
            "corrected": None if calibration is None else self._corrected(judged, calibration),
        }
        return JudgeDone(result, 0 if report.is_valid else INVALID)

    def compared(self, names: Sequence[str], out: Path) -> JudgeDone:
        """Compare the answers of two runs in both orders, and write the battles."""
        first, second = (open_run(self.home, name) for name in names)
        with held(first.path):
            one, other = self._answers(first), self._answers(second)
            pairs = pairs_of(one, other)
            verdicts = VerdictFile(first.path / VERDICTS_FILE)
            anchors = check_pairs(self.judge, verdicts)
            battles = compare_pairs(self.judge, pairs, verdicts)
        labels = _names(one, other)
        rows = [
            battle.to_row(*labels, self.judge.model, self.judge.rubric.name)
            for battle in battles
            if battle.outcome is not None
        ]
        _write_rows(out, rows)
        report = pair_report(battles, len(one.manifest.keys) - len(pairs))
        result = {
            **self._head(),
            "runs": list(names),
            "model_a": labels[0],
            "model_b": labels[1],
            **report.to_dict(),
            "anchors": anchors.to_dict(),
            "out": str(out),
        }
        return JudgeDone(result, 0 if report.is_valid else INVALID)

    def calibrated(self, path: Path) -> JudgeDone:
        """Judge labelled answers, and say how far the judge agrees."""
        found = self._calibration(path)
        result = {**self._head(), **found.to_dict()}
        return JudgeDone(result, 0 if found.is_usable else INVALID)

    def _calibration(self, path: Path) -> Calibration:
        verdicts = self.home / CALIBRATIONS / f"{self.judge.rubric.name}.jsonl"
        return calibrate(self.judge, read_labelled(path), VerdictFile(verdicts))

    def _corrected(self, judged: Judged, path: Path) -> JsonValue:
        """Return the rate of good answers: from labels of the run's own, or of other answers."""
        if _labels_the_run(path):
            rate = labelled_rate(judged, read_labels(path))
            return {"judge_pass": rate.to_dict(), "method": "ppi++"}
        found = self._calibration(path)
        rate = found.corrected_rate(judged)
        return {
            "judge_pass": rate.to_dict(),
            "method": "rogan-gladen",
            "calibration": found.to_dict(),
        }

    def _answers(self, folder: RunFolder) -> RunAnswers:
        answers = read_answers(folder, self.home)
        refuse_candidates(self.judge.gateway.traffic, self.judge.model, [answers.candidate])
        return answers

    def _head(self) -> dict[str, JsonValue]:
        judge, rubric = self.judge, self.judge.rubric
        return {
            "judge": {"id": judge.model, "served": judge.served},
            "rubric": {"name": rubric.name, "digest": rubric.digest},
        }


def add_judge_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `judge` to its parser."""
    parser.add_argument("--model", required=True, help="the judge, as `core models` lists it")
    parser.add_argument("--rubric", required=True, help="name of a rubric, such as persona")
    parser.add_argument("--run", help="run whose answers are marked")
    parser.add_argument("--pairwise", nargs=2, metavar=("RUN_A", "RUN_B"), help="runs to compare")
    parser.add_argument("--out", type=Path, help="file for the battles of --pairwise")
    parser.add_argument(
        "--calibrate", type=Path, metavar="FILE", help="labelled answers, or labels of the run's"
    )


def judge_command(args: argparse.Namespace, settings: Settings) -> JudgeDone:
    """Judge what the arguments name; the calls are shown on stderr.

    Raises:
        ScoringError: the judge fails its anchors, so that there is no report (exit code 40).
        AppError: the arguments contradict each other, name nothing, or a file can't be used.
    """
    _check(args)
    with closing(make_services(settings)) as services:
        bench = Bench.of(services)
        rubric = load_rubric(args.rubric, rubric_folders(bench.home))
        judge = make_judge(bench.gateway, args.model, rubric, _counter())
        return _done(_Work(judge, bench.home), args)


def _check(args: argparse.Namespace) -> None:
    if args.pairwise and (args.run or args.calibrate):
        raise InputError("--pairwise goes with neither --run nor --calibrate")
    if bool(args.pairwise) != bool(args.out):
        raise InputError("--pairwise and --out go together: the battles need a file")
    if not (args.pairwise or args.run or args.calibrate):
        raise InputError("name what to judge: --run RUN, --pairwise A B, or --calibrate FILE")


def _done(work: _Work, args: argparse.Namespace) -> JudgeDone:
    if args.pairwise:
        return work.compared(args.pairwise, args.out)
    return work.judged(args.run, args.calibrate) if args.run else work.calibrated(args.calibrate)


def _counter() -> Callable[[Verdict], None]:
    """Return what shows the number of calls on stderr."""
    numbers = itertools.count(1)

    def count(verdict: Verdict) -> None:
        said = "" if verdict.status == "ok" else f" ({verdict.status}: {verdict.reason[:100]})"
        sys.stderr.write(f"call {next(numbers)}: {verdict.id}{said}\n")

    return count


def _labels_the_run(path: Path) -> bool:
    """Say whether a file holds labels without answers, by its first row."""
    first = next(iter(json_lines(path)), None)
    row = first.value if first is not None else None
    return isinstance(row, dict) and "label" in row and "answer" not in row


def _names(one: RunAnswers, other: RunAnswers) -> tuple[str, str]:
    """Return what the battles call the two models: their runs too where the ids are the same."""
    a, b = one.manifest, other.manifest
    if a.model != b.model:
        return a.model, b.model
    return f"{a.model} ({a.run})", f"{b.model} ({b.run})"


def _write_rows(path: Path, rows: Sequence[JsonValue]) -> None:
    if not path.parent.is_dir():
        raise StorageError(f"{str(path.parent)!r} is no folder, so no battles can be written there")
    write_whole(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
