"""Messages and generations come back as they were written."""

import pytest

from core.errors import StorageError
from core.messages import (
    Generation,
    GenerationParams,
    Message,
    ModelRef,
    Timings,
    ToolCall,
    Usage,
    new_id,
)
from core.store import Conversations
from core.store.records import generation_from_facts

CALL = ToolCall("call_1", "seat_guest", '{"guest": "Ada"}')


def generation(text: str = "Good evening.", calls: tuple[ToolCall, ...] = ()) -> Generation:
    return Generation(
        text=text,
        tool_calls=calls,
        model=ModelRef("lead", "sha256:1"),
        adapter=ModelRef("lead@3", None),
        params=GenerationParams(temperature=0.5, seed=7, stop=("\n", "END")),
        usage=Usage(input_tokens=12, output_tokens=3),
        timings=Timings(
            load_s=0.0, queue_s=0.25, first_token_s=None, total_s=0.5, tokens_per_s=None
        ),
        cost_usd=None,
        finish_reason="stop",
        trace_id=new_id(),
        cache="miss",
        route="rules",
        attempts=2,
        dropped_messages=1,
    )


def test_a_conversation_is_read_as_it_was_written(talk: Conversations) -> None:
    new = talk.create("ada", "lead", "Who sits where?")
    answer = Message("assistant", "Let me see.", tool_calls=(CALL,))
    result = Message("tool", "table 4", tool_call_id=CALL.id)
    facts = generation("Let me see.", (CALL,))
    stored = [
        talk.add("ada", new.id, Message("user", "Who sits where?")),
        talk.add("ada", new.id, answer, facts),
        talk.add("ada", new.id, result),
    ]

    found = talk.get("ada", new.id)

    assert found.messages == tuple(stored)
    assert [each.message for each in found.messages[1:]] == [answer, result]
    assert found.messages[1].generation == facts
    assert [each.position for each in found.messages] == [0, 1, 2]
    assert (found.title, found.model, found.created_at) == (new.title, "lead", new.created_at)
    assert found.updated_at == stored[-1].created_at
    assert found.created_at.utcoffset() is not None


def test_text_that_no_database_stores_is_made_fit(talk: Conversations) -> None:
    new = talk.create("ada", "lead", "a\x00b\ud800")
    assert new.title == "ab\ufffd"
    call = ToolCall("c\x00", "f", '{"x": "\x00"}')
    stored = talk.add(
        "ada", new.id, Message("assistant", "a\x00b\ud83d\ude00\udc00", tool_calls=(call,))
    )
    talk.rate("ada", stored.id, False, "why\x00")
    talk.correct("ada", stored.id, "so\x00\ud800")
    message = talk.get("ada", new.id).messages[0]
    assert message.message == Message(
        "assistant", "ab😀\ufffd", tool_calls=(ToolCall("c", "f", '{"x": ""}'),)
    )
    assert (message.reason, message.correction) == ("why", "so\ufffd")


@pytest.mark.parametrize(
    ("change", "said"),
    [({"colour": 1}, "unknown key 'colour'"), ({"usage": {"input_tokens": 1}}, "output_tokens")],
)
def test_a_generation_of_another_shape_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(StorageError, match=said):
        generation_from_facts({**generation().facts(), **change}, Message("assistant", ""))
