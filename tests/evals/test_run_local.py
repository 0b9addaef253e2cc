"""Runs of real local models: order, planned batches, weights, and what is refused."""

import json
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing

import pytest
from safetensors.torch import load_file, save_file

from core.catalog import Target
from core.errors import InputError, ModelNotAllowedError, NotFoundError, RateLimitError
from core.messages import GenerationParams, GenerationRequest, Message
from core.providers.base import Provider, ProviderCall, ProviderEvent
from core.services import make_services
from core.settings import PROJECT
from evals.bench import Bench
from evals.generate import whole_answer
from evals.lock import held
from evals.manifest import RunConfig
from evals.progress import Watch
from evals.run import carry_out, grade, plan_run
from evals.run_files import RunFolder, open_run
from tests.evals.run_parts import TASK, write_task

ITEMS = 70


@pytest.fixture
def bench(tmp_path, settings):
    write_task(tmp_path, ITEMS)
    with closing(make_services(settings)) as services:
        yield Bench.of(services)


def run(bench: Bench, watch: Watch | None = None, **config) -> tuple[RunFolder, dict]:
    folder = plan_run(bench, RunConfig(**{"model": "understudy", "task": TASK, **config}))
    return folder, carry_out(bench, [folder], watch or Watch())[0]


def texts(folder: RunFolder) -> dict:
    return {row.key: (row.text, row.tool_calls) for row in folder.rows() if row.status == "ok"}


def test_an_embedded_model_is_run_with_its_digest_and_everything_a_summary_has(bench):
    folder, summary = run(bench)
    assert (summary["status"], summary["n"], summary["missing"]) == ("completed", ITEMS, 0)
    assert set(summary) >= {
        *("run", "task", "model", "n", "missing", "status", "metrics", "failures"),
        *("primary", "bounds", "repaired", "floor", "task_digest", "data_digest"),
        *("grader_version", "model_digest", "adapter_digest", "cost_usd", "tokens_per_s"),
        *("output_tokens", "wall_s", "created_at", "finished_at"),
    }
    assert set(summary["metrics"]["gsm8k"]) == {"value", "low", "high", "n"}
    assert summary["failures"]
    assert summary["tokens_per_s"] > 0
    rows = folder.rows()
    assert {row.model["digest"] for row in rows} == {summary["model_digest"]}
    manifest = folder.manifest()
    assert (manifest.device, manifest.precision, manifest.plan) == ("cpu", "fp32", None)
    assert manifest.versions["torch"]
    assert [grade.id for grade in folder.grades()] == list(manifest.items)


def test_the_manifest_is_on_disk_before_the_first_token(bench):
    seen = []

    def look(_progress) -> None:
        seen.append((folder.path / "manifest.json").exists())

    folder = plan_run(bench, RunConfig("understudy", TASK, limit=3))
    assert not folder.generations_path.exists()
    carry_out(bench, [folder], Watch(look))
    assert seen == [True] * 3


def test_planned_batches_give_the_same_bytes_of_grades_each_time(bench):
    first, summary = run(bench, is_deterministic=True)
    second, again = run(bench, is_deterministic=True)
    manifest = first.manifest()
    assert [len(batch) for batch in manifest.plan] == [32, 32, 6]
    assert sorted(item for batch in manifest.plan for item in batch) == sorted(manifest.items)
    assert texts(first) == texts(second)
    assert {row.cache for row in second.rows()} == {"bypass"}
    grades = [(folder.path / "grades.jsonl").read_bytes() for folder in (first, second)]
    assert grades[0] == grades[1]
    assert summary["metrics"] == again["metrics"]


def test_planned_batches_of_sampled_repeats_are_the_same_too(bench):
    config = {"is_deterministic": True, "samples": 2, "temperature": 0.8, "limit": 20}
    first, _ = run(bench, **config)
    second, _ = run(bench, **config)
    assert texts(first) == texts(second)
    by_repeat = [{k.id: v for k, v in texts(first).items() if k.repeat == r} for r in (0, 1)]
    assert by_repeat[0] != by_repeat[1]


def test_a_stop_between_batches_leaves_whole_ones_and_resumes_to_the_same_grades(bench):
    whole, _ = run(bench, is_deterministic=True)
    watch = Watch(on_progress=lambda progress: watch.stop.set())
    folder, summary = run(bench, watch, is_deterministic=True)
    assert (summary["status"], len(folder.rows())) == ("stopped", 32)
    resumed = carry_out(bench, [folder], Watch())[0]
    assert resumed["status"] == "completed"
    assert len(folder.rows()) == ITEMS
    name = "grades.jsonl"
    assert (folder.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_rows_of_a_batch_that_was_not_written_whole_are_redone_with_it(bench):
    whole, _ = run(bench, is_deterministic=True)
    folder, _ = run(bench, is_deterministic=True)
    lines = folder.generations_path.read_bytes().splitlines(keepends=True)
    folder.generations_path.write_bytes(b"".join(lines[:40]) + lines[40][:50])
    carry_out(bench, [folder], Watch())
    rows = folder.rows()
    assert len({row.key for row in rows}) == len(rows) == ITEMS
    assert texts(folder) == texts(whole)
    name = "grades.jsonl"
    assert (folder.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_models_that_differ_only_in_weights_share_no_cached_answer(
    tmp_path, settings, write_catalog
):
    first, copy, other = (tmp_path / name for name in ("first", "copy", "other"))
    for folder in (first, copy, other):
        shutil.copytree(PROJECT / "assets" / "models" / "lead", folder)
    weights = load_file(other / "model.safetensors")
    name = next(name for name in weights if "layers.0" in name and "q_proj" in name)
    save_file({**weights, name: weights[name] * 1.5}, other / "model.safetensors", {"format": "pt"})
    entry = {"provider": "local", "context": 1024}
    models = {folder.name: {**entry, "path": str(folder)} for folder in (first, copy, other)}
    write_catalog(models=models, default_model="first")
    with closing(make_services(settings)) as services:
        bench = Bench.of(services)
        found = {name: run(bench, model=name, task="desk_tools", limit=20) for name in models}
    caches = {name: {row.cache for row in folder.rows()} for name, (folder, _) in found.items()}
    assert caches == {"first": {"miss"}, "copy": {"hit"}, "other": {"miss"}}
    answers = {name: texts(folder) for name, (folder, _) in found.items()}
    assert answers["first"] == answers["copy"]
    digests = {name: summary["model_digest"] for name, (_, summary) in found.items()}
    assert digests["first"] == digests["copy"] != digests["other"]


def test_weights_that_change_between_two_sessions_are_refused(
    tmp_path, settings, write_catalog, tiny_folder, other_folder
):
    write_task(tmp_path, 20)
    path = tmp_path / "model"
    shutil.copytree(tiny_folder, path)
    entry = {"provider": "local", "context": 2048, "path": str(path)}
    write_catalog(models={"mine": entry}, default_model="mine")
    with closing(make_services(settings)) as services:
        watch = Watch(on_progress=lambda progress: watch.stop.set())
        folder, _ = run(Bench.of(services), watch, model="mine")
    before = folder.generations_path.read_bytes()
    shutil.copy(other_folder / "model.safetensors", path)
    with (
        closing(make_services(settings)) as services,
        pytest.raises(InputError, match="not what run .* began with"),
    ):
        carry_out(Bench.of(services), [folder], Watch())
    assert folder.generations_path.read_bytes() == before


def test_planned_batches_go_on_only_with_the_versions_they_were_planned_with(bench):
    watch = Watch(on_progress=lambda progress: watch.stop.set())
    folder, summary = run(bench, watch, is_deterministic=True)
    path = folder.path / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="planned with torch 1.0, and now it is"):
        carry_out(bench, [folder], Watch())
    assert folder.summary() == summary  # What was refused has changed nothing.


def test_a_dataset_that_changes_between_two_sessions_is_refused(bench, tmp_path):
    folder, _ = run(bench, limit=4)
    write_task(tmp_path, ITEMS + 1)
    with pytest.raises(InputError, match="the dataset of 'tables' has changed"):
        carry_out(bench, [folder], Watch())
    with pytest.raises(InputError, match="the dataset of 'tables' has changed"):
        grade(bench, folder)


def test_a_task_that_changes_between_two_sessions_is_refused(bench, tmp_path):
    folder, _ = run(bench, limit=4)
    write_task(tmp_path, ITEMS, params={"max_tokens": 8})
    with pytest.raises(InputError, match="the task of 'tables' has changed"):
        carry_out(bench, [folder], Watch())


def test_a_prompt_that_does_not_fit_is_missing_and_the_planned_batch_goes_on(bench, tmp_path):
    path = tmp_path / "tasks" / "tables.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[3]["input"] += " and so on" * 2000
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    folder, summary = run(bench, is_deterministic=True)
    assert (summary["status"], summary["missing"]) == ("invalid", 1)  # 1 of 70 is above 1 %.
    kinds = {row.id: row.error_kind for row in folder.rows() if row.status != "ok"}
    assert kinds == {"q3": "context_too_long"}
    assert next(iter(summary["errors"])).startswith("the prompt has")
    again = carry_out(bench, [folder], Watch())[0]
    assert len(folder.rows()) == ITEMS
    assert again["missing"] == 1


def test_a_context_that_is_full_before_the_budget_makes_a_missing_answer(bench, tmp_path):
    write_task(tmp_path, 10, params={"max_tokens": 1024})
    folder, summary = run(bench, model="understudy", temperature=2.0)
    statuses = {row.id: (row.status, row.finish_reason) for row in folder.rows()}
    cut = [name for name, found in statuses.items() if found == ("truncated", "length")]
    assert summary["missing_by"].get("truncated", 0) == len(cut)
    assert summary["missing"] == 10 - sum(found[0] == "ok" for found in statuses.values())


def test_several_tasks_share_a_pool_and_have_runs_of_their_own(bench, tmp_path):
    write_task(tmp_path, 30, name="others")
    folders = [plan_run(bench, RunConfig("understudy", task)) for task in (TASK, "others")]
    seen = []
    summaries = carry_out(bench, folders, Watch(lambda p: seen.append((p.done, p.total))))
    assert [summary["task"] for summary in summaries] == [TASK, "others"]
    assert [summary["n"] for summary in summaries] == [ITEMS, 30]
    assert {summary["status"] for summary in summaries} == {"completed"}
    assert max(seen) == (ITEMS + 30, ITEMS + 30)


def test_runs_of_two_models_can_not_share_a_pool(bench):
    folders = [plan_run(bench, RunConfig(model, TASK)) for model in ("understudy", "lead")]
    with pytest.raises(InputError, match="can't share a pool"):
        carry_out(bench, folders, Watch())


@pytest.mark.parametrize(
    ("config", "error", "text"),
    [
        ({"task": "nope"}, NotFoundError, "no task named 'nope'"),
        ({"model": "nope"}, ModelNotAllowedError, "no model named 'nope'"),
        ({"samples": 3, "temperature": 0.0}, InputError, "give a temperature"),
        ({"max_tokens": 2048}, InputError, "the catalog's limits allow 1024"),
        ({"model": "desk-panel", "is_deterministic": True}, InputError, "single local model"),
        ({"limit": 0}, InputError, "limit must be at least 1"),
        ({"samples": 0}, InputError, "samples must be between"),
        ({"seed": -1}, InputError, "seed must be between"),
    ],
)
def test_what_is_impossible_is_refused_before_there_is_a_run(bench, config, error, text):
    with pytest.raises(error, match=text):
        run(bench, **config)
    assert not (bench.home / "evals").exists()


def test_an_ensemble_is_a_model_like_any_other(bench):
    for member in ("lead", "understudy"):  # One by one: what is tested is not how weights load.
        run(bench, model=member, limit=1)
    _, summary = run(bench, model="desk-panel", limit=6)
    assert (summary["status"], summary["provider"]) == ("completed", "ensemble")
    assert summary["model_digest"] is None


def test_recorded_answers_are_labelled_as_such(bench, tmp_path, settings, write_catalog):
    recorded = tmp_path / "answers.jsonl"
    recorded.write_text("")
    entry = {"provider": "replay", "path": str(recorded), "context": 1000}
    write_catalog(models={"tape": entry})
    with closing(make_services(settings)) as services:
        _, summary = run(Bench.of(services), model="tape")
    assert summary["provider"] == "replay"
    assert summary["model_digest"].startswith("replay:sha256:")
    assert summary["status"] == "invalid"
    assert "no recorded answer" in summary["reason"]


def test_a_second_process_is_refused_while_one_carries_the_run_out(bench):
    folder, _ = run(bench, limit=4)
    program = (
        "import sys, pathlib; from evals.lock import held\n"
        "with held(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(folder.path)]
    with subprocess.Popen(
        command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        assert folder.status() == "running"
        with pytest.raises(InputError, match="being carried out by another process"):
            carry_out(bench, [folder], Watch())
        other.kill()
    assert folder.status() == "completed"
    assert carry_out(bench, [folder], Watch())[0]["status"] == "completed"


def test_a_run_without_a_summary_whose_process_is_gone_was_interrupted(bench):
    folder = plan_run(bench, RunConfig("understudy", TASK))
    assert folder.status() == "interrupted"
    with held(folder.path):
        assert folder.status() == "running"
    assert folder.status() == "interrupted"
    assert open_run(bench.home, folder.run) == folder


class Faulty:
    """A provider with a bug that shows at one prompt, until it is mended."""

    def __init__(self, inner: Provider) -> None:
        self._inner = inner

    def identity(self, target: Target) -> str | None:
        return self._inner.identity(target)

    def stream(self, call: ProviderCall) -> Generator[ProviderEvent, None, None]:
        if "Item 3." in call.messages[-1].text:
            raise ZeroDivisionError("a bug")
        yield from self._inner.stream(call)

    def close(self) -> None:
        self._inner.close()


def test_a_bug_costs_one_answer_and_is_never_a_score(bench):
    faulty = Bench(bench.home, bench.gateway.with_providers(Faulty))
    folder, summary = run(faulty)
    assert (summary["status"], summary["missing"]) == ("invalid", 1)
    assert summary["errors"] == {"ZeroDivisionError: a bug": 1}
    assert [row.id for row in folder.rows() if row.error_kind == "internal"] == ["q3"]
    assert carry_out(bench, [folder], Watch())[0]["status"] == "completed"


def test_a_planned_batch_with_a_failed_answer_counts_for_nothing_and_is_redone_whole(bench):
    whole, _ = run(bench, is_deterministic=True)
    faulty = Bench(bench.home, bench.gateway.with_providers(Faulty))
    folder, summary = run(faulty, is_deterministic=True)
    batch = next(batch for batch in folder.manifest().plan if "q3" in batch)
    assert {row.id for row in folder.rows() if row.status != "ok"} == set(batch)
    assert summary["missing"] == len(batch)
    assert carry_out(bench, [folder], Watch())[0]["status"] == "completed"
    assert texts(folder) == texts(whole)
    answered = [row.key for row in folder.rows() if row.status == "ok"]
    assert len(answered) == len(set(answered)) == ITEMS
    name = "grades.jsonl"
    assert (folder.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_a_visitor_is_still_limited_while_evaluations_are_not(tmp_path, settings):
    with closing(make_services(settings)) as services:
        request = GenerationRequest(
            model="understudy",
            messages=(Message("user", "Good evening"),),
            params=GenerationParams(max_tokens=1),
            caller="evals",
            is_admin=True,
        )
        bench = Bench.of(services)
        limit = services.catalog.limits.requests_per_minute
        for _ in range(3 * limit):
            whole_answer(bench.gateway, request)
        for _ in range(limit):  # The same name at the visitors' gateway has its own allowance.
            whole_answer(services.gateway, request)
        with pytest.raises(RateLimitError):  # Some come back while this runs.
            [whole_answer(services.gateway, request) for _ in range(3 * limit)]
