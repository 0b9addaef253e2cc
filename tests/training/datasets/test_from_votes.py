"""Votes of blind battles become preference pairs, edited answers targets, on both databases."""

import argparse
from contextlib import closing
from dataclasses import replace

import pytest

from core.errors import InputError
from core.messages import Message, ModelRef, Tool, ToolCall
from core.store import open_store
from core.store.battle_records import Arm, Ballot
from core.store.battles import Battles
from tests.fought import fought, made, new_battle
from training.data_line import add_data_arguments, data_line
from training.datasets.from_logs import import_source
from training.datasets.from_votes import StoreVotes
from training.datasets.versions import read_examples

ANSWERS = ("first answer", "second answer")
ANYBODY = ["someone"]


@pytest.fixture
def battles(store):
    return Battles(store)


def rows(store, tmp_path, kind="preference", voices="people"):
    report = import_source(tmp_path, f"{kind}-{voices}", StoreVotes(store, kind, voices))
    return report, list(read_examples(report.version.path))


def test_decisive_counted_votes_become_pairs_with_their_provenance(store, battles, tmp_path):
    won = fought(battles, "model_a")
    lost = fought(battles, "model_b", prompt="And Bob?")
    fought(battles, "tie", prompt="3")
    fought(battles, "both_bad", prompt="4")
    fought(battles, "model_a", prompt="5", said=("same", "same"))
    fought(battles, "model_b")  # a repetition, which does not count
    fought(battles, prompt="6")
    report, found = rows(store, tmp_path)
    assert report.version.how["source"] == "votes of people (preference)"
    pairs = {each.id: each for each in found}
    assert pairs.keys() == {won, lost}
    assert [each.kind for each in found] == ["preference"] * 2
    assert pairs[won].messages == (Message("user", "Who sits where?"),)
    assert [turn.text for turn in (*pairs[won].chosen, *pairs[won].rejected)] == list(ANSWERS)
    assert [turn.text for turn in (*pairs[lost].chosen, *pairs[lost].rejected)] == [*ANSWERS[::-1]]
    params = '{"temperature": 0.7, "top_p": 1.0, "max_tokens": 256, "seed": 7, "stop": []}'
    assert pairs[lost].source == (
        f"vote in battle {lost}: two (weights sha256:0123) over one (weights sha256:0123); "
        f"vote of people: model_b; params {params}"
    )
    assert pairs[won].group != pairs[lost].group


def test_battles_of_one_prompt_stay_together_and_nothing_changes_twice(store, battles, tmp_path):
    for voter in ("ada", "bob"):
        fought(battles, "model_a", voter=voter)
    report, found = rows(store, tmp_path)
    assert len({each.group for each in found}) == 1
    assert rows(store, tmp_path)[0].is_unchanged
    assert report.refused == 0


def test_edited_answers_become_targets_and_go_before_what_they_were(store, battles, tmp_path):
    call = '<tool_call>{"name": "seat", "arguments": {"who": "Ada"}}</tool_call>'
    tool = Tool("seat", "Seats.", {"type": "object", "properties": {"who": {"type": "string"}}})
    tied = fought(battles, "tie", tools=(tool,))
    battles.correct(ANYBODY, tied, "b", f"At once.\n{call}")
    _, (target,) = rows(store, tmp_path, "sft")
    calls = (ToolCall("call_0", "seat", '{"who": "Ada"}'),)
    assert target.messages[-1] == Message("assistant", "At once.", calls)
    assert (target.tools, target.kind) == ((tool,), "sft")
    told = f"edited answer in battle {tied}: of two (weights sha256:0123); vote of people: tie;"
    assert target.source.startswith(told)
    _, (pair,) = rows(store, tmp_path)
    assert (pair.chosen, pair.rejected[0].text) == (target.messages[-1:], ANSWERS[1])

    unknown = fought(battles, "tie", prompt="other", tools=(tool,))
    battles.correct(ANYBODY, unknown, "a", call.replace("seat", "stand"))
    report, found = rows(store, tmp_path, "sft")
    assert (len(found), report.refused) == (1, 1)
    assert list(report.reasons) == ["the assistant calls 'stand', which is not offered"]


def test_a_judge_s_votes_stay_apart_unless_asked_for(store, battles, tmp_path):
    person = fought(battles, "model_a")
    judge = new_battle("judge:big:style", source="judge")
    answers = made("one", "x"), made("two", "y")
    judged = battles.add_judged(judge, answers, Ballot("model_b"))

    def ids(voices):
        return {each.id for each in rows(store, tmp_path, voices=voices)[1]}

    assert (ids("people"), ids("judges"), ids("all")) == ({person}, {judged}, {person, judged})


def test_versions_of_one_base_are_told_apart_with_experiment_and_rubric(store, battles, tmp_path):
    arms = [Arm("base", f"sha256:{v}", v) for v in ("v1", "v2")]
    spoken = [
        replace(
            made("base", arm.adapter), adapter=ModelRef(arm.adapter, f"sha256:ad-{arm.adapter}")
        )
        for arm in arms
    ]
    new = new_battle("judge:big:style", source="judge", a=arms[0], b=arms[1], experiment="autumn")
    judged = battles.add_judged(new, tuple(spoken), Ballot("model_a"))
    _, (pair,) = rows(store, tmp_path, voices="judges")
    assert pair.source.startswith(
        f"vote in battle {judged}: base@v1 (weights sha256:0123, adapter sha256:ad-v1) over "
        "base@v2 (weights sha256:0123, adapter sha256:ad-v2); vote of judge:big:style: model_a;"
    )
    assert pair.source.endswith("; experiment autumn")


def test_votes_on_items_of_tasks_are_left_out_unless_asked_for(store, battles, tmp_path):
    free = fought(battles, "model_a")
    item = fought(battles, "model_a", prompt="an item", task="gala", item="7")
    battles.correct(ANYBODY, item, "a", "Better.")
    report, (pair,) = rows(store, tmp_path)
    assert (pair.id, report.refused) == (free, 2)
    ((reason, many),) = report.reasons.items()
    assert (reason.split(",")[0], many) == ("it is on an item of task 'gala'", 2)
    assert "--with-items" in reason
    source = StoreVotes(store, with_items=True)
    found = read_examples(import_source(tmp_path, "all", source).version.path)
    marked = {each.id: each.source for each in found}
    assert marked.keys() == {free, item, f"{item}-a"}
    assert marked[item].endswith("; task gala, item 7")


def test_an_answer_that_was_cut_off_is_never_the_better_one(store, battles, tmp_path):
    cut = replace(made("one", "So, first of all"), finish_reason="length")
    whole = made("two", "At nine.")
    for place, (answers, outcome) in enumerate(
        [((cut, whole), "model_a"), ((whole, cut), "model_a"), ((cut, whole), "model_b")]
    ):
        new = new_battle("judge:big:style", source="judge", prompt=str(place))
        battles.add_judged(new, answers, Ballot(outcome))
    report, found = rows(store, tmp_path, voices="judges")
    assert [each.chosen[0].text for each in found] == ["At nine."] * 2
    assert report.reasons == {"the better answer was cut off by the length limit": 1}


def test_votes_without_a_pair_and_unpaired_examples_are_refused(store, battles, tmp_path):
    fought(battles, "tie")
    with pytest.raises(InputError, match=r"nothing to learn in votes of people \(preference\)"):
        rows(store, tmp_path)
    with pytest.raises(InputError, match="votes give sft or preference, not 'unpaired'"):
        StoreVotes(store, "unpaired")


def test_the_command_line_takes_votes_of_people_unless_told_otherwise(settings):
    with closing(open_store(settings.database_url)) as store:
        fought(Battles(store), "model_a")

    def run(*words):
        parser = argparse.ArgumentParser()
        add_data_arguments(parser)
        given = parser.parse_args(["from-logs", "--name", "votes", *words])
        return data_line(given, settings).value

    told = run("--votes")
    assert (told["dataset"], told["read"]) == ("votes@v1", 1)
    for words in (["--votes", "judges"], ["--votes", "--kind", "sft"], []):
        with pytest.raises(InputError, match="there is nothing to learn in"):
            run(*words)
