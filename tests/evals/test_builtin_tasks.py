"""The tasks that are shipped: targets score 1.0, floors are what the files say, prompts fit."""

import json

import pytest

from core.settings import PROJECT
from evals.floors import measure_floor, trivial_answers
from evals.ideal import ideal_answer
from evals.sample import Answer, Grade
from evals.task_files import SHIPPED, load_task, samples_of
from evals.task_scorer import scorer_of
from evals.totals import estimate_of

NAMES = sorted(path.stem for path in SHIPPED.glob("*.yaml"))
BEST_IS_ZERO = ("meta_language_rate",)
OF_CONFIDENCE = "expected_calibration_error"
"""Needs answers that state how sure they are; a target states nothing."""


@pytest.fixture(params=NAMES)
def task(request, tmp_path):
    return load_task(request.param, tmp_path)


def test_the_tasks_of_the_world_are_there():
    assert {"desk_tools", "desk_records", "desk_routing", "desk_persona", "gala_plan"} <= set(NAMES)


def test_every_dataset_belongs_to_a_task(tmp_path):
    used = {load_task(name, tmp_path).dataset for name in NAMES}
    assert used == set(SHIPPED.glob("*.jsonl"))


def test_a_task_has_200_samples_of_20_groups_and_more(task):
    samples = samples_of(task)
    assert len(samples) >= 200
    assert len({sample.group for sample in samples}) >= 20


def test_the_target_as_its_own_answer_has_every_best_mark(task):
    score = scorer_of(task)
    grades = []
    for sample in samples_of(task):
        found = score(sample, ideal_answer(sample, task))
        assert found.failure is None, (sample.id, found)
        grades.append(Grade(sample.id, sample.group, found))
    for metric in task.metrics:
        estimate = estimate_of(metric, grades)
        assert (estimate is None) is (metric == OF_CONFIDENCE), metric
        if estimate is None:
            continue
        assert estimate.value == (0.0 if metric in BEST_IS_ZERO else 1.0), metric
    assert task.metrics[0] not in BEST_IS_ZERO


def test_the_floor_is_what_the_best_trivial_answer_scores(task):
    samples = samples_of(task)
    assert task.floor is not None
    assert set(task.floor.answers) >= set(trivial_answers(task, samples))
    measured = measure_floor(task, samples, task.floor.answers)
    assert measured.value == pytest.approx(task.floor.value, abs=1e-9)
    assert measured.value <= 0.25


def test_the_floor_of_tool_calls_is_their_share_of_declines(tmp_path):
    task = load_task("desk_tools", tmp_path)
    declines = [sample for sample in samples_of(task) if not sample.target["calls"]]
    assert task.floor.value == len(declines) / len(samples_of(task))


def test_another_samples_target_is_no_answer(tmp_path):
    """A scorer that any target satisfies would pass the test above and measure nothing."""
    for name in ("desk_tools", "desk_records", "desk_routing", "desk_persona", "gala_plan"):
        task = load_task(name, tmp_path)
        samples, score = samples_of(task), scorer_of(task)
        others = [*samples[100:], *samples[:100]]
        right = [
            score(sample, ideal_answer(other, task)).values[task.metrics[0]]
            for sample, other in zip(samples, others, strict=True)
        ]
        assert sum(right) / len(right) < 0.4, name


@pytest.mark.parametrize("name", ["gala_plan", "desk_records"])
def test_no_target_is_an_answer_to_all(name, tmp_path):
    task = load_task(name, tmp_path)
    samples, score = samples_of(task), scorer_of(task)
    for constant in samples[::40]:
        answer = ideal_answer(constant, task)
        marks = [score(sample, answer).values[task.metrics[0]] for sample in samples]
        assert sum(marks) / len(marks) < 0.05


def test_a_call_behind_prose_is_no_abstention(tmp_path):
    task = load_task("desk_tools", tmp_path)
    score = scorer_of(task)
    for sample in samples_of(task):
        name, names = sample.tools[0].name, ", ".join(tool.name for tool in sample.tools)
        tried = score(sample, Answer(f'Let me look into it. {name}(x="1")'))
        told = score(sample, Answer(f"I can use {names} and nothing else; {name} (or so)."))
        assert tried.values["tool_call_strict"] == 0.0
        assert (tried.notes["outcome"], told.notes["outcome"]) == ("called", "abstained")
        assert bool(tried.repaired) is bool(sample.target["calls"])


def test_a_plan_that_breaks_one_rule_is_told_which(tmp_path):
    task = load_task("gala_plan", tmp_path)
    sample, score = samples_of(task)[0], scorer_of(task)

    def failure(change):
        plan = json.loads(json.dumps(sample.target))
        change(plan)
        return score(sample, Answer(json.dumps(plan))).failure

    def repeat(plan):
        plan["courses"]["main"][0] = plan["courses"]["starter"][0].upper()

    assert failure(repeat) == "repeated_ingredient"
    assert failure(lambda plan: plan["tracks"].pop()) == "track_count"
    assert failure(lambda plan: plan["tracks"][0].update(plan["tracks"][1])) == "repeated_decade"
    assert failure(lambda plan: plan["courses"]["dessert"].append("rice")) == "dessert_ingredients"
    assert failure(lambda plan: plan["courses"].pop("main")) == "main_ingredients"
    assert failure(lambda plan: plan["courses"].update(main=[1, 2, 3])) == "main_text"
    assert failure(lambda plan: plan["courses"].update(fourth=["rice"])) == "courses"
    wanted, decade, barred = sample.details["constraints"]
    course = wanted["path"].removeprefix("courses.").removesuffix("[]")
    (word,) = wanted["values"]
    assert failure(lambda plan: swap(plan["courses"][course], word, "écrevisse")) == (
        "wanted_ingredient"
    )
    other = next(each for each in sample.target["courses"][course] if each != word)
    assert failure(lambda plan: swap(plan["courses"][course], other, "Écrevisse")) is None
    assert failure(lambda plan: swap(plan["courses"][course], other, barred["values"][0])) == (
        "barred_ingredient"
    )
    year = next(t for t in sample.target["tracks"] if t["decade"] == decade["values"][0])
    place = sample.target["tracks"].index(year)
    free = next(d for d in range(1900, 2030, 10) if str(d) not in json.dumps(sample.target))
    assert failure(lambda plan: plan["tracks"][place].update(decade=free)) == "wanted_decade"


def swap(items, old, new):
    """Put another item in an item's place."""
    items[items.index(old)] = new


@pytest.mark.parametrize("model", ["lead", "understudy"])
def test_prompts_and_answers_fit_the_embedded_models(task, model):
    from transformers import AutoTokenizer

    folder = PROJECT / "assets" / "models" / model
    context = json.loads((folder / "config.json").read_text())["max_position_embeddings"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for sample in samples_of(task):
        text = tokenizer.apply_chat_template(
            [message.to_openai() for message in sample.messages],
            tools=[tool.to_openai() for tool in sample.tools] or None,
            add_generation_prompt=True,
            tokenize=False,
        )
        assert len(tokenizer(text)["input_ids"]) + task.params.max_tokens <= context
        ideal = ideal_answer(sample, task)
        calls = ideal.tool_calls or ()
        said = ideal.text + "".join(f"{call.name}{call.arguments}" for call in calls)
        dress = 16 * len(calls)
        assert len(tokenizer(said)["input_ids"]) + dress < task.params.max_tokens
