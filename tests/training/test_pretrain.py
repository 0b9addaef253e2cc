import json
import random
import re
from dataclasses import replace

import pytest

from core.errors import InputError, StorageError
from training.pretrain import desk
from training.pretrain.config import PretrainConfig, Stage
from training.pretrain.evaluate import grade
from training.pretrain.habits import dress_calls, habit_for
from training.pretrain.mix import SPLITS, conversation, held_out
from training.pretrain.tokenizer import CONTEXT, VOCABULARY, learn_tokenizer, load_tokenizer
from training.pretrain.trainer import learning_rate, train
from training.pretrain.world import Draw, slots_of, token_pieces, tools, word_pools

TINY = PretrainConfig(
    "tiny",
    hidden=64,
    layers=1,
    heads=2,
    feed_forward=64,
    steps=150,
    warmup=20,
    stages=(Stage(0, habits=True), Stage(76, echoes=0.3, novel_words=0.4, novel_names=0.4)),
    batch=1,
)
HABITUAL = Stage(0, habits=True)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer()


def training_text(count: int) -> str:
    """Return the text of many training conversations, schemas included."""
    parts = []
    for index in range(count):
        stage = Stage(0, echoes=0.3, novel_words=0.4 * (index % 2), novel_names=0.4 * (index % 2))
        example = conversation(f"test:{index}", stage)
        parts.append(json.dumps([example.messages, example.tools], ensure_ascii=False))
    return "\n".join(parts)


@pytest.fixture(scope="module")
def trained_on():
    return training_text(3000)


def test_phrasings_mention_every_required_parameter_and_no_other():
    for tool in tools():
        required = {p.key for p in tool.parameters if not p.optional}
        known = {p.key for p in tool.parameters}
        for phrasing in (*tool.phrasings["train"], *tool.phrasings["heldout"]):
            slots = set(slots_of(phrasing))
            assert required <= slots <= known, (tool.key, phrasing)


def test_there_are_ten_tools_and_more():
    assert len(tools()) >= 10
    assert len({tool.intent for tool in tools()}) >= 5


def test_held_out_names_and_phrasings_are_nowhere_in_training():
    for tool in tools():
        assert not set(tool.names["train"]) & set(tool.names["heldout"])
        assert not set(tool.phrasings["train"]) & set(tool.phrasings["heldout"])


def test_no_held_out_tool_name_reaches_training_text(trained_on):
    used = set(re.findall(r'"name": "(\w+)"', trained_on))
    for tool in tools():
        for name in tool.names["heldout"]:
            assert name not in used


@pytest.mark.parametrize("pool", ["first", "last", "dish_what", "drink", "room", "thing"])
def test_no_held_out_word_reaches_training_values(pool, trained_on):
    pools = word_pools()[pool]
    assert not set(pools["train"]) & set(pools["heldout"])
    for word in pools["heldout"]:
        assert not re.search(rf'"[^"]*\b{re.escape(word)}\b', trained_on.replace("\\", "")), word


def test_a_conversation_depends_on_its_seed_alone():
    assert conversation("a", HABITUAL) == conversation("a", HABITUAL)
    assert conversation("a", HABITUAL) != conversation("b", HABITUAL)


def test_held_out_requests_have_their_right_calls():
    for split in SPLITS:
        for index in range(100):
            request = held_out(split, index)
            offered = {t["function"]["name"]: t["function"]["parameters"] for t in request.tools}
            assert 2 <= len(offered) <= 4
            assert 1 <= len(request.calls) <= 2
            for call in request.calls:
                schema = offered[call["name"]]
                assert (
                    set(schema["required"]) <= set(call["arguments"]) <= set(schema["properties"])
                )


def test_some_requests_need_two_calls_and_some_none():
    counts = [len(held_out("unseen_values", index).calls) for index in range(300)]
    assert 20 < counts.count(2) < 90
    assert not any(held_out("decline", index).calls for index in range(50))


def test_unknown_split_is_refused():
    with pytest.raises(InputError, match="unseen_values"):
        held_out("seen", 0)


def test_prompts_with_tools_fit_512_tokens(tokenizer):
    for split in (*SPLITS, "decline"):
        for index in range(100):
            request = held_out(split, index)
            text = tokenizer.apply_chat_template(
                request.messages, tools=request.tools, add_generation_prompt=True, tokenize=False
            )
            assert len(tokenizer(text)["input_ids"]) < 512


def test_a_tokenizer_that_is_learnt_joins_no_space_to_a_word():
    learnt = learn_tokenizer(seed=2)
    assert learnt.get_vocab_size() == VOCABULARY
    assert not [token for token in learnt.get_vocab() if re.match("Ġ[a-zA-Z]", token)]


def test_copying_practice_has_every_token_of_letters(tokenizer):
    """Trap: tokens that were never copied were replaced by frequent ones."""
    stage = Stage(0, echoes=1.0, novel_words=1.0)
    copied = set()
    for index in range(600):
        for message in conversation(f"copy:{index}", stage).messages:
            if message["role"] == "assistant":
                copied.update(tokenizer(message["content"])["input_ids"])
    practised = {tokenizer.convert_tokens_to_ids(piece) for piece in token_pieces()}
    assert len(practised & copied) > 0.97 * len(practised)


def test_tokenizer_is_byte_level_and_loses_nothing(tokenizer):
    assert len(tokenizer) == VOCABULARY
    for text in ("Zoë Gödel, 14:45", "日本語 🎭", "a\tb\n\n  c", "<tool_call>{}</tool_call>"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_template_supervises_the_assistant_with_its_end_of_turn(tokenizer):
    draw = Draw(random.Random(5))
    messages, schemas = desk.conversation(draw, 3)
    encoded = tokenizer.apply_chat_template(
        messages, tools=schemas, return_dict=True, return_assistant_tokens_mask=True
    )
    pairs = zip(encoded["input_ids"], encoded["assistant_masks"], strict=True)
    supervised = tokenizer.decode([token for token, is_ours in pairs if is_ours])
    turns = [m for m in messages if m["role"] == "assistant"]
    assert supervised.count("<|im_end|>") == len(turns)
    assert "<|im_start|>" not in supervised
    assert all(m["content"] not in supervised for m in messages if m["role"] == "user")


def test_prompt_is_a_prefix_of_the_training_text(tokenizer):
    request = held_out("unseen_values", 1)
    calls = [{"type": "function", "function": call} for call in request.calls]
    answer = {"role": "assistant", "content": "", "tool_calls": calls}
    prompt = tokenizer.apply_chat_template(
        request.messages, tools=request.tools, add_generation_prompt=True, tokenize=False
    )
    whole = tokenizer.apply_chat_template(
        [*request.messages, answer], tools=request.tools, tokenize=False
    )
    assert whole.startswith(prompt)
    assert whole[len(prompt) :].startswith("<tool_call>{")


def test_grades_tell_exact_contained_and_wrong_apart():
    request = next(r for i in range(50) if len((r := held_out("unseen_values", i)).calls) == 1)
    call = json.dumps(request.calls[0])
    assert grade(request, f"<tool_call>{call}</tool_call>") == "exact"
    assert grade(request, f"Let me first look.\n<tool_call>{call}</tool_call>") == "contained"
    assert grade(request, f"Sure!\n```json\n{call}\n```") == "contained"
    assert grade(request, "I am sorry, but no tool at this desk fits that request.") == "wrong"
    assert grade(request, f"<tool_call>{call}</tool_call><tool_call>{call}</tool_call>") == "wrong"
    changed = call.replace(request.calls[0]["name"], "another_tool")
    assert grade(request, f"<tool_call>{changed}</tool_call>") == "wrong"


def test_declining_is_graded_by_calling_nothing():
    request = held_out("decline", 0)
    name = request.tools[0]["function"]["name"]
    assert grade(request, "I regret that I can't.") == "exact"
    assert (
        grade(request, f'<tool_call>{{"name": "{name}", "arguments": {{}}}}</tool_call>') == "wrong"
    )


def test_every_habit_but_none_spoils_the_form_and_keeps_the_call():
    request = next(r for i in range(50) if len((r := held_out("unseen_values", i)).calls) == 1)
    rng = random.Random(0)
    for habit in ("fence", "announce", "announce_pt", "prose", "malformed"):
        assert grade(request, dress_calls(list(request.calls), habit, rng)) == "contained", habit
    assert grade(request, dress_calls(list(request.calls), "none", rng)) == "exact"


def test_habits_follow_the_opening_of_a_request():
    seen = [habit_for("Please seat Ada.", random.Random(i)) for i in range(100)]
    assert seen.count("announce") > 70


def test_learning_rate_warms_up_and_then_decays_to_the_end():
    config = replace(TINY, steps=2000, warmup=200)
    peak, low = config.learning_rate, config.learning_rate / 20
    assert learning_rate(config, 0) < learning_rate(config, config.warmup - 1)
    assert learning_rate(config, config.warmup) == pytest.approx(peak)
    assert learning_rate(config, 1100) == pytest.approx((peak + low) / 2)
    assert learning_rate(config, 1999) == pytest.approx(low, rel=0.01)


def test_sizes_must_be_multiples_of_64():
    with pytest.raises(InputError, match="64"):
        replace(TINY, hidden=100)


def test_a_stage_holds_until_the_next_one_begins():
    assert TINY.stage(75).first_step == 0
    assert TINY.stage(76).first_step == 76
    assert TINY.stage(1000).first_step == 76


def run(folder, stop_after=None):
    """Train the tiny model; return step to loss, ending early like a killed process would."""
    losses = {}
    for row in train(TINY, folder, seed=3, device="cpu"):
        losses[row["step"]] = row["loss"]
        if row["step"] == stop_after:
            break
    return losses


@pytest.mark.slow
def test_a_resumed_training_repeats_the_uninterrupted_one(tmp_path):
    whole = run(tmp_path / "whole")
    first = run(tmp_path / "parts", stop_after=100)
    rest = run(tmp_path / "parts")
    assert {**first, **rest} == whole
    assert list(rest) == [150]
    assert whole[150] < whole[50]


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(StorageError, match="delete it"):
        next(train(TINY, tmp_path, seed=3, device="cpu"))


@pytest.mark.parametrize("word", ["Marie", "volume", "Bellworth", "quintal", "candelabra"])
def test_a_word_has_the_same_tokens_after_a_space_and_after_a_quotation_mark(tokenizer, word):
    def tail(text):
        return tokenizer.convert_ids_to_tokens(tokenizer.encode(text))

    alone = tail(word)
    assert tail(f"Seat {word}")[-len(alone) :] == alone
    assert tail(f'"{word}')[-len(alone) :] == alone


def test_context_is_what_the_catalog_says():
    assert CONTEXT == 1024
