"""Decisions make a new version; each has a reason, and the old version stays."""

import json

import pytest

from core.errors import InputError, NotFoundError, StorageError
from core.messages import Message, Tool, ToolCall
from training.data_command import apply_decisions
from training.datasets.curating import (
    Decision,
    decision_of,
    merged,
    propose,
    review_queue,
    rewritten,
)
from training.datasets.diff import diff
from training.datasets.drafts import write_version
from training.datasets.example import Example
from training.datasets.findings import Finding
from training.datasets.versions import check_digest, find_version, read_examples


def said(name, answer="Good evening.", **more):
    return Example(
        id=name,
        messages=(Message("user", f"Hello {name}"), Message("assistant", answer)),
        group=more.pop("group", name),
        **more,
    )


def found(*pairs):
    return [Finding(name, defect, "why") for name, defect in pairs]


def test_the_strictest_rule_decides_and_a_leak_takes_its_group():
    rows = [said("a", group="g"), said("b", group="g"), *map(said, "cdefh")]
    findings = found(
        ("a", "leaked"),
        ("c", "meta_language"),
        ("c", "duplicate"),
        ("d", "meta_language"),
        ("e", "contradiction"),
        ("e", "pii"),
        ("f", "no_end"),
    )
    decisions = {decision.id: decision for decision in propose(rows, findings)}
    assert {name: decision.action for name, decision in decisions.items()} == {
        "a": "drop",
        "b": "drop",
        "c": "drop",
        "d": "rewrite",
        "f": "keep",
    }
    assert decisions["b"].reason == "leaked: its group 'g' has a leaked row"
    assert decisions["c"].reason == "duplicate: why"
    (waiting,) = review_queue(findings, tuple(decisions.values()))
    assert (waiting.id, len(waiting.findings)) == ("e", 2)


def test_a_persons_decision_goes_before_a_rules():
    proposed = [Decision("a", "drop", "rule"), Decision("b", "drop", "rule")]
    own = [Decision("a", "keep", "it is fine")]
    assert merged(proposed, own) == (proposed[1], own[0])
    with pytest.raises(InputError, match="several decisions on row 'a'"):
        merged([], own * 2)


def test_announcements_and_personal_data_are_taken_out():
    before = said("a", "Let me first look at this. The table is ready; write to ada@example.org.")
    after = rewritten(before)
    assert after.messages[1].text == "The table is ready; write to [email]."
    assert after.messages[0] == before.messages[0]


def test_a_row_of_which_nothing_is_left_is_dropped():
    assert rewritten(said("a", "Let me first look at this.")) is None


def test_personal_data_in_arguments_must_leave_them_json():
    tool = Tool("call", "", {})

    def calling(arguments):
        turn = Message("assistant", "", (ToolCall("1", "call", arguments),))
        return Example(id="1", messages=(Message("user", "x"), turn), tools=(tool,))

    hidden = rewritten(calling('{"to": "ada@example.org"}'))
    assert json.loads(hidden.messages[1].tool_calls[0].arguments) == {"to": "[email]"}
    assert rewritten(calling('{"card": 4111111111111111}')) is None


def test_a_persons_rewrite_replaces_the_last_answer():
    assert rewritten(said("a"), "Welcome.").messages[-1] == Message("assistant", "Welcome.")
    pair = Example(
        id="1",
        messages=(Message("user", "x"),),
        kind="preference",
        chosen=(Message("assistant", "y"),),
        rejected=(Message("assistant", "z"),),
    )
    assert rewritten(pair, "w").chosen == (Message("assistant", "w"),)


def test_a_curated_version_has_a_parent_and_its_decisions(tmp_path):
    rows = [said("a"), said("b", "Let me think. It is nine."), said("c"), said("d")]
    old = write_version(tmp_path, "desk", rows, {})
    before = old.path.read_bytes()
    decisions = (
        Decision("a", "drop", "dull"),
        Decision("b", "rewrite", "announces"),
        Decision("c", "keep", "checked"),
    )
    new, curation = apply_decisions(tmp_path, old, decisions)
    assert (new.reference, new.parent, new.rows) == ("desk@v2", old.digest, 3)
    assert curation.counts == {"dropped": 1, "rewritten": 1, "kept": 2}
    assert old.path.read_bytes() == before
    kept = (new.folder / "decisions.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in kept] == [d.to_dict() for d in decisions]
    change = diff(old, new)
    assert (change.kept, change.dropped, change.added, change.changed) == (2, ("a",), (), 1)
    ((was, is_now),) = change.rewritten
    assert (was.messages[1].text, is_now.messages[1].text) == (
        rows[1].messages[1].text,
        "It is nine.",
    )


def test_decisions_that_change_nothing_make_no_version(tmp_path):
    old = write_version(tmp_path, "desk", [said("a")], {})
    same, _ = apply_decisions(tmp_path, old, (Decision("a", "keep", "fine"),))
    assert same == old


@pytest.mark.parametrize(
    ("decision", "reason"),
    [
        (Decision("a", "drop", "dull"), "no row of desk@v1 is left"),
        (Decision("z", "drop", "dull"), "row 'z', which isn't there"),
    ],
)
def test_decisions_that_can_not_be_meant_leave_nothing_behind(tmp_path, decision, reason):
    old = write_version(tmp_path, "desk", [said("a")], {})
    with pytest.raises(InputError, match=reason):
        apply_decisions(tmp_path, old, (decision,))
    assert [path.name for path in old.folder.parent.parent.rglob("*")].count("rows.jsonl") == 1


@pytest.mark.parametrize(
    "row",
    [
        {"id": "a", "action": "burn", "reason": "r"},
        {"id": "a", "action": "drop"},
        {"id": "a", "action": "drop", "reason": "r", "answer": "x"},
        {"id": "a", "action": "rewrite", "reason": "r", "answer": " "},
        {"id": "a", "action": "drop", "reason": "r", "more": 1},
        [],
    ],
)
def test_what_is_no_decision_is_refused(row):
    with pytest.raises(InputError):
        decision_of(row)


def test_a_decision_is_read_as_it_is_written():
    for decision in (Decision("a", "drop", "r"), Decision("a", "rewrite", "r", "Hello.")):
        assert decision_of(decision.to_dict()) == decision


def test_rows_that_someone_changed_are_noticed(tmp_path):
    version = write_version(tmp_path, "desk", [said("a")], {})
    check_digest(version)
    version.path.write_text(said("a", "Changed.").to_line())
    with pytest.raises(StorageError, match="the rows of desk@v1 have changed"):
        check_digest(version)
    version.path.write_text('{"id": "a"}\n')
    with pytest.raises(StorageError, match=r"rows.jsonl, line 1"):
        list(read_examples(version.path))


def test_a_version_that_is_not_there_is_named(tmp_path):
    write_version(tmp_path, "desk", [said("a")], {})
    with pytest.raises(NotFoundError, match="no dataset 'desk@v9'; there are: desk@v1"):
        find_version(tmp_path, "desk@v9")
    with pytest.raises(NotFoundError, match="there are: desk"):
        find_version(tmp_path, "other")
