import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from core.errors import InputError, NotFoundError, UnavailableError
from core.services import Services
from evals.bench import Bench
from evals.eval_runs import MAX_WAITING, BenchCarry, EvalRuns
from evals.leaderboard import leaderboard
from evals.leaderboard_pending import RunState
from evals.lock import held
from evals.manifest import RunConfig
from tests.evals.leaderboard_home import write_run

CONFIG = RunConfig("lead", "calls")
TASK = """
description: Says something.
scorer: gsm8k
metrics: [gsm8k]
params: {max_tokens: 4}
"""


class Gated:
    """Carries runs out only as far as a test lets it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.go = threading.Event()
        self.began = threading.Semaphore(0)
        self.error: Exception | None = None
        self.carried: list[str] = []

    def begin(self, config: RunConfig, stop: threading.Event, progress: Callable) -> object:
        run = f"run-of-{config.model}-{len(self.carried)}"
        write_run(self.home, run, model=config.model, marks=[None] * 4, status="running")
        return self.resume(run, stop, progress)

    def resume(self, run: str, stop: threading.Event, progress: Callable) -> object:
        self.carried.append(run)
        progress(run, 1, 4)
        self.began.release()
        while not self.go.is_set() and not stop.wait(0.005):
            continue
        if self.error:
            raise self.error
        path = self.home / "evals" / run / "summary.json"
        status = "stopped" if stop.is_set() else "completed"
        changed = {**json.loads(path.read_text()), "status": status, "missing": 3}
        path.write_text(json.dumps(changed), encoding="utf-8")
        return changed


@pytest.fixture
def carry(tmp_path: Path) -> Gated:
    return Gated(tmp_path)


@pytest.fixture
def runs(tmp_path: Path, carry: Gated) -> Iterator[EvalRuns]:
    with closing(EvalRuns(tmp_path, carry)) as made:
        yield made
        carry.go.set()


def listed(runs: EvalRuns) -> list[tuple[str, str, int | None]]:
    return [(state.model, state.status, state.place) for state in runs.states()]


def test_one_is_at_work_and_the_others_wait_in_order(runs: EvalRuns, carry: Gated) -> None:
    for model in "abc":
        runs.start(RunConfig(model, "calls"))
    assert carry.began.acquire(timeout=20)
    assert listed(runs) == [("a", "running", None), ("b", "queued", 1), ("c", "queued", 2)]
    first = runs.states()[0]
    assert (first.done, first.total, first.can_stop, first.can_resume) == (1, 4, True, False)
    carry.go.set()
    runs.wait()
    assert runs.states() == ()
    assert [run.removeprefix("run-of-")[0] for run in carry.carried] == ["a", "b", "c"]


def test_a_stopped_run_can_be_resumed(runs: EvalRuns, carry: Gated) -> None:
    runs.start(CONFIG)
    assert carry.began.acquire(timeout=20)
    (state,) = runs.states()
    runs.stop(state.run)
    runs.wait()
    (stopped,) = runs.states()
    assert (stopped.run, stopped.status, stopped.can_resume) == (state.run, "stopped", True)
    assert (stopped.done, stopped.total) == (1, 4)
    carry.go.set()
    runs.resume(state.run)
    runs.wait()
    assert carry.carried == [state.run, state.run]
    assert runs.states() == ()


def test_who_waits_leaves_the_queue_when_stopped(runs: EvalRuns, carry: Gated) -> None:
    runs.start(RunConfig("a", "calls"))
    waiting = runs.start(RunConfig("b", "calls"))
    assert carry.began.acquire(timeout=20)
    runs.stop(waiting)
    assert listed(runs) == [("a", "running", None)]
    carry.go.set()
    runs.wait()
    assert len(carry.carried) == 1


def test_what_a_run_cannot_have_is_said_in_the_list(runs: EvalRuns, carry: Gated) -> None:
    carry.error = UnavailableError("'groq' needs GROQ_API_KEY")
    carry.go.set()
    runs.start(CONFIG)
    runs.wait()
    (state,) = runs.states()
    assert (state.status, state.error) == ("failed", "'groq' needs GROQ_API_KEY")
    assert state.can_resume
    carry.error = None
    runs.resume(state.run)
    runs.wait()
    assert runs.states() == ()


def test_a_bug_ends_one_run_and_its_text_stays_in_the_log(
    runs: EvalRuns, carry: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    carry.error = ZeroDivisionError("a secret path")
    carry.go.set()
    runs.start(CONFIG)
    runs.wait()
    (state,) = runs.states()
    assert state.status == "failed"
    assert "secret" not in state.error
    assert "a secret path" in caplog.text


def test_a_restarted_app_offers_what_waited_and_what_was_cut_off(
    tmp_path: Path, carry: Gated
) -> None:
    before = EvalRuns(tmp_path, carry)
    before.start(RunConfig("a", "calls"))
    waiting = before.start(RunConfig("b", "calls", limit=7))
    assert carry.began.acquire(timeout=20)
    with closing(EvalRuns(tmp_path, carry)) as after:
        assert sorted(listed(after)) == [("a", "interrupted", None), ("b", "interrupted", None)]
        assert not any(state.is_busy for state in after.states())
        carry.go.set()
        before.close()
        after.resume(waiting)
        after.wait()
        assert carry.carried[-1].startswith("run-of-b")


def test_a_run_of_another_process_is_shown_and_left_alone(runs: EvalRuns, tmp_path: Path) -> None:
    folder = write_run(tmp_path, "cli", marks=[None] * 3, status="running")
    with held(folder):
        (state,) = runs.states()
        assert (state.status, state.can_stop, state.can_resume) == ("running", False, False)
        with pytest.raises(NotFoundError):
            runs.stop("cli")
        with pytest.raises(InputError, match="at work"):
            runs.resume("cli")
    (state,) = runs.states()
    assert (state.status, state.can_resume) == ("interrupted", True)


@pytest.mark.parametrize("name", ["../evals", "", "nothing", "a/b", "x" * 999, "a\0b"])
def test_only_runs_that_exist_are_resumed_or_stopped(runs: EvalRuns, name: str) -> None:
    with pytest.raises(NotFoundError):
        runs.resume(name)
    with pytest.raises(NotFoundError):
        runs.stop(name)


def test_a_complete_run_is_not_resumed(runs: EvalRuns, tmp_path: Path) -> None:
    write_run(tmp_path, "done")
    assert runs.states() == ()
    with pytest.raises(InputError, match="complete"):
        runs.resume("done")


def test_the_queue_has_an_end(runs: EvalRuns) -> None:
    for _ in range(MAX_WAITING):
        runs.start(CONFIG)
    with pytest.raises(InputError, match=str(MAX_WAITING)):
        runs.start(CONFIG)


@pytest.mark.parametrize("content", ["", "{", "[3]", '[{"id": "x"}]', '[{"config": {"model": 1}}]'])
def test_a_damaged_queue_is_empty(tmp_path: Path, carry: Gated, content: str) -> None:
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "queue.json").write_text(content, encoding="utf-8")
    with closing(EvalRuns(tmp_path, carry)) as runs:
        assert runs.states() == ()


def test_states_can_be_compared_by_a_page() -> None:
    assert RunState("a", "m", "t", "queued") == RunState("a", "m", "t", "queued")


def test_a_run_through_the_apps_own_gateway(services: Services) -> None:
    home = services.settings.home
    (home / "tasks").mkdir()
    (home / "tasks" / "sums.yaml").write_text(TASK, encoding="utf-8")
    rows = [{"id": str(n), "input": f"{n} + 1?", "target": str(n + 1)} for n in range(3)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (home / "tasks" / "sums.jsonl").write_text(text, encoding="utf-8")
    with closing(EvalRuns(home, BenchCarry(Bench.of(services)))) as runs:
        runs.start(RunConfig("tiny", "sums"))
        runs.wait()
        assert runs.states() == ()
    (task,) = leaderboard(home)["tasks"]
    (model,) = task["models"]
    assert (task["task"], task["items"], model["model"]) == ("sums", 3, "tiny")
    assert (model["status"], model["n"], model["missing"]) == ("completed", 3, 0)
