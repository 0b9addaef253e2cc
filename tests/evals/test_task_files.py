"""Task files: shipped ones and a user's own, checked before anything runs."""

import dataclasses
import re

import pytest
import yaml

from core.errors import InputError, NotFoundError
from core.messages import GenerationParams
from evals.task_files import SHIPPED, list_tasks, load_task, samples_of, task_digest

ENTRY = {
    "description": "A task.",
    "scorer": "fields",
    "metrics": ["exact_match", "field_f1"],
    "params": {"max_tokens": 99, "stop": ["\n"]},
    "labels": {"licence": "MIT"},
}
ROW = '{"id": "a", "input": "Seat Ada.", "target": {"guest": "Ada"}}\n'


@pytest.fixture
def home(tmp_path):
    (tmp_path / "tasks").mkdir()
    return tmp_path


def lay(home, name="mine", rows=ROW, text=None, **changes):
    """Write a task of the user's and return its name."""
    entry = {key: value for key, value in {**ENTRY, **changes}.items() if value is not None}
    path = home / "tasks" / f"{name}.yaml"
    path.write_text(yaml.safe_dump(entry) if text is None else text, encoding="utf-8")
    if rows is not None:
        (home / "tasks" / f"{name}.jsonl").write_text(rows, encoding="utf-8")
    return name


def test_a_task_of_the_users_own_is_read(home):
    task = load_task(lay(home), home)
    assert task.name == "mine"
    assert task.dataset == home / "tasks" / "mine.jsonl"
    assert task.metrics == ("exact_match", "field_f1")
    assert task.params == GenerationParams(max_tokens=99, stop=("\n",))
    assert task.floor is None
    assert task.labels == {"licence": "MIT"}
    assert [sample.id for sample in samples_of(task)] == ["a"]


def test_shipped_tasks_and_the_users_are_listed_together(home):
    shipped = {path.stem for path in SHIPPED.glob("*.yaml")}
    lay(home, "zebra")
    lay(home, "Not A Name")
    names = list_tasks(home)
    assert set(names) == shipped | {"zebra"}
    assert list(names) == sorted(names)


def test_a_home_without_tasks_has_the_shipped_ones(tmp_path):
    assert set(list_tasks(tmp_path / "none")) == {path.stem for path in SHIPPED.glob("*.yaml")}


def test_two_tasks_may_share_a_dataset(home):
    lay(home)
    lay(home, "strict", rows=None, dataset="mine.jsonl", metrics=["json_valid"])
    assert load_task("strict", home).dataset == load_task("mine", home).dataset


def test_a_name_that_a_shipped_task_has_is_an_error(home):
    lay(home, "desk_tools")
    for ask in (lambda: list_tasks(home), lambda: load_task("desk_tools", home)):
        with pytest.raises(InputError, match="has the name of a task that is shipped"):
            ask()
    assert load_task("desk_records", home).name == "desk_records"


@pytest.mark.parametrize(
    "name", ["../mine", "a/b", "/etc/passwd", "..", "", "Mine", "a" * 65, "a\n", "é", ".a", "a.b"]
)
def test_a_name_that_is_no_slug_is_refused(home, name):
    with pytest.raises(InputError, match="can't be a task's name"):
        load_task(name, home)


@pytest.mark.parametrize("name", ["../rows.jsonl", "/tmp/rows.jsonl", "a/rows.jsonl", "rows.txt"])
def test_a_dataset_outside_the_folder_is_refused(home, name):
    lay(home, dataset=name)
    with pytest.raises(InputError, match=r"must be a \.jsonl file in the same folder"):
        load_task("mine", home)


def test_an_unknown_task_is_told_with_the_nearest(home):
    lay(home)
    with pytest.raises(NotFoundError, match="no task named 'mime'; did you mean 'mine'"):
        load_task("mime", home)
    with pytest.raises(NotFoundError, match="no task named 'zzzzz'; choose one of: desk_"):
        load_task("zzzzz", home)


def test_a_missing_dataset_is_told(home):
    lay(home, rows=None)
    with pytest.raises(NotFoundError, match=r"its dataset '.*mine\.jsonl' is missing"):
        load_task("mine", home)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"metric": ["a"]}, "metric: unknown key; did you mean 'metrics'"),
        ({"params": {"max_token": 5}}, "params.max_token: unknown key; did you mean 'max_tokens'"),
        ({"floor": {"answers": ["a"], "valu": 1}}, "unknown key; did you mean 'value'"),
        ({"qwxyz": 1}, "qwxyz: unknown key$"),
        ({"scorer": None}, "scorer: "),
        ({"metrics": []}, "metrics: name at least one"),
        ({"metrics": ["a", "a"]}, "metrics: name at least one, each once"),
        ({"metrics": "exact_match"}, "metrics: "),
        ({"scorer": "feilds"}, "no scorer named 'feilds'; did you mean 'fields'"),
        ({"scorer": "zzzz"}, "no scorer named 'zzzz'; choose one of: "),
        ({"arguments": {"depth": 3}}, "scorer 'fields': .*depth"),
        ({"scorer": "json_valid", "arguments": {"kind": "odd"}}, "kind is 'odd'"),
        ({"arguments": {"kind": float("nan")}}, "arguments: must be JSON"),
        ({"params": {"max_tokens": 0}}, "params: max_tokens must be between"),
        ({"params": {"temperature": 3}}, "params: temperature must be between"),
        ({"floor": {"answers": [], "value": 0.5}}, "floor: needs at least one answer"),
        ({"floor": {"answers": ["a"], "value": 1.5}}, "floor: .* 0.0 to 1.0"),
    ],
)
def test_a_wrong_key_or_value_is_told_by_its_place(home, changes, reason):
    lay(home, **changes)
    with pytest.raises(InputError, match=reason):
        load_task("mine", home)


@pytest.mark.parametrize("text", ["a: [", "- a\n- b\n", "", "5", "a: \x01", "[" * 3000])
def test_a_file_that_is_no_mapping_is_told(home, text):
    lay(home, text=text)
    with pytest.raises(InputError, match=r"mine\.yaml"):
        load_task("mine", home)


def test_an_object_in_yaml_is_never_made(home):
    lay(home, text="description: !!python/object/apply:os.getcwd []\nscorer: fields\n")
    with pytest.raises(InputError, match="can't be read as YAML"):
        load_task("mine", home)


def test_a_dataset_without_rows_or_with_broken_ones_is_told(home):
    lay(home, rows="\n")
    with pytest.raises(InputError, match="has no rows"):
        samples_of(load_task("mine", home))
    lay(home, rows=ROW + "{")
    with pytest.raises(InputError, match="line 2: not JSON"):
        samples_of(load_task("mine", home))


def test_two_system_prompts_are_refused(home):
    messages = '[{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]'
    lay(home, system="Be brief.", rows=f'{{"id": "a", "input": {messages}, "target": {{}}}}\n')
    with pytest.raises(InputError, match="sample 'a' has a system message, and so has the task"):
        samples_of(load_task("mine", home))


@pytest.mark.parametrize(
    "change",
    [
        {"system": "Be brief."},
        {"scorer": "json_valid"},
        {"arguments": {"kind": "object"}},
        {"metrics": ("field_f1", "exact_match")},
        {"params": GenerationParams(max_tokens=98)},
        {"params": GenerationParams(max_tokens=99, stop=("\n",), temperature=0.5)},
    ],
)
def test_the_digest_changes_with_what_affects_a_score(home, change):
    task = load_task(lay(home), home)
    changed = dataclasses.replace(task, **change)
    assert task_digest(changed) != task_digest(task)


def test_the_digest_ignores_what_affects_no_score(home):
    task = load_task(lay(home), home)
    other = load_task(
        lay(
            home,
            "other",
            description="Other words.",
            labels={"licence": "none"},
            floor={"answers": ["{}"], "value": 0.1},
        ),
        home,
    )
    assert task_digest(task) == task_digest(other)
    assert re.fullmatch("sha256:[0-9a-f]{64}", task_digest(task))


def test_the_digest_of_a_known_task_stays_what_it_was(home):
    """Stored runs name it: another digest for the same task would cut them off."""
    task = load_task(lay(home), home)
    assert task_digest(task) == (
        "sha256:ba6bf82cc5a3b0095540857ade629882b908c50db4f3d0b346eae3db7909d1c2"
    )
