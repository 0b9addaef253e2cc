"""The audit's counts are exact on rows with a known number of each defect."""

import json
from dataclasses import replace

import pytest
from pyarrow import Table
from pyarrow.parquet import write_table

from core.errors import InputError
from core.messages import Message, Tool, ToolCall
from core.providers.weights import load_tokenizer
from core.settings import PROJECT
from tests.training.datasets import planted
from training.datasets.audit import audit
from training.datasets.audit_page import audit_page, marked
from training.datasets.audit_report import Shown
from training.datasets.curating import propose
from training.datasets.example import Example
from training.datasets.importing import import_dataset
from training.datasets.leakage import Leakage, read_items
from training.datasets.versions import read_examples
from training.recipes.rows import prepare


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("understudy", PROJECT / "assets" / "models" / "understudy")


def said(asked, answer, name="1", **more):
    return Example(id=name, messages=(Message("user", asked), Message("assistant", answer)), **more)


def counts(tokenizer, *examples, against=(), max_length=512):
    return audit(examples, tokenizer, max_length, against).counts


@pytest.mark.parametrize("seed", [1, 2])
def test_every_count_is_exact_on_500_planted_rows(tmp_path, tokenizer, seed):
    rows, items = planted.write_planted(tmp_path, seed)
    report = import_dataset(tmp_path, rows, "planted")
    found = audit(
        read_examples(report.version.path), tokenizer, planted.MAX_LENGTH, read_items(items)
    )
    assert found.rows == planted.ROWS
    expected = dict.fromkeys(found.counts, 0) | planted.PLANTED
    assert dict(found.counts) == expected
    assert found.leaks == planted.LEAKED
    assert found.personal == {"email": planted.PLANTED["pii"]}
    assert found.stops == ("11 of 500 rows: no supervised token within 256 tokens",)
    json.dumps(found.to_dict())


def test_lengths_are_counted_before_anything_is_cut(tokenizer):
    examples = [said("x", "word " * size, str(size)) for size in (1, 10, 100)]
    report = audit(examples, tokenizer, 50)
    assert report.tokens.max > 100
    assert report.tokens.p50 < 50
    assert sum(rows for _, _, rows in report.tokens.histogram) == 3
    assert report.counts["truncated"] == 1
    assert report.counts["zero_supervision"] == 0
    assert report.stops == ()


def test_rows_that_the_template_refuses_stop_a_run(tiny_folder):
    tool = Tool("seat", "", {})
    calling = Message("assistant", "", (ToolCall("1", "seat", "{}"),))
    broken = Example(id="a", messages=(Message("user", "x"), calling), tools=(tool,))
    report = audit([broken, said("x", "y")], load_tokenizer("tiny", tiny_folder), 100)
    assert report.counts["unrenderable"] == 1
    assert report.stops == ("1 of 2 rows: the model's template can't render them",)


def test_answers_that_end_no_turn_are_counted(tokenizer):
    open_ended = load_tokenizer("understudy", PROJECT / "assets" / "models" / "understudy")
    inside = "{{- '<|im_end|>' }}\n{%- endgeneration %}"
    assert inside in tokenizer.chat_template
    open_ended.chat_template = tokenizer.chat_template.replace(
        inside, "{%- endgeneration %}{{- '<|im_end|>' }}"
    )
    assert counts(tokenizer, said("x", "y"))["no_end"] == 0
    assert counts(open_ended, said("x", "y"))["no_end"] == 1


def test_the_worse_answer_of_a_pair_is_read_too(tokenizer):
    pair = Example(
        id="1",
        messages=(Message("user", "x"),),
        kind="preference",
        chosen=(Message("assistant", "y"),),
        rejected=(Message("assistant", "z " * 400),),
    )
    assert counts(tokenizer, pair, max_length=100)["truncated"] == 1
    no_room = replace(pair, messages=(Message("user", "w " * 400),))
    assert counts(tokenizer, no_room, max_length=100)["zero_supervision"] == 1


def test_twins_are_counted_once_each(tokenizer):
    rows = [
        said("How many guests?", "Nine guests.", "a"),
        said("How many guests?", "Nine guests.", "b"),
        said("How many guests?", "Nine guests.", "c"),
        said("How many guests?", "Ten guests.", "d"),
        said("how many guests", "nine guests", "e"),
        said("How many tables?", "Nine guests.", "f"),
    ]
    found = counts(tokenizer, *rows)
    assert (found["duplicates"], found["contradictions"], found["near_duplicates"]) == (2, 1, 1)


def thumb(answer, label, name):
    return said("How many guests?", answer, name, kind="unpaired", label=label)


def pair(chosen, rejected, name):
    answers = {"chosen": (Message("assistant", chosen),)}
    answers["rejected"] = (Message("assistant", rejected),)
    asked = (Message("user", "How many guests?"),)
    return Example(id=name, messages=asked, kind="preference", **answers)


def told(system, name, answer="Nine guests."):
    turns = (Message("user", "How many guests?"), Message("assistant", answer))
    return Example(id=name, messages=(Message("system", system), *turns))


@pytest.mark.parametrize(
    ("rows", "near", "against"),
    [
        ([told("Be brief.", "a"), told("Be a pirate.", "b")], 0, 0),
        ([told("Be brief.", "a"), told("be brief", "b", "nine guests")], 1, 0),
        ([thumb("Nine.", True, "a"), thumb("Nine.", False, "b")], 0, 1),
        ([thumb("Nine.", True, "a"), thumb("nine", True, "b")], 1, 0),
        ([thumb("Nine.", True, "a"), thumb("Ten.", False, "b")], 0, 0),
        ([thumb("Nine.", True, "a"), thumb("Ten.", True, "b")], 0, 0),
        ([pair("Nine.", "Ten.", "a"), pair("Nine.", "Two.", "b")], 0, 0),
        ([pair("Nine.", "Ten.", "a"), pair("nine", "ten", "b")], 1, 0),
        ([pair("Nine.", "Ten.", "a"), pair("Ten.", "Nine.", "b")], 0, 1),
    ],
)
def test_twins_are_what_would_teach_the_same_or_the_opposite(tokenizer, rows, near, against):
    found = counts(tokenizer, *rows)
    assert (found["near_duplicates"], found["contradictions"]) == (near, against)
    assert found["duplicates"] == 0


def test_well_formed_rows_that_teach_nothing_are_counted_and_stop_a_run(tokenizer):
    muted = said("How many guests?", "Nine guests.", "muted", muted=(1,))
    unanswered = Example(id="open", messages=(Message("user", "How many guests?"),))
    rows = [said("How many guests?", "Ten guests.", "fine"), muted, unanswered]
    report = audit(rows, tokenizer, 512)
    assert report.counts["zero_supervision"] == 2
    assert report.stops == ("2 of 3 rows: no supervised token within 512 tokens",)
    assert {name for name, count in report.counts.items() if count} == {"zero_supervision"}
    assert report.makeup.forms == {"text": 2, "none": 1}
    decisions = propose(rows, report.findings)
    assert [(d.id, d.action) for d in decisions] == [("muted", "drop"), ("open", "drop")]
    assert audit_page(report, "it")
    with pytest.raises(InputError, match=r"2 of 3 examples have no supervised token.*'muted'"):
        prepare(rows, tokenizer, 512, "sft")


def test_another_number_or_name_makes_another_row(tokenizer):
    asked = "Please seat our dear guest {} at table {} beside the tall window this evening."
    rows = [
        said(asked.format(name, table), f"So {name} sits at table {table} now.", f"{name}{table}")
        for name in ("Ada", "Bob")
        for table in (3, 4)
    ]
    assert counts(tokenizer, *rows)["near_duplicates"] == 0
    copy = said(asked.format("Ada", 3).replace("dear ", ""), "So Ada sits at table 3 now.", "x")
    assert counts(tokenizer, *rows, copy)["near_duplicates"] == 1


def test_the_same_prompt_with_other_tools_is_another_prompt(tokenizer):
    one, two = (said("x", f"{n}", f"{n}", tools=(Tool(f"t{n}", "", {}),)) for n in (1, 2))
    assert counts(tokenizer, one, two)["contradictions"] == 0


QUESTION = "Which of the guests in the long gallery was given the silver key by the old gardener?"


@pytest.mark.parametrize(
    ("shown", "kind"),
    [
        (QUESTION, "exact"),
        (f"  {QUESTION.lower()[:-1]} ", "exact"),
        (f"Think. {QUESTION} Say why.", "ngram"),
        (QUESTION.replace("guests", "visitors").replace("Which", "Who"), "ngram"),
        (QUESTION.replace("given the", "given a").replace("by the", "by an"), "near"),
        ("Who was given the silver key?", None),
    ],
)
def test_signs_of_a_leak(shown, kind):
    leakage = Leakage([{"id": "i1", "input": QUESTION, "target": "Ada"}])
    leak = leakage.of(said(shown, "Ada."))
    assert (leak and leak.kind) == kind
    assert leak is None or leak.item == "i1"


def test_a_leak_in_any_turn_counts_and_takes_its_conversation(tokenizer):
    first = Example(
        id="a",
        messages=(
            Message("user", QUESTION),
            Message("assistant", "Ada."),
            Message("user", "Thanks"),
            Message("assistant", "With pleasure."),
        ),
        group="c1",
    )
    second = said("And what else?", "Nothing.", "b", group="c1")
    items = [{"id": "i", "input": [{"role": "user", "content": QUESTION}], "target": ""}]
    report = audit([first, second], tokenizer, 512, items)
    assert (report.counts["leaked"], report.leaked_groups, report.items) == (1, ("c1",), 1)


def test_the_words_of_a_template_are_no_leak():
    frame = "Return a JSON object with the keys query, tool and arguments for this call. Query: {}"
    items = [
        {"id": n, "input": frame.format(f"find {n} red boats"), "target": ""} for n in range(40)
    ]
    leakage = Leakage(items)
    assert leakage.of(said(frame.format("paint every small house"), "{}")) is None
    assert leakage.of(said(frame.format("find 7 red boats"), "{}")).kind == "exact"


def test_a_long_conversation_is_no_leak_for_a_short_last_turn():
    turns = [("user", "Tell me of the old clock."), ("assistant", "It ticks."), ("user", "Thanks")]
    item = {"id": "i", "input": [{"role": r, "content": t} for r, t in turns], "target": ""}
    leakage = Leakage([item])
    assert leakage.of(said("Thanks", "With pleasure.")) is None
    whole = Example(
        id="1",
        messages=(*(Message(r, t) for r, t in turns), Message("assistant", "With pleasure.")),
    )
    assert leakage.of(whole).kind == "exact"


def test_rows_of_any_format_are_items_to_check_against(tmp_path):
    csv, parquet, lines = (tmp_path / f"held.{end}" for end in ("csv", "parquet", "jsonl"))
    csv.write_text("prompt,completion\nWho is first?,Ada\n")
    messages = [{"role": "user", "content": "Who is next?"}, {"role": "assistant", "content": "B"}]
    write_table(Table.from_pylist([{"messages": messages}]), parquet)
    alpaca = {"instruction": "Who is last?", "input": "", "output": "Zoe"}
    lines.write_text(json.dumps(alpaca) + "\n" + '{"id": "t", "input": "Why?", "target": "."}\n')
    leakage = Leakage(item for path in (csv, parquet, lines) for item in read_items(path))
    assert leakage.items == 4
    found = [leakage.of(said(a, "x")).item for a in ("who is first", "Who is next?", "Why?")]
    assert found == ["held.csv, line 2", "held.parquet, row 1", "t"]
    assert leakage.of(said("Who is last?", "x")).kind == "exact"


def test_a_file_of_bfcl_is_checked_against_as_it_was_downloaded(tmp_path):
    """Its answers stand in another file, and what is asked is enough."""
    path = tmp_path / "BFCL_v4_simple_python.json"
    turns = [[{"role": "user", "content": "Seat Ada"}], [{"role": "user", "content": "And Bob"}]]
    row = {"id": "simple_0", "question": turns, "function": [{"name": "seat", "parameters": {}}]}
    path.write_text(json.dumps(row) + "\n")
    leakage = Leakage(read_items(path))
    assert leakage.items == 1
    assert leakage.of(said("Seat Ada\nand Bob", "x")).item == "simple_0"
    path.write_text(json.dumps({**row, "question": "Seat Ada"}) + "\n")
    with pytest.raises(InputError, match="line 1: question must be a list of turns"):
        list(read_items(path))


def test_what_is_no_item_of_an_evaluation_is_refused(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text('{"id": "1", "input": "x"}\n{"prompt": "y"}\n')
    with pytest.raises(InputError, match="items.jsonl, line 2: a row of an evaluation must have"):
        list(read_items(path))


def test_calls_that_do_not_fit_their_tool_are_counted(tokenizer):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    tool = Tool("count", "", schema)

    def calling(name, arguments):
        call = ToolCall("1", "count", arguments)
        messages = (Message("user", name), Message("assistant", "", (call,)))
        return Example(id=name, messages=messages, tools=(tool,))

    rows = [calling("a", '{"n": 3}'), calling("b", '{"n": "3"}'), calling("c", "[]")]
    report = audit(rows, tokenizer, 512)
    assert report.counts["unfit_calls"] == 2
    assert {f.id for f in report.findings if f.defect == "unfit_call"} == {"b", "c"}
    assert report.makeup.classes == {"count": 3}
    assert report.makeup.forms == {"calls": 3}


def test_what_the_answers_are_made_of(tokenizer):
    rows = [said(f"Is {n} even?", "yes" if n % 4 else "no", f"{n}") for n in range(40)]
    made = audit(rows, tokenizer, 512).makeup
    assert made.classes == {"yes": 30, "no": 10}
    assert made.largest_class == 0.75
    english = said("x", "The guests are in the garden, and the music plays all night.", "e")
    portuguese = said("x", "Os convidados estão no jardim e a música toca a noite inteira.", "p")
    made = audit([english, portuguese, said("y", '{"a": 1}', "j")], tokenizer, 512).makeup
    assert made.languages == {"en": 1, "pt": 1, "unclear": 1}
    assert made.forms == {"text": 2, "json": 1}


def test_html_and_formulas_are_counted_and_never_run_on_the_page(tokenizer):
    rows = [
        said("=HYPERLINK(1)", "<script>alert('x')</script>", "<b>1</b>"),
        said("x", "a < b and List<String>", "2"),
    ]
    report = audit(rows, tokenizer, 512)
    assert (report.makeup.markup, report.makeup.formulas) == (1, 1)
    page = audit_page(report, "<i>title</i>")
    for text in ("<script", "<b>1</b>", "<i>"):
        assert text not in page
    assert "&lt;script&gt;" in page


def test_the_page_marks_what_is_learnt_and_what_is_cut():
    shown = Shown(
        id="1", why="truncated", text="ask<answer>", spans=((3, 11),), cut=7, tokens=9, supervised=2
    )
    assert marked(shown) == ("ask<mark>&lt;ans</mark><span class=cut><mark>wer&gt;</mark></span>")


def test_an_audit_of_nothing_is_refused(tokenizer):
    with pytest.raises(InputError, match="no row to audit"):
        audit([], tokenizer, 512)
    with pytest.raises(InputError, match="max_length must be at least 1"):
        audit([said("x", "y")], tokenizer, 0)
