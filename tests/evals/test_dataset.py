"""Datasets are read a line at a time, and what is wrong in one is told with its line."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError, NotFoundError
from core.json_text import MAX_BYTES
from core.messages import Message, Tool, ToolCall
from evals.dataset import dataset_digest, read_samples, row_text, sample_of, write_samples
from evals.sample import Sample

PLAIN = {"id": "a", "input": "Seat Ada.", "target": "done"}
TOOL = {"type": "function", "function": {"name": "seat", "parameters": {"type": "object"}}}


def write(path, *rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_row_becomes_a_sample():
    row = {
        "id": 7,
        "input": [
            {"role": "system", "content": "You are the desk."},
            {"role": "user", "content": "Seat Ada."},
        ],
        "target": {"calls": []},
        "group": 12,
        "tools": [TOOL],
        "details": {"category": "irrelevance"},
    }
    sample = sample_of(row)
    assert sample.id == "7"
    assert sample.group == "12"
    assert sample.messages == (
        Message("system", "You are the desk."),
        Message("user", "Seat Ada."),
    )
    assert sample.tools == (Tool("seat", "", {"type": "object"}),)
    assert sample.target == {"calls": []}
    assert sample.details == {"category": "irrelevance"}


def test_a_row_without_a_group_is_its_own():
    assert sample_of(PLAIN).group == "a"
    assert sample_of({**PLAIN, "group": None}).group == "a"


def test_a_target_may_be_null_but_not_missing():
    assert sample_of({**PLAIN, "target": None}).target is None
    with pytest.raises(InputError, match="target missing"):
        sample_of({"id": "a", "input": "x"})


def test_samples_come_back_as_they_were_written(tmp_path):
    call = ToolCall("call_0", "seat", '{"guest": "Zoë"}')
    samples = [
        sample_of(PLAIN),
        Sample(
            id="b",
            messages=(
                Message("user", "Seat Zoë.\u2028"),
                Message("assistant", "", (call,)),
                Message("tool", "", tool_call_id="call_0"),
            ),
            target=[1, 2.5, None, {"é": "日本"}],
            group="g",
            tools=(Tool("seat", "Seat a guest.", {"type": "object"}),),
            details={"schema": {"type": "array"}},
        ),
    ]
    write_samples(samples, tmp_path / "rows.jsonl")
    assert list(read_samples(tmp_path / "rows.jsonl")) == samples


TEXTS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(TEXTS.filter(str.strip), VALUES, st.dictionaries(TEXTS, VALUES, max_size=3))
def test_any_text_and_target_survive_a_file(said, target, details):
    sample = sample_of({"id": 1, "input": said, "target": target, "details": details})
    assert sample_of(json.loads(row_text(sample))) == sample
    assert row_text(sample).count("\n") == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"targt": 1}, "unknown key 'targt'; did you mean 'target'?"),
        ({"zzz": 1}, "unknown key 'zzz'; choose from: id, input"),
        ({"id": True}, "id must be a text of 1 to 200"),
        ({"id": ""}, "id must be"),
        ({"id": 1.5}, "id must be"),
        ({"id": "x" * 201}, "id must be"),
        ({"group": ["a"]}, "group must be"),
        ({"input": ""}, "input is empty"),
        ({"input": "  \n"}, "input is empty"),
        ({"input": []}, "input is empty"),
        ({"input": 5}, "input must be a text or a list"),
        ({"input": [{"role": "bot", "content": "x"}]}, "role must be one of"),
        ({"input": [{"role": "assistant", "content": "x"}]}, "must end with the user or a tool"),
        ({"input": [{"role": "user", "content": 5}]}, r"messages\[0\].content"),
        ({"input": [{"role": "user", "content": "x", "name2": 1}]}, "unknown field 'name2'"),
        ({"input": "a\0b"}, "NUL"),
        ({"target": {"a\0": 1}}, "NUL"),
        ({"details": {"a": ["\ud800"]}}, "half of a surrogate pair"),
        ({"details": []}, "details must be an object"),
        ({"tools": {}}, "tools must be a list"),
        ({"tools": [{"name": "seat"}]}, r"tools\[0\]"),
        ({"tools": [TOOL, TOOL]}, "'seat' is offered twice"),
    ],
)
def test_a_wrong_row_is_refused_with_the_reason(change, reason):
    with pytest.raises(InputError, match=reason):
        sample_of({**PLAIN, **change})


@pytest.mark.parametrize("row", [None, 5, "text", ["a"], True])
def test_a_row_that_is_no_object_is_refused(row):
    with pytest.raises(InputError, match="must be a JSON object"):
        sample_of(row)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": "b", ', "line 3: not JSON"),
        ("{'id': 'b'}", "line 3: not strict JSON: single_quotes"),
        ('{"id": "b", "id": "c", "input": "x", "target": 1}', "line 3: not .*twice"),
        ('{"id": "b", "input": "x", "target": NaN}', "line 3: not"),
        ('{"id": "a", "input": "x", "target": 1}', "line 3: the id 'a' stands on line 1 already"),
        ('{"id": "b", "input": "x", "target": ' + "[" * 5000, "line 3: not JSON"),
        ('{"id": "b", "input": "x", "target": ' + "9" * 5000 + "}", "line 3: not JSON"),
    ],
)
def test_a_broken_line_is_told_by_its_number(tmp_path, line, reason):
    path = write(tmp_path / "rows.jsonl", PLAIN, "", line)
    samples = read_samples(path)
    assert next(samples).id == "a"
    with pytest.raises(InputError, match=reason):
        next(samples)


def test_another_encoding_is_told_by_line_and_byte(tmp_path):
    path = tmp_path / "rows.jsonl"
    good = json.dumps(PLAIN).encode()
    path.write_bytes(good + b"\n" + '{"id": "Zoë"}'.encode("latin-1") + b"\n")
    with pytest.raises(InputError, match=r"rows.jsonl, line 2: not UTF-8: byte 11 of the line"):
        list(read_samples(path))


def test_a_byte_order_mark_and_windows_line_ends_are_no_matter(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(PLAIN).encode() + b"\r\n\r\n")
    assert [sample.id for sample in read_samples(path)] == ["a"]


def test_a_line_that_is_too_long_is_refused_and_never_held(tmp_path):
    path = tmp_path / "rows.jsonl"
    with path.open("w") as handle:
        handle.write(json.dumps(PLAIN) + "\n")
        handle.write('{"id": "b", "input": "' + "x" * (3 * MAX_BYTES) + '", "target": 1}\n')
    with pytest.raises(InputError, match=f"line 2: the line has more than {MAX_BYTES} bytes"):
        list(read_samples(path))


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match="no file"):
        list(read_samples(tmp_path / "none.jsonl"))
    with pytest.raises(NotFoundError, match="no file"):
        dataset_digest(tmp_path / "none.jsonl")


def test_the_digest_is_that_of_the_bytes(tmp_path):
    path = write(tmp_path / "rows.jsonl", PLAIN)
    assert dataset_digest(path) == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
