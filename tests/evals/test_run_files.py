"""What a run's folder holds after kills, full disks and strange texts."""

import json
import threading

import pytest

from core.errors import InputError, NotFoundError, StorageError
from evals.lock import held, is_held
from evals.manifest import Key, Manifest
from evals.run_files import (
    RunFolder,
    Writer,
    create_run,
    drop_partial_units,
    last_rows,
    open_run,
    write_whole,
)
from evals.run_rows import Row, grade_from_dict, grade_line
from evals.sample import Grade, Score

MANIFEST = Manifest(
    run="r1",
    task="tables",
    task_digest="sha256:1",
    data_digest="sha256:2",
    grader_version="1",
    model="understudy",
    provider="local",
    model_digest="sha256:3",
    adapter_digest=None,
    served="sha256:4",
    params={"temperature": 0.0, "top_p": 1.0, "max_tokens": 8, "seed": None, "stop": ["\n"]},
    repeats=2,
    items=("a", "b", "c"),
    seed=0,
    mode="deterministic",
    plan=(("c", "a"), ("b",)),
    uses_cache=True,
    created_at="2026-01-01T00:00:00+00:00",
    versions={"python": "3.11"},
    device="cpu",
    precision="fp32",
)


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return create_run(tmp_path, MANIFEST)


def write(folder: RunFolder, *rows: Row) -> None:
    writer = Writer(folder)
    writer.append(rows)
    writer.close()


def row(name: str, repeat: int = 0, **changes) -> Row:
    return Row(**{"id": name, "repeat": repeat, "status": "ok", "attempt": 1, **changes})


def test_a_manifest_is_read_as_it_was_written(folder, tmp_path):
    assert open_run(tmp_path, "r1").manifest() == MANIFEST
    assert MANIFEST.generation_params.stop == ("\n",)
    assert MANIFEST.keys[:4] == (Key("a", 0), Key("b", 0), Key("c", 0), Key("a", 1))
    assert MANIFEST.units[0] == (Key("c", 0), Key("a", 0))
    assert len(MANIFEST.units) == 4


@pytest.mark.parametrize("change", ["plans", None])
def test_a_manifest_with_other_keys_is_refused(folder, change):
    value = {**MANIFEST.to_dict(), **({change: 1} if change else {})}
    if change is None:
        del value["plan"]
    (folder.path / "manifest.json").write_text(json.dumps(value))
    with pytest.raises(StorageError, match="plan"):
        folder.manifest()


TEXTS = ["plain", "line\nbreak", "\u2028", "null \x00", "half \ud800", "😀", "[" * 1_000_000]


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_is_read_as_it_was_written(folder, text):
    rows = [row("a", text=text, tool_calls=({"name": text, "arguments": "{}"},)), row("b")]
    write(folder, *rows)
    assert folder.rows() == rows


def test_a_torn_last_line_does_not_count_and_is_cut_before_the_next_one(folder):
    write(folder, row("a"), row("b"))
    whole = folder.generations_path.read_bytes()
    for end in range(len(row("a").to_line()), len(whole)):
        folder.generations_path.write_bytes(whole[:end])
        assert [r.id for r in folder.rows()] == ["a"]
    write(folder, row("c"))
    assert [r.id for r in folder.rows()] == ["a", "c"]


def test_a_damaged_line_in_the_middle_is_said_to_be_one(folder):
    folder.generations_path.write_bytes(row("a").to_line() + b"{nope\n" + row("b").to_line())
    with pytest.raises(StorageError, match="line 2"):
        folder.rows()


def test_the_last_attempt_counts(folder):
    failed = row("a", status="error", error="busy", error_kind="overloaded")
    write(folder, failed, row("b"), row("a", attempt=2))
    assert last_rows(folder.rows())[Key("a", 0)].attempt == 2


def test_rows_from_many_threads_are_all_there_and_whole(folder):
    writer = Writer(folder)
    threads = [
        threading.Thread(target=lambda n=n: [writer.append([row(f"{n}-{i}")]) for i in range(50)])
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert len({r.id for r in folder.rows()}) == 400


def test_what_was_written_of_half_a_batch_is_taken_out(folder):
    write(folder, row("c"), row("a"), row("b"), row("c", 1))
    drop_partial_units(folder, MANIFEST.units)
    assert [r.key for r in folder.rows()] == [Key("c", 0), Key("a", 0), Key("b", 0)]


def test_grades_are_read_as_they_were_written_and_odd_notes_are_left_out(folder):
    score = Score({"m": 0.5}, {"m": 1.0}, "label", {"hits": 2}, {"said": "x"})
    grade = Grade("a", "g", score, 1)
    assert grade_from_dict(json.loads(grade_line(grade))) == grade
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for notes in ({"deep": deep}, {"long": 10**5000}):
        odd = Grade("a", "g", Score({"m": 0.5}, notes=notes))
        assert json.loads(grade_line(odd))["notes"] == {
            "left_out": "what the scorer noted is no JSON"
        }
    odd = Grade("a", "g", Score({"m": 0.5}, notes={"nan": float("nan"), "half": "\ud800"}))
    assert b"NaN" not in grade_line(odd)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "summary.json"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]
    with pytest.raises(StorageError, match="can't be written"):
        write_whole(tmp_path / "nowhere" / "summary.json", b"new")


@pytest.mark.parametrize("name", ["", ".", "..", "../r1", "r1/..", "nope", "r" * 500, "r1\x00"])
def test_a_name_that_is_no_runs_is_not_found(folder, tmp_path, name):
    with pytest.raises(NotFoundError, match="no run named"):
        open_run(tmp_path, name)


def test_one_holds_a_run_and_the_next_is_refused_until_it_lets_go(folder):
    assert not is_held(folder.path)
    with held(folder.path):
        assert is_held(folder.path)
        assert folder.status() == "running"
        with pytest.raises(InputError, match="being carried out"), held(folder.path):
            pass
    assert not is_held(folder.path)
    with held(folder.path):
        pass


def test_who_only_looks_never_keeps_another_from_holding(folder):
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            is_held(folder.path)

    looking = [threading.Thread(target=look) for _ in range(2)]
    for thread in looking:
        thread.start()
    try:
        for _ in range(20):
            with held(folder.path):
                pass
    finally:
        stop.set()
        for thread in looking:
            thread.join()
