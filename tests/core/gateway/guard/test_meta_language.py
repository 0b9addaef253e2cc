import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.gateway.guard.meta_language import (
    MAX_HELD,
    Cut,
    MetaLanguageFilter,
    filter_text,
    has_meta_language,
)

ROOT = Path(__file__).resolve().parents[4]
ROWS = [
    json.loads(line)
    for line in (ROOT / "tests/data/meta_language.jsonl").read_text(encoding="utf-8").splitlines()
]
PARTS = (
    "Let me check the menu.",
    "I'll first analyze the list",
    "I’ll look at the data: ",
    "Vou verificar a ementa.",
    "As an AI language model, ",
    "After reviewing the document, I found ",
    "Sure!",
    "Claro! ",
    "Here is the JSON you asked for:",
    "The soup is pumpkin.",
    "A sopa é de abóbora. ",
    "Mr.",
    "no.",
    "3.5",
    "...",
    "…",
    " — ",
    "\n",
    "\n\n",
    "    ",
    "\t",
    " ",
    "`",
    "```",
    "````",
    "~~~",
    "> ",
    "- ",
    "1. ",
    "| ",
    "# ",
    '"',
    "'",
    "“",
    "”",
    "‘",
    "’",
    "«",
    "»",
    "{",
    "}",
    "[",
    "]",
    '{"a": "Let me check. \\" I',
    "<tool_call>",
    "</tool_call>",
    "Dear Ana,\n",
    "é🎉",
    "\r\n",
    "word " * 90,
)
TEXTS = [row["text"] for row in ROWS]
answers = st.lists(
    st.one_of(st.sampled_from(PARTS), st.text(max_size=4), st.sampled_from(TEXTS)), max_size=14
).map("".join)


def streamed(pieces: list[str]) -> tuple[str, tuple[Cut, ...]]:
    stream = MetaLanguageFilter()
    text = "".join(stream.push(piece) for piece in pieces) + stream.flush()
    return text, stream.cuts


def letters(text: str) -> str:
    return "".join(text.split())


@given(answers, st.lists(st.integers(0, 600), max_size=12))
def test_filtering_a_stream_in_any_chunking_equals_filtering_the_whole(text, places):
    places = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    pieces = [text[a:b] for a, b in zip(places, places[1:], strict=False)]
    whole = filter_text(text)
    assert streamed(pieces) == streamed(list(text)) == (whole.text, whole.cuts)


@given(answers)
def test_what_goes_out_is_what_came_in_less_the_cuts(text):
    found = filter_text(text)
    rest, end = "", 0
    for cut in found.cuts:
        assert cut.start >= end
        assert text[cut.start : cut.start + len(cut.text)] == cut.text
        rest, end = rest + text[end : cut.start], cut.start + len(cut.text)
    assert letters(found.text) == letters(rest + text[end:])
    if not found.cuts:
        assert found.text == text


@given(answers)
def test_an_answer_is_never_emptied(text):
    kept = filter_text(text).text
    assert any(c.isalnum() for c in kept) == any(c.isalnum() for c in text)


@given(answers)
def test_at_most_one_bounded_sentence_is_held_back(text):
    stream, out, seen = MetaLanguageFilter(), "", ""
    for character in text:
        seen += character
        out += stream.push(character)
        if out:
            cut = sum(len(letters(one.text)) for one in stream.cuts)
            assert len(letters(seen)) - len(letters(out)) - cut <= MAX_HELD


@pytest.mark.parametrize("row", [r for r in ROWS if r["split"] == "dev"], ids=lambda r: r["id"])
def test_the_sentences_that_the_rules_were_written_on_come_out_as_labelled(row):
    assert filter_text(row["text"]).text == row["expected"]
    assert has_meta_language(row["text"]) == row["has_meta"]


@pytest.mark.parametrize("language", ["en", "pt"])
def test_recall_and_precision_hold_on_sentences_that_the_rules_never_saw(language):
    """Measured: precision 38 of 38, recall 38 of 40 in both; exact 78 (en) and 77 (pt) of 80."""
    rows = [r for r in ROWS if r["language"] == language and r["split"] == "test"]
    found = [row for row in rows if has_meta_language(row["text"])]
    right = sum(row["has_meta"] for row in found)
    assert len(rows) >= 75
    assert right / len(found) >= 0.97
    assert right / sum(row["has_meta"] for row in rows) >= 0.9
    assert sum(filter_text(r["text"]).text == r["expected"] for r in rows) / len(rows) >= 0.93


def test_the_labelled_set_is_balanced_and_its_labels_agree_with_themselves():
    assert len(ROWS) >= 320
    assert len({row["id"] for row in ROWS}) == len({row["text"] for row in ROWS}) == len(ROWS)
    for language in ("en", "pt"):
        marks = [row["has_meta"] for row in ROWS if row["language"] == language]
        assert 0.4 < sum(marks) / len(marks) < 0.6
    for row in ROWS:
        assert row["has_meta"] or row["expected"] == row["text"]
        assert letters(row["expected"])


def test_trap_its_own_example_is_found():
    found = filter_text("I'll first analyze the list. There are 12 guests.")
    assert found.text == "There are 12 guests."
    assert found.cuts == (Cut("I'll first analyze the list.", 0),)


@pytest.mark.parametrize("mark", ["'", "’", "‘", "ʼ", "´"])
def test_trap_curly_apostrophes_work_as_straight_ones(mark):
    text = f"I{mark}ll first analyze the list. There are 12 guests."
    assert filter_text(text).text == "There are 12 guests."


def test_trap_portuguese_is_filtered_with_no_option_to_set():
    text = "Vou analisar a lista primeiro. São 12 convidados. Let me check. Há sopa."
    assert filter_text(text).text == "São 12 convidados. Há sopa."


@pytest.mark.parametrize(
    "text",
    [
        "I'm going to Lisbon in May.",
        "Let me know if you need a seat.",
        "I'll be at table 4.",
        "I need to see a doctor.",
        "Vou a Lisboa em maio.",
        "Deixe-me o casaco na entrada.",
        "I'll seat Mrs. Costa at table 5 and play Moonlight River.",
        "Vou sentar a Sra. Costa na mesa 5.",
    ],
)
def test_trap_innocent_sentences_stay(text):
    for answer in (text, f"Sure! {text}", f"Good evening. {text} Good night."):
        assert filter_text(answer).text == answer
        assert not has_meta_language(answer)


@pytest.mark.parametrize(
    "text",
    [
        "I'll first analyze the list.",
        "Sure! Let me check.",
        "Let me check the menu. Vou verificar a ementa.\n\nHere is the JSON you asked for:\n",
        " Let me check. 🎉 ",
    ],
)
def test_trap_an_answer_of_announcements_only_stays_as_it_is(text):
    found = filter_text(text)
    assert (found.text, found.cuts) == (text, ())
    assert has_meta_language(text)


def test_trap_sentences_do_not_end_only_in_full_stop_and_blank():
    for end in ("!", "...", "…", ".\n", ".\n\n", ":", ":\n", " —"):
        assert filter_text(f"Let me check the menu{end} It is fish.").text == "It is fish."


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Let me check where Mr. Silva sits. At table 3.", "At table 3."),
        ("Deixe-me verificar onde fica o Sr. Costa. Na mesa 3.", "Na mesa 3."),
        ("I'll check the list, e.g. the vegans. Two.", "Two."),
        ("Let me check the 3.5 km route. It is open.", "It is open."),
        ("The answer is B. Let me check the menu. Yes.", "The answer is B. Yes."),
        ("I'll check J. Silva's seat. Table 3.", "I'll check J. Silva's seat. Table 3."),
        ("The answer is no. Let me check the menu. Yes.", "The answer is no. Yes."),
        ("I'll analyze\nthe list. There are 12.", "There are 12."),
        ("I'll analyze the list\nThere are 12.", "There are 12."),
    ],
)
def test_abbreviations_decimals_and_wrapped_lines_do_not_end_a_sentence(text, kept):
    assert filter_text(text).text == kept


@pytest.mark.parametrize(
    "protected",
    [
        "```\nLet me check. I'll analyze the list.\n```",
        "````\n```\nLet me check.\n```\n````",
        "~~~text\nLet me check. I'll analyze the list.\n~~~",
        "```\nLet me check. It never closes.",
        "Run `ls. Let me check. x` now.",
        "- Let me check. I'll analyze the list.\n- b\n  Let me check.",
        "12. Let me check. I'll analyze the list.",
        "> Let me check. I'll analyze the list.",
        "| Let me check. I'll analyze the list. |",
        "# Let me check. I'll analyze the list.",
        "    Let me check. I'll analyze the list.",
        "<tool_call>Let me check. I'll analyze the list.</tool_call>",
        '{"a": "x \\" {. Let me check. I\'ll analyze the list.", "b": [1]}',
        '[{"a": "Let me check. I\'ll analyze the list."}]',
        '"It is late. Let me check. Good night," he said.',
        "“It is late. Let me check. Good night,” he said.",
        "«É tarde. Deixe-me ver. Boa noite», disse ele.",
        "'It’s late. Let me check. Good night,' he said.",
        "‘It’s late. Let me check. Good night,’ he said.",
        "— Deixe-me ver. Vou analisar a lista — disse ele.",
        "Dear Ana,\n\nI will review the report. Let me check the dates.\n\nRui",
    ],
)
def test_what_is_not_prose_is_left_alone(protected):
    assert filter_text(protected).text == protected
    assert not has_meta_language(protected)
    announced = filter_text(f"Let me check the menu.\n\n{protected}")
    assert announced.text == protected


def test_prose_after_what_is_not_prose_is_filtered_again():
    for block in ("```\nx\n```\n", "- x\n\n", "> x\n\n", '{"a": 1}\n', "`x. y` is. ", '"A. B." '):
        assert filter_text(f"{block}Let me check. Fish.").text == f"{block}Fish."


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('Here is the JSON you asked for: {"a": 1}', '{"a": 1}'),
        ("Here is the code you asked for: ```py\nx\n```", "```py\nx\n```"),
        ("Let me check.<tool_call>{}</tool_call>", "<tool_call>{}</tool_call>"),
        ("Let me check <tool_call>{}</tool_call>", "<tool_call>{}</tool_call>"),
        ("Here is the JSON you asked for {1}", "Here is the JSON you asked for {1}"),
    ],
)
def test_a_block_inside_of_a_sentence_is_content(text, kept):
    assert filter_text(text).text == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("  Let me check. A.", "A."),
        ("A. Let me check. B.", "A. B."),
        ("A.\n\nLet me check. B.", "A.\n\nB."),
        ("A. Let me check.\n\nB.", "A.\n\nB."),
        ("A.\n\nLet me check.\n\nB.", "A.\n\nB."),
        ("A.\nLet me check.\n- b", "A.\n- b"),
        ("A.\nLet me check.\n  - b", "A.\n  - b"),
        ("A.\n\nLet me check.\n    x = 1", "A.\n\n    x = 1"),
        ("Let me check.\n\n    x = 1", "    x = 1"),
        ("A. Let me check. ", "A."),
        (" A. \n", " A. \n"),
    ],
)
def test_white_space_is_left_tidy(text, kept):
    assert filter_text(text).text == kept


def test_an_acknowledgement_goes_only_with_the_announcement_after_it():
    assert filter_text("Sure! Table 4 is free.").text == "Sure! Table 4 is free."
    found = filter_text("A.\n\nSure! Of course. Let me check. B.")
    assert found.text == "A.\n\nB."
    assert found.cuts == (Cut("Sure! Of course. Let me check.", 4),)


def test_a_sentence_over_the_limit_goes_out_unfiltered_but_for_its_lead_in():
    long = "I'll check the list of " + "very " * 100 + "old guests."
    assert filter_text(f"{long} A.").text == f"{long} A."
    assert filter_text(f"As an AI, {long} A.").text == f"{long} A."


def test_innocent_sentences_stream_word_by_word():
    stream = MetaLanguageFilter()
    assert stream.push("The soup ") == "The soup"
    assert stream.push("is pump") == " is pump"
    assert stream.push("kin. I will ch") == "kin."


@pytest.mark.parametrize(
    "unit",
    [
        *("so, ", "let me ", "Sure! ", "As an AI, ", "to answer ", "I'll now first also check "),
        *("After reviewing the list, ", "based on the list of the ", "Here is the the ", "I", "`"),
        *("{", '" ', "' a", " ", "\n", ".", "~", "<tool_call>", "Let me check. ", "é", "não, "),
        "Here is " + "a list " * 55 + "\n",
        "Let me break " + "a' " * 120 + "\n",
    ],
)
def test_a_hundred_kilobytes_of_hostile_input_cost_at_most_fifteen_microseconds_each(unit):
    text = (unit * (100_000 // len(unit) + 1))[:100_000]
    stream = MetaLanguageFilter()
    began = time.thread_time()
    for place in range(0, len(text), 4):
        stream.push(text[place : place + 4])
    stream.flush()
    assert time.thread_time() - began < 100_000 * 15e-6
