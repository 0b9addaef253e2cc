"""Events of a run: whole lines, attempts told apart, and how each attempt ended."""

import json
from pathlib import Path
from typing import Any

from training.events import (
    NAME,
    EventLog,
    current,
    endings,
    failed_twice_at,
    last_attempt,
    read_events,
)


def attempt(folder: Path, *events: tuple[str, int], **values: Any) -> None:
    """Write one attempt's events."""
    log = EventLog(folder)
    for kind, step in events:
        log.write(kind, step, **values)  # type: ignore[arg-type]
    log.close()


def test_events_come_back_as_written(tmp_path: Path) -> None:
    attempt(tmp_path, ("step", 3), loss=1 / 3, lr=2e-4)
    (event,) = read_events(tmp_path)
    assert (event["kind"], event["step"], event["attempt"]) == ("step", 3, 1)
    assert event["loss"] == 1 / 3


def test_a_number_that_is_none_is_text_and_the_line_stays_json(tmp_path: Path) -> None:
    attempt(tmp_path, ("step", 1), loss=float("nan"))
    assert json.loads((tmp_path / NAME).read_text())["loss"] == "nan"


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    attempt(tmp_path, ("started", 0), ("step", 1))
    with (tmp_path / NAME).open("a") as file:
        file.write('{"kind": "step", "st')
    attempt(tmp_path, ("started", 0), ("step", 1))
    kinds = [(event["attempt"], event["kind"]) for event in read_events(tmp_path)]
    assert kinds == [(1, "started"), (1, "step"), (2, "started"), (2, "step")]


def test_a_curve_has_each_step_once_after_a_resume(tmp_path: Path) -> None:
    attempt(tmp_path, ("started", 0), *(("step", s) for s in (1, 2, 3, 4)), ("eval", 4), loss=1.0)
    attempt(tmp_path, ("started", 2), ("step", 3), loss=2.0)
    attempt(tmp_path, ("started", 2), ("step", 3), ("step", 4), loss=3.0)
    steps = [(e["step"], e["loss"]) for e in current(read_events(tmp_path)) if e["kind"] == "step"]
    assert steps == [(1, 1.0), (2, 1.0), (3, 3.0), (4, 3.0)]
    assert not [e for e in current(read_events(tmp_path)) if e["kind"] == "eval"]


def test_a_run_that_began_anew_keeps_nothing_of_what_was_lost(tmp_path: Path) -> None:
    attempt(tmp_path, ("started", 0), ("step", 1), ("step", 2))
    attempt(tmp_path, ("started", 0), ("step", 1))
    steps = [(e["attempt"], e["step"]) for e in current(read_events(tmp_path)) if "loss" not in e]
    assert [each for each in steps if each[1]] == [(2, 1)]


def test_an_attempt_without_an_end_was_killed(tmp_path: Path) -> None:
    attempt(tmp_path, ("started", 0), ("step", 5))
    attempt(tmp_path, ("started", 4), ("step", 5), ("failed", 5), error="no memory")
    attempt(tmp_path, ("started", 4), ("stopped", 9))
    told = [(each.kind, each.step, each.error) for each in endings(read_events(tmp_path))]
    assert told[0] == ("killed", 5, None)
    assert told[1] == ("failed", 5, "no memory")
    assert told[2][:2] == ("stopped", 9)
    assert last_attempt(read_events(tmp_path)) == 3


def test_two_failures_at_one_step_are_told(tmp_path: Path) -> None:
    attempt(tmp_path, ("started", 0), ("step", 7))
    assert failed_twice_at(read_events(tmp_path)) is None
    attempt(tmp_path, ("started", 4), ("failed", 7))
    assert failed_twice_at(read_events(tmp_path)) == 7
    attempt(tmp_path, ("started", 4), ("failed", 8))
    assert failed_twice_at(read_events(tmp_path)) is None
    attempt(tmp_path, ("started", 4), ("stopped", 8))
    assert failed_twice_at(read_events(tmp_path)) is None


def test_no_events_before_a_worker_has_begun(tmp_path: Path) -> None:
    assert list(read_events(tmp_path)) == []
    assert endings(read_events(tmp_path)) == ()
