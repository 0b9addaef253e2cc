from dataclasses import replace
from datetime import UTC, datetime

import pytest

from core.chats import Frame
from core.messages import (
    Generation,
    GenerationParams,
    GenerationRequest,
    Message,
    ModelRef,
    Progress,
    Timings,
    ToolCall,
    new_id,
)
from core.store import Conversation, StoredMessage
from tabs.chat_view import (
    EMPTY,
    answer_text,
    facts_line,
    in_the_making,
    lay_out,
    progress_text,
)
from tests.fakes import generation_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASKED = GenerationRequest("lead", (Message("user", "two words"),), GenerationParams(), "visitor")
CALL = ToolCall("1", "assign_seat", '{"person": "Ada", "table": 4}')


def stored(
    message: Message, generation: Generation | None = None, **kwargs: object
) -> StoredMessage:
    """Return a message as the store would."""
    return StoredMessage(new_id(), 0, message, generation, NOW, **kwargs)


def conversation(*messages: StoredMessage) -> Conversation:
    """Return a conversation of these."""
    return Conversation(new_id(), "title", "lead", NOW, NOW, messages)


def titles(entries: object) -> list[str | None]:
    """Return each entry's title, None for plain text."""
    return [entry.get("metadata", {}).get("title") for entry in entries]


def test_an_answer_is_one_group_with_its_call_and_its_figures() -> None:
    generation = generation_of(ASKED, "Seating her.", [CALL])
    question = stored(Message("user", "Seat Ada"))
    answer = stored(Message("assistant", "Seating her.", (CALL,)), generation, liked=False)
    page = lay_out(conversation(question, answer))
    assert [entry["role"] for entry in page.entries] == ["user"] + ["assistant"] * 3
    assert titles(page.entries)[2] == "Tool call <code>assign&#95;seat</code>"
    assert '"table": 4' in page.entries[2]["content"]
    assert page.message_ids == (question.id, answer.id, answer.id, answer.id)
    assert page.verdicts == ("Dislike",)


def test_one_verdict_for_each_answer_whatever_its_entries() -> None:
    calls = stored(Message("assistant", "", (CALL, CALL)), generation_of(ASKED, ""), liked=True)
    plain = stored(Message("assistant", "Hello"), liked=None)
    asked = stored(Message("user", "x"))
    assert lay_out(conversation(asked, calls, asked, plain)).verdicts == ("Like", None)


def test_a_correction_stands_for_the_answer_which_stays_readable() -> None:
    answer = stored(Message("assistant", "Teh seat"), correction="The seat")
    page = lay_out(conversation(answer))
    assert page.entries[0]["content"] == "The seat"
    assert "Teh seat" in page.entries[1]["content"]
    assert answer_text(answer) == "The seat"


def test_calls_are_edited_as_the_model_wrote_them() -> None:
    assert answer_text(stored(Message("assistant", "Hm.", (CALL,)))) == (
        'Hm.\n<tool_call>{"name": "assign_seat", "arguments": {"person": "Ada", "table": 4}}'
        "</tool_call>"
    )


def test_arguments_that_are_no_json_are_shown_as_they_are() -> None:
    call = replace(CALL, arguments='{"table": <b>')
    page = lay_out(conversation(stored(Message("assistant", "", (call,)))))
    assert '{"table": <b>' in page.entries[0]["content"]


def test_an_empty_answer_says_so() -> None:
    answer = stored(Message("assistant", " "), generation_of(ASKED, " "))
    assert lay_out(conversation(answer)).entries[0]["content"] == EMPTY


def test_facts() -> None:
    assert facts_line(generation_of(ASKED, "Good evening")) == (
        "lead · first token 0.01 s · total 0.02 s · 100 tokens/s · 2 in, 2 out · cost unknown"
    )


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"finish_reason": "cancelled"}, "stopped"),
        ({"finish_reason": "length"}, "cut at the limit"),
        ({"adapter": ModelRef("v2", None)}, "lead@v2"),
        ({"cost_usd": 0.00012}, "cost $0.000120"),
        ({"timings": Timings(0.0, 0.0, None, 0.1, None)}, "first token unknown"),
        ({"timings": Timings(0.0, 0.0, None, 0.1, None)}, "speed unknown"),
        ({"dropped_messages": 3}, "3 oldest messages left out"),
    ],
)
def test_facts_say_what_is_special(changed: dict[str, object], part: str) -> None:
    assert part in facts_line(replace(generation_of(ASKED, "x"), **changed)).split(" · ")


def test_an_answer_in_the_making_always_ends_with_the_quiet_line() -> None:
    cases = {
        "waiting for the first token": Frame("c"),
        "writing": Frame("c", text="Go", call_text='{"na'),
        "loading the model": Frame("c", progress=Progress("loading")),
    }
    for expected, frame in cases.items():
        last = in_the_making(frame)[-1]
        assert last["metadata"] == {"title": f"<em>{expected}</em>", "status": "pending"}
    assert titles(in_the_making(cases["writing"]))[:2] == [None, "Calling a tool"]


def test_progress_has_both_numbers() -> None:
    text = progress_text(Progress("downloading", 250_000_000, 720_000_000))
    assert text == "downloading the model: 0.25 of 0.72 GB"


def test_names_from_outside_stay_text() -> None:
    call = replace(CALL, name="<img src=x>")
    page = lay_out(conversation(stored(Message("assistant", "", (call,)))))
    assert "<img" not in str(titles(page.entries))
