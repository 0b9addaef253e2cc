"""Curves of runs: read on from where the last look ended, thinned without losing an extreme."""

import json
import math
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.events import NAME, EventLog, current, read_events
from training.history import EVAL, FIGURES, Curve, Histories
from training.run_log import log_tail
from training.thinning import thinned

ALL = dict.fromkeys([*FIGURES, EVAL], 10**6)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


def attempt(folder: Path, first: int, last: int, *, completed: bool = False) -> None:
    """Write an attempt that goes on after step `first` and is killed after step `last`."""
    log = EventLog(folder)
    log.write("started", first, total_steps=100)
    for step in range(first + 1, last + 1):
        values = {"lr": 1e-4, "tokens": 10, "tokens_per_s": 5.0, "memory_gb": 1.0}
        log.write("step", step, loss=step + log.attempt / 10, **values)
        if step % 4 == 0:
            log.write("eval", step, loss=step / 2)
    if completed:
        log.write("completed", last, best_step=8)
    log.close()


def curve_of(folder: Path, kind: str) -> Curve:
    """Return the curve as it is read from all events at once."""
    found = [event for event in current(read_events(folder)) if event["kind"] == kind]
    return Curve(tuple(e["step"] for e in found), tuple(e["loss"] for e in found))


def test_what_is_read_bit_by_bit_is_what_is_read_at_once(tmp_path: Path) -> None:
    histories, folder = Histories(tmp_path), tmp_path / "run"
    folder.mkdir()
    assert histories.look("run", ALL).curves["loss"] == Curve()
    for first, last in ((0, 10), (8, 9), (4, 14), (14, 20), (0, 6)):
        attempt(folder, first, last)
        found = histories.look("run", ALL)
        assert found.curves["loss"] == curve_of(folder, "step")
        assert found.curves[EVAL] == curve_of(folder, "eval")
        assert found.tokens == 10 * len(found.curves["loss"].steps)
    assert found.attempts == 5
    assert found.resumed_at == (0,)
    assert Histories(tmp_path).look("run", ALL) == found


def test_a_look_reads_only_what_was_written_since(tmp_path: Path) -> None:
    histories, folder = Histories(tmp_path), tmp_path / "run"
    folder.mkdir()
    attempt(folder, 0, 50)
    path = folder / NAME
    before = histories.look("run", ALL)
    with path.open("r+b") as file:  # What was read is gone; only its length is left.
        file.write(b" " * path.stat().st_size)
    with path.open("ab") as file:
        file.write(json.dumps({"kind": "step", "attempt": 1, "step": 51, "loss": 7.5}).encode())
        assert histories.look("run", ALL) == before
        file.write(b"\n")
    assert histories.look("run", ALL).curves["loss"].values == (*before.curves["loss"].values, 7.5)


def test_a_file_that_was_put_in_its_place_is_read_anew(tmp_path: Path) -> None:
    histories, folder = Histories(tmp_path), tmp_path / "run"
    folder.mkdir()
    attempt(folder, 0, 20)
    histories.look("run", ALL)
    restored = tmp_path / "restored"
    restored.mkdir()
    attempt(restored, 0, 30, completed=True)
    (restored / NAME).replace(folder / NAME)
    found = histories.look("run", ALL)
    assert found.curves["loss"].steps == tuple(range(1, 31))
    assert found.completed["best_step"] == 8


def test_samples_are_paired_by_prompt_and_a_resumed_run_says_its_last_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for when, said in (("before", "a"), ("after", "b")):
        log = EventLog(folder)
        log.write("started", 0)
        log.write("sample", 0, when=when, prompt="p", target="t", completion=said)
        log.write("warning", 0, what="truncated", rows=1)
        log.close()
    histories = Histories(tmp_path)
    (sample,) = histories.look("run", ALL).samples
    assert (sample.prompt, sample.target, sample.before, sample.after) == ("p", "t", "a", "b")
    assert [event["rows"] for event in histories.warnings("run")] == [1, 1]
    EventLog(folder).write("started", 0)
    assert histories.look("run", ALL).samples[0].after is None


def test_a_loss_that_is_no_number_leaves_a_gap(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    log = EventLog(folder)
    for step, loss in enumerate((1.0, math.nan, 3.0), start=1):
        log.write("step", step, loss=loss)
    found = Histories(tmp_path).look("run", ALL)
    assert found.curves["loss"] == Curve((1, 3), (1.0, 3.0))
    assert found.curves["learning_rate"] == Curve()


def test_pauses_between_attempts_are_no_work(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    events = [(1, "started", 100.0), (1, "step", 104.0), (2, "warning", 900.0),
              (2, "started", 901.0), (2, "step", 903.0), (2, "completed", 903.5)]  # fmt: skip
    lines = [{"attempt": a, "kind": kind, "step": 0, "t": t} for a, kind, t in events]
    (folder / NAME).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert Histories(tmp_path).look("run", ALL).worked_s == 7.5


@given(st.lists(NUMBERS, max_size=400), st.integers(4, 50))
def test_thinning_keeps_few_points_their_order_and_the_extremes(
    values: list[float], points: int
) -> None:
    kept = thinned(array("d", values), points)
    numbers = [place for place, value in enumerate(values) if math.isfinite(value)]
    assert kept == sorted(set(kept))
    assert len(kept) <= points
    assert set(kept) <= set(numbers)
    if numbers:
        assert {numbers[0], numbers[-1]} <= set(kept)
        found = [values[place] for place in kept]
        assert min(found) == min(values[place] for place in numbers)
        assert max(found) == max(values[place] for place in numbers)


def test_full_stretches_stay_while_a_curve_grows() -> None:
    values = array("d", [math.sin(n * n) for n in range(100_000)])
    before = thinned(values[:90_000], 1000)
    after = thinned(values, 1000)
    assert before[1:-4] == after[1 : len(before) - 4]


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        (b"", ""),
        (b"one\ntwo\n\nthree", "two\nthree"),
        (b"\x1b[32mgreen\x1b[0m\n", "green"),
        (b"  1%\r 50%\r100%\nend\n", "100%\nend"),
        (b"x" * 70_000 + b"\nlast\n", "last"),
        (b"\xff\xfe\n", "\ufffd\ufffd"),
        (b"y" * 2000, "y" * 500),
    ],
)
def test_the_end_of_a_log_is_what_a_terminal_shows(tmp_path: Path, log: bytes, shown: str) -> None:
    assert log_tail(tmp_path, 2) == ""
    (tmp_path / "log.txt").write_bytes(log)
    assert log_tail(tmp_path, 2) == shown
