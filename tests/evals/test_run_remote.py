"""Runs against a real server on loopback: whole, flaky, cut, filtered and dead ones."""

import os
import time
from collections import Counter
from contextlib import closing

import pytest

from core.errors import InputError
from core.services import make_services
from core.settings import Settings
from evals import health
from evals.bench import Bench
from evals.manifest import RunConfig
from evals.progress import Watch
from evals.run import carry_out, grade, plan_run
from evals.run_command import summary_text
from evals.run_files import RunFolder
from tests.evals.run_parts import (
    MAX_TOKENS,
    TASK,
    Reply,
    endpoint,
    perfect,
    serving,
    table,
    write_task,
)

ITEMS = 100
DEAD = "http://127.0.0.1:9/v1"


@pytest.fixture
def far(tmp_path, write_catalog):
    """Return what plans and carries out a run against a server, or resumes one."""
    write_task(tmp_path, ITEMS)
    opened = []

    def run(url: str, folder: RunFolder | None = None, watch: Watch | None = None, **config):
        write_catalog(models={"far": endpoint(url)}, default_model="far")
        settings = Settings.from_env({**os.environ, "UNDERSTUDY_HOME": str(tmp_path)})
        with closing(make_services(settings)) as services:
            bench = Bench.of(services)
            if folder is None:
                folder = plan_run(bench, RunConfig(**{"model": "far", "task": TASK, **config}))
            opened.append(folder)
            return folder, carry_out(bench, [folder], watch or Watch())[0]

    return run


def keys_of(folder: RunFolder, status: str = "ok") -> Counter:
    return Counter(row.key for row in folder.rows() if row.status == status)


def test_a_server_that_answers_perfectly_scores_one_and_is_asked_once_each(far):
    with serving(perfect) as (url, server):
        folder, summary = far(url)
    assert (summary["status"], summary["n"], summary["missing"]) == ("completed", ITEMS, 0)
    assert summary["metrics"]["gsm8k"]["value"] == 1.0
    assert summary["bounds"] is None
    assert sorted(server.asked) == list(range(ITEMS))
    assert 1 < server.at_once <= 8
    assert summary["output_tokens"] == 3 * ITEMS
    assert summary["cost_usd"] is None
    assert folder.status() == "completed"
    assert set(keys_of(folder).values()) == {1}


def test_no_more_requests_are_under_way_than_asked_for(far):
    with serving(perfect) as (url, server):
        far(url, watch=Watch(concurrency=2), limit=30)
    assert server.at_once <= 2


def test_a_dead_server_ends_the_run_at_once_as_invalid_with_full_bounds(far):
    began = time.monotonic()
    folder, summary = far(DEAD)
    assert time.monotonic() - began < 10
    assert (summary["status"], summary["missing"]) == ("invalid", ITEMS)
    assert summary["metrics"] == {}
    assert summary["bounds"] == {"gsm8k": [0.0, 1.0]}
    assert "out of reach" in summary["reason"]
    assert len(folder.rows()) < 10


def test_a_run_against_a_dead_server_is_resumed_when_it_is_back(far):
    folder, _ = far(DEAD)
    with serving(perfect) as (url, _), pytest.raises(InputError, match="not what run"):
        far(url, folder)  # Another server is another model.


def test_prompts_that_always_fail_make_the_run_invalid_and_resume_asks_only_for_them(far):
    def flaky(number: int, _before: int) -> Reply:
        return Reply("busy", status=500) if number % 20 == 7 and is_flaky else perfect(number)

    is_flaky = True
    with serving(flaky) as (url, server):
        folder, summary = far(url)
        assert (summary["status"], summary["missing"]) == ("invalid", 5)
        assert summary["missing_by"] == {"error": 5}
        assert summary["metrics"]["gsm8k"]["value"] == 1.0  # Never low: of those that answered.
        assert summary["bounds"]["gsm8k"] == [0.95, 1.0]
        server.asked.clear()
        is_flaky = False
        _, resumed = far(url, folder)
    assert sorted(server.asked) == [7, 27, 47, 67, 87]
    assert (resumed["status"], resumed["missing"]) == ("completed", 0)
    assert resumed["metrics"]["gsm8k"]["value"] == 1.0
    assert set(keys_of(folder).values()) == {1}
    assert {row.attempt for row in folder.rows() if row.id == "q7"} == {1, 2}


def test_every_twentieth_prompt_failing_once_costs_nothing_but_calls(far):
    calls = []

    def flaky(number: int, _before: int) -> Reply:
        calls.append(number)
        is_first = calls.count(number) == 1
        return Reply("busy", status=503) if number % 20 == 7 and is_first else perfect(number)

    with serving(flaky) as (url, _):
        _, summary = far(url)
    assert (summary["status"], summary["missing"]) == ("completed", 0)
    assert summary["metrics"]["gsm8k"]["value"] == 1.0
    assert len(calls) == ITEMS + 5


def test_one_missing_answer_of_a_hundred_is_valid_and_bounded(far):
    def one_fails(number: int, _before: int) -> Reply:
        return Reply("busy", status=500) if number == 7 else perfect(number)

    with serving(one_fails) as (url, _):
        _, summary = far(url)
    assert (summary["status"], summary["missing"]) == ("completed", 1)
    assert summary["bounds"]["gsm8k"] == [0.99, 1.0]


@pytest.mark.parametrize(
    ("reply", "status", "reason"),
    [
        (Reply("It is", "length", output_tokens=2), "truncated", "truncated"),
        (Reply("It is", "length", output_tokens=None), "truncated", "truncated"),
        (Reply("It is", "content_filter"), "error", "error"),
        (Reply("It is", None), "error", "error"),
    ],
)
def test_an_answer_that_the_server_cut_is_missing_and_not_wrong(far, reply, status, reason):
    with serving(lambda number, before: reply) as (url, _):
        folder, summary = far(url, limit=15)
    assert (summary["status"], summary["missing"]) == ("invalid", 15)
    assert (summary["metrics"], summary["bounds"]) == ({}, {"gsm8k": [0.0, 1.0]})
    assert summary["missing_by"][reason] > 0
    assert {row.status for row in folder.rows()} == {status}


def test_an_answer_as_long_as_the_tasks_own_bound_is_graded_and_says_so(far):
    with serving(lambda n, before: Reply("It is", "length", output_tokens=MAX_TOKENS)) as (url, _):
        folder, summary = far(url, limit=10)
    assert (summary["status"], summary["missing"]) == ("completed", 0)
    assert summary["metrics"]["gsm8k"]["value"] == 0.0
    assert all(grade.score.notes["over_budget"] for grade in folder.grades())


def test_a_key_that_is_refused_ends_the_run_with_what_to_do(far):
    with serving(lambda number, before: Reply("no", status=401)) as (url, server):
        _, summary = far(url)
    assert summary["status"] == "invalid"
    assert "refuses the key" in summary["reason"]
    assert len(server.asked) == 1


def test_a_server_that_refuses_every_request_is_not_asked_two_thousand_times(far):
    with serving(lambda number, before: Reply("no such field", status=400)) as (url, server):
        _, summary = far(url)
    assert summary["status"] == "invalid"
    assert "no such field" in summary["reason"]
    assert len(server.asked) < 40


def test_a_server_that_dies_in_the_middle_is_given_up_and_the_rest_asked_on_resume(
    far, monkeypatch
):
    monkeypatch.setattr(health, "PATIENCE_S", 1.0)
    alive = True

    def dying(number: int, _before: int) -> Reply:
        nonlocal alive
        alive = alive and len(server.asked) < 40
        return perfect(number) if alive else Reply("gone", status=502)

    with serving(dying) as (url, server):
        folder, summary = far(url)
        answered = set(keys_of(folder))
        assert 20 < len(answered) < 60
        assert summary["status"] == "invalid"
        assert summary["bounds"]["gsm8k"] == [len(answered) / ITEMS, 1.0]
        alive = True
        server.answer = perfect
        server.asked.clear()
        _, resumed = far(url, folder)
    assert len(server.asked) == ITEMS - len(answered)
    assert (resumed["status"], resumed["metrics"]["gsm8k"]["value"]) == ("completed", 1.0)
    assert set(keys_of(folder).values()) == {1}


def test_a_stop_leaves_a_run_that_can_be_taken_up_again(far):
    watch = Watch(on_progress=lambda progress: progress.done >= 20 and watch.stop.set())
    with serving(perfect) as (url, server):
        folder, summary = far(url, watch=watch)
        assert summary["status"] == folder.status() == "stopped"
        assert summary["reason"] is None
        answered = set(keys_of(folder))
        assert 20 <= len(answered) < ITEMS
        server.asked.clear()
        _, resumed = far(url, folder)
    assert len(server.asked) <= ITEMS - len(answered)
    assert (resumed["status"], resumed["missing"]) == ("completed", 0)
    assert set(keys_of(folder).values()) == {1}


def test_a_second_run_takes_its_answers_from_the_cache_and_costs_no_calls(far):
    with serving(perfect) as (url, server):
        far(url)
        server.asked.clear()
        _, summary = far(url)
        assert server.asked == []
        assert (summary["metrics"]["gsm8k"]["value"], summary["tokens_per_s"]) == (1.0, None)
        far(url, uses_cache=False)
        assert len(server.asked) == ITEMS


def test_a_server_whose_fingerprint_changes_is_told_of_in_the_summary(far):
    def swapped(number: int, _before: int) -> Reply:
        return Reply(f"It is table {table(number)}.", fingerprint=weights)

    weights = "fp_one"
    watch = Watch(on_progress=lambda progress: progress.done >= 10 and watch.stop.set())
    with serving(swapped) as (url, _):
        folder, summary = far(url, watch=watch, limit=40)
        assert summary["warnings"] == []
        weights = "fp_two"
        _, resumed = far(url, folder)
    assert folder.rows()[0].model == {
        "id": "far", "digest": None, "served": "far", "fingerprint": "fp_one"
    }  # fmt: skip
    (warning,) = resumed["warnings"]
    assert "far fp_one, far fp_two; its weights may have changed" in warning
    assert warning in summary_text(resumed)


def test_several_answers_of_a_greedy_task_are_sampled_at_a_stated_temperature(far):
    with serving(perfect) as (url, _):
        folder, summary = far(url, samples=3, limit=5)
    assert (summary["n"], folder.manifest().params["temperature"]) == (15, 0.7)
    assert "3 answers for each item at temperature 0.7" in summary_text(summary)


def test_repeats_ask_each_item_so_many_times_with_seeds_of_their_own(far, tmp_path):
    with serving(perfect) as (url, server):
        folder, summary = far(url, samples=3, temperature=0.7, limit=10, seed=5)
    assert Counter(server.asked) == dict.fromkeys(map(int, server.asked), 3)
    assert (summary["n"], summary["repeats"], len(folder.grades())) == (30, 3, 30)
    assert folder.manifest().params["seed"] == 5
    assert [grade.repeat for grade in folder.grades()] == [0] * 10 + [1] * 10 + [2] * 10


def test_grading_again_asks_nobody_and_gives_the_same_bytes(far, tmp_path):
    with serving(perfect) as (url, _):
        folder, summary = far(url)
    before = (folder.path / "grades.jsonl").read_bytes()
    settings = Settings.from_env({**os.environ, "UNDERSTUDY_HOME": str(tmp_path)})
    with closing(make_services(settings)) as services:
        again = grade(Bench.of(services), folder)
    assert again == summary
    assert (folder.path / "grades.jsonl").read_bytes() == before
