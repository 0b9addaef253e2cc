"""What people liked and corrected becomes examples, on both databases."""

import pytest

from core.errors import InputError
from core.messages import Message, ToolCall
from core.store import Conversations
from training.datasets.from_logs import StoreFeedback, import_source
from training.datasets.versions import read_examples


@pytest.fixture
def talks(store):
    return Conversations(store)


def talk(talks, *said, visitor="ada"):
    """Store a conversation; return its id and those of its messages."""
    conversation = talks.create(visitor, "understudy", said[0].text)
    ids = [talks.add(visitor, conversation.id, message).id for message in said]
    return conversation.id, ids


def asked(text):
    return Message("user", text)


def told(text):
    return Message("assistant", text)


def rows(store, tmp_path, kind="sft"):
    report = import_source(tmp_path, f"logs-{kind}", StoreFeedback(store, kind))
    return report, list(read_examples(report.version.path))


def test_liked_and_corrected_answers_are_learnt_and_earlier_ones_read(store, talks, tmp_path):
    said = (asked("1"), told("one"), asked("2"), told("two"), asked("3"), told("three"))
    name, ids = talk(talks, *said)
    talks.correct("ada", ids[1], "ONE")
    talks.rate("ada", ids[5], True)
    talks.rate("ada", ids[3], False, "wrong")
    report, found = rows(store, tmp_path)
    first, second = sorted(found, key=lambda example: len(example.messages))
    assert [message.text for message in first.messages] == ["1", "ONE"]
    assert (first.id, first.group, first.source) == (ids[1], name, "correction")
    assert [message.text for message in second.messages] == ["1", "ONE", "2", "two", "3", "three"]
    assert (second.source, second.learnt) == ("like", (5,))
    assert report.refused == 0


def test_corrections_make_pairs_and_thumbs_labels(store, talks, tmp_path):
    _, ids = talk(talks, asked("1"), told("one"), asked("2"), told("two"))
    talks.correct("ada", ids[1], "ONE")
    talks.rate("ada", ids[1], True)
    talks.rate("ada", ids[3], False)
    _, (pair,) = rows(store, tmp_path, "preference")
    assert (pair.messages, pair.chosen, pair.rejected) == (
        (asked("1"),),
        (told("ONE"),),
        (told("one"),),
    )
    _, thumbs = rows(store, tmp_path, "unpaired")
    assert {thumb.id: (thumb.label, thumb.answer) for thumb in thumbs} == {
        ids[1]: (True, (told("one"),)),
        ids[3]: (False, (told("two"),)),
    }


def test_verdicts_taken_back_and_answers_withdrawn_are_left_out(store, talks, tmp_path):
    name, ids = talk(talks, asked("1"), told("one"))
    talks.rate("ada", ids[1], True)
    talks.rate("ada", ids[1], None)
    other, others = talk(talks, asked("2"), told("two"), visitor="bob")
    talks.rate("bob", others[1], True)
    talks.withdraw("bob", other, 1)
    with pytest.raises(InputError, match="nothing to learn in feedback"):
        rows(store, tmp_path)
    _, more = talk(talks, asked("3"), told("three"), visitor="bob")
    talks.rate("bob", more[1], True)
    _, found = rows(store, tmp_path)
    assert [example.id for example in found] == [more[1]]


def test_answers_that_call_tools_are_refused_with_the_reason(store, talks, tmp_path):
    calling = Message("assistant", "", (ToolCall("1", "seat", "{}"),))
    _, ids = talk(talks, asked("1"), calling)
    talks.rate("ada", ids[1], True)
    _, good = talk(talks, asked("2"), told("two"))
    talks.rate("ada", good[1], True)
    report, found = rows(store, tmp_path)
    assert [example.id for example in found] == [good[1]]
    assert report.reasons == {"the assistant calls 'seat', which is not offered": 1}


def test_the_same_feedback_again_makes_no_version(store, talks, tmp_path):
    _, ids = talk(talks, asked("1"), told("one"))
    talks.rate("ada", ids[1], True)
    first, _ = rows(store, tmp_path)
    again, _ = rows(store, tmp_path)
    assert again.version == first.version
    assert again.is_unchanged


def test_a_kind_that_is_none_is_refused(store):
    with pytest.raises(InputError, match="kind must be one of sft, preference, unpaired"):
        StoreFeedback(store, "votes")
