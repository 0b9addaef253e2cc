"""Rubric files: what they may hold, and what they mark without a judge."""

import time

import pytest
import yaml

from core.errors import InputError, NotFoundError
from evals.judge.anchors import anchor_pairs
from evals.judge.rubric import constant_agreement
from evals.judge.rubric_files import load_rubric, read_rubric, rubric_folders
from evals.judge.zeros import zeroed
from tests.evals.judge.conftest import SMALL

BUTLER = (
    "The roses have been in my care since the morning, and I am glad that you ask. "
    "Should you wish to know more, you need only ring for me."
)


@pytest.fixture
def written(tmp_path):
    def write(**changes):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({**SMALL, **changes}), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("name", ["persona", "factual"])
def test_shipped_rubrics_can_tell_a_judge_from_a_constant_answer(name, tmp_path):
    rubric = load_rubric(name, rubric_folders(tmp_path))
    assert rubric.name == name
    assert constant_agreement(rubric.names, rubric.anchors) < rubric.agreement - 0.1
    assert len(anchor_pairs(rubric)) >= 5


def test_the_persona_rubric_marks_five_dimensions(persona):
    assert set(persona.names) == {
        "personality",
        "factual_accuracy",
        "coherence",
        "length",
        "meta_language",
    }
    assert persona.mark(dict.fromkeys(persona.names, 2)) == 1.0
    assert persona.mark({**dict.fromkeys(persona.names, 2), "length": 1}) == 0.9


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"callls": 2}, "unknown key; did you mean 'calls'?"),
        ({"name": "../x"}, "name must be lower-case letters"),
        ({"calls": 1}, "calls must be 2 to 7, got 1"),
        ({"anchors": SMALL["anchors"][:2]}, "at least 3 anchors, got 2"),
        ({"agreement": 0.4}, "agrees with 0.40 of the anchors' marks"),
        ({"pass_mark": 0}, "above 0.0"),
        ({"zeros": [{"when": "empty", "dimensions": ["rigt"]}]}, "did you mean 'right'?"),
        ({"zeros": [{"when": "length"}]}, "low and high belong to 'length'"),
        ({"zeros": [{"when": "pattern", "pattern": "(?=x)"}]}, "can't be used"),
        ({"zeros": [{"when": "pattern", "pattern": "rude"}]}, "anchor 2 gets 0 for right, kind"),
        ({"zeros": [{"when": "boring"}]}, "zeros.0.when"),
        ({"dimensions": []}, "at least one dimension"),
    ],
)
def test_a_wrong_rubric_says_what_is_wrong(written, changes, said):
    with pytest.raises(InputError, match="rubric 'mine'") as caught:
        read_rubric(written(**changes))
    assert said in str(caught.value)


def test_an_anchor_needs_every_mark_in_range(written):
    anchors = [*SMALL["anchors"], {"question": "q", "answer": "a", "marks": {"right": 3}}]
    with pytest.raises(InputError, match=r"anchor 6: .*missing: \['kind'\], out of range: \[3\]"):
        read_rubric(written(anchors=anchors))


def test_an_unknown_rubric_names_the_known_ones(tmp_path):
    with pytest.raises(NotFoundError, match="choose one of: factual, persona"):
        load_rubric("../persona", rubric_folders(tmp_path))


def test_a_persons_own_rubric_comes_before_a_shipped_one(tmp_path):
    own = tmp_path / "rubrics" / "persona.yaml"
    own.parent.mkdir()
    own.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    assert load_rubric("persona", rubric_folders(tmp_path)).name == "small"


def test_the_digest_changes_with_every_word(written, small):
    other = read_rubric(written(instructions="Say whether the answer is right and kind!"))
    assert other.digest != small.digest


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("", {"empty"}),
        (" \u200b\0 ** ", {"empty"}),
        ("I'm sorry, but I can't help with that request, not even a little.", {"refusal"}),
        ("I cannot assist with roses. They are not my department tonight.", {"refusal"}),
        ("No.", {"length"}),
        (BUTLER * 10, {"length"}),
        (f"Let me first analyze the request. {BUTLER}", {"meta_language"}),
        (BUTLER, set()),
        (f"{BUTLER} I am sorry that I can't dance.", set()),
    ],
)
def test_what_the_persona_rubric_marks_by_itself(persona, answer, found):
    assert set(zeroed(persona, answer).values()) == found


@pytest.mark.parametrize(
    "answer",
    [
        "[" * 1_000_000,
        "a" * 500_000 + "!",
        "\ud800" * 50_000,
        "I will now " * 50_000,
        "9" * 500_000,
    ],
)
def test_hostile_answers_are_marked_in_linear_time(persona, answer):
    began = time.monotonic()
    assert "length" in zeroed(persona, answer) or "empty" in zeroed(persona, answer).values()
    assert time.monotonic() - began < 5
