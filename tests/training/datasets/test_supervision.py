"""Which tokens are learnt, by a template's marks and by what each turn adds."""

import pytest

from core.errors import InputError
from core.messages import Message, Tool, ToolCall
from core.providers.weights import load_tokenizer
from core.settings import PROJECT
from tests import tiny_models
from training.datasets import Example, supervise
from training.datasets.supervision import encode

SEAT = Tool("seat", "Seat a guest", {"type": "object", "properties": {"guest": {}}})
CALL = ToolCall("call_0", "seat", '{"guest": "Zoë"}')
TALK = (
    Message("system", "Be brief."),
    Message("user", "Seat Zoë 🙂"),
    Message("assistant", "", (CALL,)),
    Message("tool", '{"table": 3}', tool_call_id="call_0"),
    Message("assistant", "Zoë sits at table 3 🙂."),
    Message("user", "Thanks"),
    Message("assistant", "With pleasure."),
)
CALLED = '<tool_call>{"name": "seat", "arguments": {"guest": "Zoë"}}</tool_call><|im_end|>'
ANSWERS = (CALLED, "Zoë sits at table 3 🙂.<|im_end|>", "With pleasure.<|im_end|>")


def load():
    return load_tokenizer("understudy", PROJECT / "assets" / "models" / "understudy")


@pytest.fixture(scope="module")
def tokenizer():
    return load()


@pytest.fixture(scope="module")
def unmarked():
    """The same tokenizer, its template without marks."""
    tokenizer = load()
    for mark in ("{%- generation %}", "{%- endgeneration %}"):
        assert mark in tokenizer.chat_template
        tokenizer.chat_template = tokenizer.chat_template.replace(mark, "")
    return tokenizer


def talk(**changes):
    return Example(**({"id": "1", "messages": TALK, "tools": (SEAT,)} | changes))


def learnt(example, tokenizer, max_length=1000):
    """Return the texts that are learnt, turn by turn."""
    done = supervise(example, tokenizer, max_length)
    assert len(done.tokens) == len(done.is_supervised)
    runs, last = [], False
    for token, is_learnt in zip(done.tokens, done.is_supervised, strict=True):
        if is_learnt:
            runs = [*runs[:-1], [*runs[-1], token]] if last else [*runs, [token]]
        last = is_learnt
    return tuple(tokenizer.decode(run) for run in runs)


def test_marked_turns_are_learnt_with_their_end_token(tokenizer):
    assert learnt(talk(), tokenizer) == ANSWERS


def test_tokens_and_mask_are_those_of_the_library(tokenizer):
    done = supervise(talk(), tokenizer, 1000)
    given = tokenizer.apply_chat_template(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Seat Zoë 🙂"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"function": {"name": "seat", "arguments": {"guest": "Zoë"}}}],
            },
            {"role": "tool", "content": '{"table": 3}'},
            {"role": "assistant", "content": "Zoë sits at table 3 🙂."},
            {"role": "user", "content": "Thanks"},
            {"role": "assistant", "content": "With pleasure."},
        ],
        tools=[SEAT.to_openai()],
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    assert done.tokens == given["input_ids"]
    assert done.is_supervised == [bool(flag) for flag in given["assistant_masks"]]


def test_without_marks_the_same_tokens_are_learnt(tokenizer, unmarked):
    assert supervise(talk(), unmarked, 1000) == supervise(talk(), tokenizer, 1000)


@pytest.mark.parametrize("kept", [(2,), (4,), (6,), (2, 6)])
def test_muted_turns_are_read_and_not_learnt(tokenizer, unmarked, kept):
    example = talk(muted=tuple(index for index in (2, 4, 6) if index not in kept))
    expected = tuple(ANSWERS[(2, 4, 6).index(index)] for index in kept)
    assert learnt(example, tokenizer) == expected
    assert supervise(example, unmarked, 1000) == supervise(example, tokenizer, 1000)


def test_of_a_preference_the_better_answer_alone_is_learnt(tokenizer):
    example = talk(
        messages=TALK[:6],
        kind="preference",
        chosen=(Message("assistant", "Gladly."),),
        rejected=(Message("assistant", "Whatever."),),
    )
    assert learnt(example, tokenizer) == ("Gladly.<|im_end|>",)


def test_of_an_unpaired_preference_the_last_answer_alone_is_learnt(tokenizer):
    assert learnt(talk(kind="unpaired", label=False), tokenizer) == ANSWERS[2:]


def test_the_window_cuts_on_the_right(tokenizer):
    whole = supervise(talk(), tokenizer, 1000)
    size = len(whole.tokens)
    assert not whole.is_truncated
    assert not supervise(talk(), tokenizer, size).is_truncated
    cut = supervise(talk(), tokenizer, size - 1)
    assert cut.is_truncated
    assert cut.tokens == whole.tokens[:-1]
    prompt = whole.is_supervised.index(True)
    assert not any(supervise(talk(), tokenizer, prompt).is_supervised)
    assert sum(supervise(talk(), tokenizer, prompt + 1).is_supervised) == 1


def test_starts_lead_back_to_the_text(tokenizer):
    whole = encode(talk(), tokenizer)
    first = whole.is_supervised.index(True)
    assert whole.starts[first] == whole.rendered.spans[0][0]


def test_the_white_space_before_an_answer_is_not_learnt_where_offsets_leave_it_out(unmarked):
    """GPT-2's own post-processor reports a token of white space as nothing at its end."""
    from tokenizers import processors

    tokenizer = load()
    tokenizer.chat_template = unmarked.chat_template
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    assert supervise(talk(), tokenizer, 1000) == supervise(talk(), unmarked, 1000)


def test_a_template_that_rewrites_earlier_turns_is_refused_unless_they_are_muted(unmarked):
    tokenizer = load()
    tokenizer.chat_template = (
        "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
        "{%- if m.role == 'assistant' and loop.last %}{{ '<think></think>' }}{%- endif %}"
        "{{ m.content + '<|im_end|>\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
    )
    plain = Example(id="1", messages=TALK[:2] + TALK[4:])
    with pytest.raises(InputError, match="rewrites earlier turns"):
        supervise(plain, tokenizer, 1000)
    last = Example(id="1", messages=plain.messages, muted=(2,))
    assert learnt(last, tokenizer) == ("<think></think>With pleasure.<|im_end|>",)


def test_marks_that_are_not_one_a_turn_are_refused_where_some_are_muted(tokenizer):
    halves = load()
    halves.chat_template = tokenizer.chat_template.replace(
        "{{- m.content or '' }}",
        "{{- m.content or '' }}{%- endgeneration %}{{- '|' }}{%- generation %}",
    )
    assert learnt(talk(), halves)
    with pytest.raises(InputError, match="marks 6 parts of 3 turns"):
        supervise(talk(muted=(2,)), halves, 1000)


def test_a_template_without_a_place_for_tools_is_refused(other_folder):
    with pytest.raises(InputError, match="no place for tools"):
        supervise(talk(), load_tokenizer("other", other_folder), 1000)


def test_a_template_that_fails_on_the_messages_is_refused(tiny_folder):
    tokenizer = load_tokenizer("tiny", tiny_folder)
    broken = talk(messages=(*TALK[:2], Message("assistant", "", (ToolCall("1", "seat", "{}"),))))
    with pytest.raises(InputError, match="template refuses the messages"):
        supervise(broken, tokenizer, 1000)


def test_a_model_that_knows_no_chat_is_given_roles_as_words(tmp_path):
    tokenizer = load_tokenizer("gpt2", tiny_models.save_gpt2(tmp_path))
    example = Example(id="1", messages=(Message("user", "Hello"), Message("assistant", "Hi.")))
    assert learnt(example, tokenizer) == (" Hi.\n",)
