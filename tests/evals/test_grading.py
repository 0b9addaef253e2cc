"""The pool that grades in processes: limits, order, streaming, and what is left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Queue

import psutil
import pytest

from core.errors import InputError, ScoringError, UnavailableError
from core.messages import Message, Tool, ToolCall
from evals.grading import GradingFailure, GradingPool, Limits, ScorerSpec, grade_all
from evals.grading_wire import read_reply, read_request, request_line, score_reply
from evals.sample import Answer, Sample, Score

ROOT = Path(__file__).resolve().parents[2]
REGISTRY = "tests.evals.hostile_scorers"
OBEDIENT = ScorerSpec("obedient", {}, REGISTRY)


def sample(name: str = "one") -> Sample:
    return Sample(name, (Message("user", "Do it"),), None, name)


def grade(*texts: str, limits: Limits | None = None, workers: int = 1) -> list:
    pairs = [(place, sample(), Answer(text)) for place, text in enumerate(texts)]
    results = list(grade_all(OBEDIENT, pairs, workers, limits))
    assert [key for key, _ in results] == list(range(len(texts)))
    return [outcome for _, outcome in results]


def reasons(outcomes: list) -> list[str | None]:
    return [o.reason if isinstance(o, GradingFailure) else None for o in outcomes]


def test_results_come_in_the_order_of_the_input_from_several_workers():
    outcomes = grade(*("x" * length for length in range(90)), workers=3)
    assert [o.values["length"] for o in outcomes] == [length / 100 for length in range(90)]
    assert 1 <= len({o.notes["pid"] for o in outcomes}) <= 3


def test_arguments_reach_the_scorer():
    spec = ScorerSpec("obedient", {"most": 10}, REGISTRY)
    ((_, score),) = grade_all(spec, [("a", sample(), Answer("12345"))])
    assert score.values == {"length": 0.5}


@pytest.mark.parametrize("deed", ["hang", "hang_in_c"])
def test_an_answer_that_hangs_costs_its_own_grade_only(deed):
    began = time.monotonic()
    outcomes = grade("good", deed, "good", limits=Limits(seconds=0.5))
    assert reasons(outcomes) == [None, "timeout", None]
    assert "longer than 0.5 seconds" in outcomes[1].text
    assert outcomes[0].notes["pid"] != outcomes[2].notes["pid"]
    assert time.monotonic() - began < 10


def test_a_worker_without_its_alarm_is_killed_from_outside():
    outcomes = grade("ignore_the_alarm", "good", limits=Limits(seconds=0.2))
    assert reasons(outcomes) == ["timeout", None]


@pytest.mark.parametrize(
    ("deed", "reason", "part"),
    [
        ("take_memory", "memory", "more memory than allowed"),
        ("segfault", "crashed", "status -11"),
        ("leave", "crashed", "status 3"),
        ("exit_politely", "crashed", "status 1"),
        ("break_down", "bug", "KeyError: 'a bug of ours'"),
        ("recurse", "bug", "RecursionError"),
        ("refuse", "sample", "the sample has no schema"),
        ("mark 2", "bug", "not between 0.0 and 1.0"),
        ("mark nan", "bug", "not between 0.0 and 1.0"),
    ],
)
def test_what_a_scorer_does_becomes_a_failure_and_never_a_score(deed, reason, part):
    outcomes = grade("good", deed, "good")
    assert reasons(outcomes) == [None, reason, None]
    assert part in outcomes[1].text


def test_what_a_scorer_prints_is_no_reply():
    assert grade("talk", "good")[0].values == {"length": 0.04}


def test_workers_see_no_key_of_ours(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    (score,) = grade("good")
    assert set(score.notes["keys"]) <= {
        "LC_CTYPE",
        "OMP_NUM_THREADS",
        "PYTHONHASHSEED",
        "PYTHONUTF8",
    }


HOSTILE = ("\x00", "\ud800 half", "[" * 1_000_000, "<script>", "9" * 5_000, "\u2028\n\r\x85", "")


def test_hostile_text_arrives_unchanged():
    outcomes = grade(*HOSTILE)
    assert tuple(outcome.notes["text"] for outcome in outcomes) == HOSTILE


def test_a_sample_that_can_not_be_handed_on_fails_alone():
    deep: list = []
    for _ in range(5_000):
        deep = [deep]
    odd = Sample("odd", (), deep, "odd")
    pairs = [(0, sample(), Answer("a")), (1, odd, Answer("a")), (2, sample(), Answer("a"))]
    outcomes = [outcome for _, outcome in grade_all(OBEDIENT, pairs)]
    assert reasons(outcomes) == [None, "sample", None]


def test_samples_answers_and_scores_survive_the_pipe():
    call = ToolCall("c1", "seat", '{"table": 3}')
    given = Sample(
        id="s",
        messages=(Message("user", "Hi"), Message("assistant", "", (call,)), Message("tool", "ok")),
        target={"a": [1, None]},
        group="g",
        tools=(Tool("seat", "Seats a guest", {"type": "object"}),),
        details={"schema": {"type": "object"}},
    )
    for answer in (Answer("text"), Answer("", (call,)), Answer("\ud800", ())):
        assert read_request(request_line(given, answer)) == (given, answer)
    score = Score({"a": 1.0}, {"a": 0.5}, "late", {"hits": 3}, {"said": ["\x00"]})
    assert read_reply(score_reply(score)) == score


def test_a_result_is_there_before_the_next_answer_is_generated():
    generated: Queue[str | None] = Queue()

    def answers():
        while (text := generated.get()) is not None:
            yield text, sample(), Answer(text)

    results = grade_all(OBEDIENT, answers())
    for text in ("a", "bb", "ccc"):
        generated.put(text)
        key, score = next(results)
        assert (key, score.notes["text"]) == (text, text)
    generated.put(None)
    assert list(results) == []


def test_an_error_of_the_input_reaches_the_reader():
    def answers():
        yield "a", sample(), Answer("fine")
        raise OSError("the model's process died")

    results = grade_all(OBEDIENT, answers())
    assert next(results)[0] == "a"
    with pytest.raises(OSError, match="the model's process died"):
        next(results)


def test_a_reader_that_stops_ends_the_workers_and_the_input():
    before = children()
    endless = ((n, sample(), Answer("hang" if n == 3 else "x")) for n in iter(int, 1))
    results = grade_all(OBEDIENT, endless)
    next(results)
    results.close()
    assert children() == before
    wait_until(lambda: "grading-input" not in {thread.name for thread in threading.enumerate()})


def test_a_missing_scorer_and_wrong_arguments_are_said():
    pairs = [("a", sample(), Answer("x"))]
    with pytest.raises(InputError, match="no scorer named 'obedeint'; choose one of: obedient"):
        list(grade_all(ScorerSpec("obedeint", {}, REGISTRY), pairs))
    with pytest.raises(InputError, match="'obedient' can't be made: .*'colour'"):
        list(grade_all(ScorerSpec("obedient", {"colour": 1}, REGISTRY), pairs))
    with pytest.raises(ScoringError, match="ModuleNotFoundError: No module named 'nowhere'"):
        list(grade_all(ScorerSpec("obedient", {}, "nowhere"), pairs))


def test_a_worker_that_died_between_two_answers_is_replaced():
    with GradingPool(OBEDIENT, workers=1) as pool:
        first = pool.submit(sample(), Answer("a")).result()
        os.kill(first.notes["pid"], signal.SIGKILL)
        wait_until(lambda: psutil.Process(first.notes["pid"]).status() == psutil.STATUS_ZOMBIE)
        second = pool.submit(sample(), Answer("a")).result()
    assert second.notes["pid"] != first.notes["pid"]


def test_a_closed_pool_refuses_and_leaves_no_process():
    before = children()
    pool = GradingPool(OBEDIENT, workers=2)
    futures = [pool.submit(sample(), Answer("hang")) for _ in range(5)]
    wait_until(lambda: len(children() - before) == 2)
    pool.close()
    assert children() == before
    assert all(future.done() for future in futures)
    with pytest.raises(UnavailableError, match="closed"):
        pool.submit(sample(), Answer("a"))


def test_a_warm_worker_grades_hundreds_in_a_second():
    with GradingPool(OBEDIENT, workers=1) as pool:
        pool.submit(sample(), Answer("warm")).result()
        began = time.monotonic()
        for future in [pool.submit(sample(), Answer("x" * 400)) for _ in range(300)]:
            future.result()
        assert time.monotonic() - began < 2


PARENT = """
import sys
from evals.grading import ScorerSpec, Limits, GradingPool
from evals.sample import Answer, Sample
pool = GradingPool(ScorerSpec("obedient", {}, "tests.evals.hostile_scorers"), 2, Limits(seconds=3))
sample = Sample("a", (), None, "a")
pids = [pool.submit(sample, Answer(text)).result().notes["pid"] for text in ("a", "b")]
print(*pids, flush=True)
futures = [pool.submit(sample, Answer(sys.argv[1])) for _ in range(4)]
with pool:
    futures[0].result()
"""


@pytest.mark.parametrize("deed", ["hang_in_c", "good"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_its_parent(deed, number):
    command = [sys.executable, "-c", PARENT, deed]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        assert parent.stdout is not None
        pids = {int(text) for text in parent.stdout.readline().split()}
        pids |= {child.pid for child in psutil.Process(parent.pid).children()}
        parent.send_signal(number)
        parent.wait(20)
    assert pids
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def wait_until(is_true, patience_s: float = 15) -> None:
    deadline = time.monotonic() + patience_s
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
