"""Conversations: ownership, order, undo, feedback, deletion and export."""

import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from core.errors import InputError, NotFoundError
from core.messages import (
    Message,
    ToolCall,
)
from core.observe import Ledger
from core.store import Conversations, Store, tables

CALL = ToolCall("call_1", "seat_guest", '{"guest": "Ada"}')


def asked(talk: Conversations, visitor: str = "ada", *texts: str) -> tuple[str, list[str]]:
    """Start a conversation of alternating roles; return its id and those of its messages."""
    new = talk.create(visitor, "lead", texts[0])
    roles = ("user", "assistant")
    return new.id, [
        talk.add(visitor, new.id, Message(roles[number % 2], text)).id
        for number, text in enumerate(texts)
    ]


def texts_of(talk: Conversations, conversation_id: str, visitor: str = "ada") -> list[str]:
    return [each.message.text for each in talk.get(visitor, conversation_id).messages]


def test_list_shows_the_newest_activity_first_and_counts_what_is_visible(
    talk: Conversations,
) -> None:
    first, _ = asked(talk, "ada", "one", "1")
    second, _ = asked(talk, "ada", "two", "2")
    asked(talk, "bob", "not yours")
    talk.add("ada", first, Message("user", "again"))
    talk.withdraw("ada", second, 1)

    listed = talk.list("ada")

    assert [(each.id, each.message_count) for each in listed] == [(second, 1), (first, 3)]
    assert (listed[1].title, listed[1].model) == ("one", "lead")


@pytest.mark.parametrize("bad", ["0" * 32, "", "a\x00b", "\ud800", "x" * 100_000, "é" * 32])
def test_a_foreign_and_an_unknown_conversation_are_the_same(talk: Conversations, bad: str) -> None:
    owned, [_, answer] = asked(talk, "ada", "secret", "plan")
    attempts: dict[str, Callable[[str, str], object]] = {
        "get": lambda cid, _: talk.get("bob", cid),
        "add": lambda cid, _: talk.add("bob", cid, Message("user", "x")),
        "withdraw": lambda cid, _: talk.withdraw("bob", cid, 0),
        "delete": lambda cid, _: talk.delete("bob", cid),
        "export": lambda cid, _: talk.export("bob", [cid]),
        "rate": lambda _, mid: talk.rate("bob", mid, True, ""),
        "correct": lambda _, mid: talk.correct("bob", mid, "x"),
    }
    for name, attempt in attempts.items():
        with pytest.raises(NotFoundError) as foreign:
            attempt(owned, answer)
        with pytest.raises(NotFoundError) as unknown:
            attempt(bad, bad)
        asked_for = answer if name in ("rate", "correct") else owned
        assert str(foreign.value).replace(asked_for, "") == str(unknown.value).replace(
            repr(bad)[1:-1], ""
        )
    assert texts_of(talk, owned) == ["secret", "plan"]


def test_withdrawn_messages_are_unseen_but_kept(talk: Conversations, store: Store) -> None:
    kept, ids = asked(talk, "ada", "q1", "a1", "q2", "a2")
    talk.withdraw("ada", kept, 3)
    retried = talk.add("ada", kept, Message("assistant", "a2 again"))

    assert texts_of(talk, kept) == ["q1", "a1", "q2", "a2 again"]
    assert retried.position == 4
    assert "a2 again" in next(talk.export("ada"))
    assert '"a2"' not in next(talk.export("ada"))
    with store.read() as connection:
        rows = connection.scalars(select(tables.messages.c.text)).all()
    assert sorted(rows) == ["a1", "a2", "a2 again", "q1", "q2"]
    with pytest.raises(NotFoundError):
        talk.rate("ada", ids[3], True, "")


def test_the_newest_verdict_counts_and_none_takes_it_back(talk: Conversations) -> None:
    kept, [_, answer] = asked(talk, "ada", "q", "a")
    talk.rate("ada", answer, True, "")
    talk.rate("ada", answer, False, "too long")
    talk.correct("ada", answer, "first try")
    talk.correct("ada", answer, "better")

    message = talk.get("ada", kept).messages[1]
    assert (message.liked, message.reason, message.correction) == (False, "too long", "better")
    assert message.message.text == "a"

    talk.rate("ada", answer, None, "ignored")
    message = talk.get("ada", kept).messages[1]
    assert (message.liked, message.reason, message.correction) == (None, "", "better")


def test_impossible_feedback_is_refused(talk: Conversations) -> None:
    _, [question, answer] = asked(talk, "ada", "q", "a")
    talk.rate("ada", answer, False, "x" * 2000)
    with pytest.raises(InputError, match="2000 characters, got 2001"):
        talk.rate("ada", answer, False, "x" * 2001)
    for empty in ("", " \n", "\x00"):
        with pytest.raises(InputError, match="cannot be empty"):
            talk.correct("ada", answer, empty)
    for attempt in (
        lambda: talk.rate("ada", question, True),
        lambda: talk.correct("ada", question, "x"),
    ):
        with pytest.raises(InputError, match="this message is from 'user'"):
            attempt()


def test_delete_leaves_nothing_that_was_said(talk: Conversations, store: Store) -> None:
    gone, [_, answer] = asked(talk, "ada", "gone q", "gone a")
    kept, _ = asked(talk, "ada", "kept q", "kept a")
    talk.rate("ada", answer, False, "gone reason")
    talk.correct("ada", answer, "gone correction")
    ledger = Ledger(store)
    for conversation_id in (gone, kept):
        with (
            ledger.trace("chat", caller="ada", conversation_id=conversation_id) as trace,
            trace.span("call", "generation") as span,
        ):
            span.set(input=["gone q"], output="gone a", tokens=3)

    talk.delete("ada", gone)

    with pytest.raises(NotFoundError):
        talk.get("ada", gone)
    assert texts_of(talk, kept) == ["kept q", "kept a"]
    with store.read() as connection:
        for table in (tables.feedback, tables.corrections):
            assert connection.execute(select(table)).all() == []
    of_kept, of_gone = (ledger.show(each.id).spans[0] for each in ledger.list(2))
    assert (of_gone.input, of_gone.output, of_gone.attributes) == (None, None, {"tokens": 3})
    assert of_kept.output == "gone a"


def test_a_trace_that_ends_after_the_deletion_keeps_no_text(
    talk: Conversations, store: Store
) -> None:
    gone, _ = asked(talk, "ada", "q")
    ledger = Ledger(store)
    with (
        ledger.trace("chat", caller="ada", conversation_id=gone) as trace,
        trace.span("call", "generation") as span,
    ):
        span.set(input="q", output="a", tokens=3)
        talk.delete("ada", gone)
    kept = ledger.show(trace.id).spans[0]
    assert (kept.input, kept.output, kept.attributes) == (None, None, {"tokens": 3})


def test_export_is_openai_messages_with_feedback(talk: Conversations) -> None:
    new = talk.create("ada", "lead", "Seat Ada")
    talk.add("ada", new.id, Message("user", "Seat Ada — “now”"))
    call = talk.add("ada", new.id, Message("assistant", "", tool_calls=(CALL,)))
    talk.add("ada", new.id, Message("tool", "done", tool_call_id=CALL.id))
    answer = talk.add("ada", new.id, Message("assistant", "Seated."))
    talk.rate("ada", call.id, True, "")
    talk.correct("ada", answer.id, "Ada is seated.")
    talk.create("ada", "lead", "empty")

    [line] = talk.export("ada")

    assert "\n" not in line
    assert json.loads(line) == {
        "id": new.id,
        "model": "lead",
        "messages": [
            {"role": "user", "content": "Seat Ada — “now”"},
            {"role": "assistant", "content": None, "tool_calls": [CALL.to_openai()]},
            {"role": "tool", "content": "done", "tool_call_id": "call_1"},
            {"role": "assistant", "content": "Seated."},
        ],
        "feedback": [
            {"message": 1, "liked": True, "reason": "", "correction": None},
            {"message": 3, "liked": None, "reason": "", "correction": "Ada is seated."},
        ],
        "created_at": new.created_at.isoformat(),
    }


def test_export_keeps_the_order_asked_for_and_skips_what_is_deleted_meanwhile(
    talk: Conversations,
) -> None:
    ids = [asked(talk, "ada", text)[0] for text in ("one", "two", "three")]
    lines = talk.export("ada", [ids[0], ids[2], ids[1]])
    assert json.loads(next(lines))["id"] == ids[0]
    talk.delete("ada", ids[2])
    assert [json.loads(line)["id"] for line in lines] == [ids[1]]
    assert len(list(talk.export("ada"))) == 2


def test_a_question_without_answer_is_known(talk: Conversations) -> None:
    kept, _ = asked(talk, "ada", "q")
    assert talk.get("ada", kept).unanswered
    talk.add("ada", kept, Message("assistant", "a"))
    assert not talk.get("ada", kept).unanswered
    assert not talk.create("ada", "lead", "").unanswered


steps = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.integers(min_value=-1, max_value=12),
    ),
    max_size=12,
)


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(steps=steps)
def test_any_sequence_of_add_and_withdraw_keeps_the_order(
    talk: Conversations, steps: list[str | int]
) -> None:
    """A text is added; a number withdraws from that position."""
    new = talk.create("ada", "lead", "t")
    expected: list[tuple[int, str]] = []
    added = 0
    for step in steps:
        if isinstance(step, str):
            stored = talk.add("ada", new.id, Message("user", step))
            assert stored.position == added
            expected.append((added, step.replace("\x00", "")))
            added += 1
        else:
            talk.withdraw("ada", new.id, step)
            expected = [pair for pair in expected if pair[0] < step]
    found = talk.get("ada", new.id)
    assert [(each.position, each.message.text) for each in found.messages] == expected
    [summary] = [each for each in talk.list("ada") if each.id == new.id]
    assert summary.message_count == len(expected)
    assert summary == talk.list("ada")[0]
    talk.delete("ada", new.id)
