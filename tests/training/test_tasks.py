"""The rows of the built-in tasks: always the same, and nothing that pretraining can have seen."""

import json
import re

import pytest

from core.settings import PROJECT
from training.pretrain import talk, task_draws
from training.pretrain.config import CONFIGS
from training.pretrain.evaluate import REPORTED_SEED
from training.pretrain.mix import conversation
from training.pretrain.task_talk import TOPICS, head_of
from training.pretrain.tasks import ROWS, rows_text
from training.pretrain.trainer import POOL
from training.pretrain.world import COUNT_WORDS, tools, word_pools

SHIPPED = PROJECT / "assets" / "tasks"
STREAM = 8000
"""Training conversations that are searched; the whole stream has 144,128 for each model."""


@pytest.fixture(scope="module")
def rows():
    """Return the rows of each task."""
    return {name: [json.loads(line) for line in rows_text(name).splitlines()] for name in ROWS}


@pytest.fixture(scope="module")
def trained_on():
    """Return messages that the models were trained on: some of the end of both streams."""
    texts = []
    for model, config in CONFIGS.items():
        pools = range(config.steps // POOL)
        share = STREAM // len(CONFIGS) // (POOL * config.batch) + 1
        for pool in pools[-share:]:
            for index in range(POOL * config.batch):
                made = conversation(f"{model}:1:{pool}:{index}", config.stage(pool * POOL))
                texts += [normal(m.get("content") or "") for m in made.messages]
    return texts


def normal(text):
    """Return a text in lower case with nothing but its letters and digits."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def asked(row):
    return row["input"][-1]["content"]


@pytest.mark.parametrize("name", ROWS)
def test_running_it_again_gives_the_shipped_bytes(name):
    assert rows_text(name) == (SHIPPED / f"{name}.jsonl").read_text(encoding="utf-8")
    assert rows_text(name) == rows_text(name)


def test_the_seed_is_not_one_that_other_figures_use():
    assert task_draws.SEED not in (0, REPORTED_SEED)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_another_one(name, rows):
    assert len(rows[name]) >= 200
    assert len({row["id"] for row in rows[name]}) == len(rows[name])
    prompts = {json.dumps(row["input"]) for row in rows[name]}
    assert len(prompts) == len(rows[name])


def test_no_request_occurs_in_what_was_trained_on(rows, trained_on):
    assert len(trained_on) > STREAM
    said = "\n".join(trained_on)
    for name in ROWS:
        found = [asked(row) for row in rows[name] if normal(asked(row)) in said]
        assert not found, name


def test_the_search_would_find_a_request(trained_on):
    """The test above can fail: what was trained on is found in the same way."""
    said = "\n".join(trained_on)
    last = CONFIGS["lead"].steps // POOL - 1
    example = conversation(f"lead:1:{last}:7", CONFIGS["lead"].stage(last * POOL))
    assert all(normal(m["content"]) in said for m in example.messages if m["role"] == "user")


@pytest.mark.parametrize("name", ["desk_tools", "desk_routing", "desk_records", "gala_plan"])
def test_every_request_has_a_held_out_word_or_phrasing(name, rows):
    words = {
        word
        for pool, parts in word_pools().items()
        if pool not in ("honorific", "syllables", "letters")
        for word in parts["heldout"]
    }
    patterns = [pattern(p) for tool in tools() for p in tool.phrasings["heldout"]]
    for row in rows[name]:
        text = asked(row)
        has_word = any(re.search(rf"\b{re.escape(word)}\b", text) for word in words)
        assert has_word or any(each.search(text) for each in patterns), text


def pattern(phrasing):
    """Return a pattern of the phrasing with anything in its slots, its first letter in any case."""
    parts = [re.escape(part) for part in re.split(r"\{\w+\}", phrasing)]
    return re.compile(".+".join(parts), re.IGNORECASE)


def test_topics_are_none_that_training_asks_about():
    known = " ".join(word_pools()["topics"]["train"])
    said = " ".join((*talk.FIRST, *talk.MIDDLE, *talk.LAST, *talk.PERSONA_PROMPTS)).casefold()
    assert len(set(TOPICS)) == len(TOPICS) == 30
    for topic in TOPICS:
        assert topic not in known
        assert head_of(topic) in topic.split()
        assert not re.search(rf"\b{head_of(topic)}\b", said), "any answer would be on topic"
        assert head_of(topic) not in word_pools()["topics"]["train"]


def test_part_of_the_tool_rows_has_names_that_training_never_used(rows):
    known = {name for tool in tools() for name in tool.names["train"]}
    names = [
        tool["function"]["name"]
        for row in rows["desk_tools"]
        if row["details"]["unseen"] == "names"
        for tool in row["tools"]
    ]
    assert len(names) > 150
    assert not known & set(names)


def test_the_prompt_never_holds_the_answer(rows):
    for row in rows["desk_tools"]:
        shown = json.dumps([row["input"], row["tools"]])
        assert not any(json.dumps(call["arguments"]) in shown for call in row["target"]["calls"])
        assert not re.search(r'"(default|examples?|const)"', json.dumps(row["tools"]))
    for name in ("desk_records", "desk_persona", "gala_plan"):
        for row in rows[name]:
            assert json.dumps(row["target"])[1:-1] not in json.dumps(row["input"])
    for row in rows["desk_routing"]:
        assert row["input"][0]["content"].count(row["target"]) == 1
        assert "other" in row["details"]["labels"]


def test_every_value_of_a_call_is_in_the_request_or_in_the_schema(rows):
    for row in rows["desk_tools"]:
        enums = re.findall(r'"enum": (\[.*?\])', json.dumps(row["tools"]))
        listed = [value for enum in enums for value in json.loads(enum)]
        for call in row["target"]["calls"]:
            for value in call["arguments"].values():
                said = [str(value), *([COUNT_WORDS[value]] if value in range(10) else [])]
                assert value in listed or any(each in asked(row) for each in said)


def test_prompts_name_every_field_with_its_type(rows):
    for row in rows["desk_records"]:
        system = row["input"][0]["content"]
        schema = row["details"]["schema"]
        assert set(schema["required"]) == set(schema["properties"]) == set(row["target"])
        for name, value in row["target"].items():
            kind = "integer" if isinstance(value, int) else "string"
            assert value is None or f"{name} {kind}" in system
            enum = schema["properties"][name].get("enum", ())
            assert all(each in system for each in enum if each)


def test_tools_of_the_target_are_offered(rows):
    for row in rows["desk_tools"]:
        offered = {
            tool["function"]["name"]: tool["function"]["parameters"] for tool in row["tools"]
        }
        for call in row["target"]["calls"]:
            schema = offered[call["name"]]
            assert set(schema["required"]) <= set(call["arguments"]) <= set(schema["properties"])


def test_tool_rows_are_mixed(rows):
    calls = [len(row["target"]["calls"]) for row in rows["desk_tools"]]
    assert calls.count(0) == 75
    assert 15 <= calls.count(2) <= 60
    assert {row["details"]["unseen"] for row in rows["desk_tools"]} == {
        "values",
        "phrasings",
        "names",
        "decline",
    }


def test_routes_are_spread_over_the_intents(rows):
    targets = [row["target"] for row in rows["desk_routing"]]
    assert set(targets) == {*talk.INTENTS, "other"}
    assert max(map(targets.count, set(targets))) < len(targets) / 4


def test_answers_of_the_persona_keep_the_length_that_the_prompt_states(rows):
    for row in rows["desk_persona"]:
        assert 200 <= len(row["target"]) <= 400
        assert "200 to 400 characters" in row["input"][0]["content"]
