"""Importing files: everything usable is read, the rest is refused, nothing is half-written."""

import csv
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from core.errors import InputError, NotFoundError
from core.settings import PROJECT
from training.datasets.importing import import_dataset, preview
from training.datasets.versions import find_version, read_examples

GOOD = {"prompt": "1 + 1?", "completion": "2"}


def write(tmp_path, *rows, name="given.jsonl"):
    path = tmp_path / name
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"\n".join(lines))
    return path


def left(home):
    """Return what stands in the datasets' folder."""
    return sorted(path.name for path in (home / "datasets").rglob("*"))


def test_a_file_becomes_a_version_with_a_manifest(tmp_path):
    path = write(tmp_path, GOOD, {**GOOD, "id": "b", "group": "g"})
    report = import_dataset(tmp_path, path, "sums")
    version = report.version
    assert version.folder == tmp_path / "datasets" / "sums" / "v1"
    assert left(tmp_path) == ["manifest.json", "rows.jsonl", "sums", "v1"]
    assert json.loads((version.folder / "manifest.json").read_text()) == version.to_dict()
    assert (version.rows, version.parent, version.how["format"]) == (2, None, "prompt_completion")
    first, second = read_examples(version.path)
    assert (first.id, first.source, second.group) == ("1", "given.jsonl, line 1", "g")
    assert report.to_dict()["preview"][0]["id"] == "1"


def test_the_same_file_again_changes_nothing_and_another_one_is_another_version(tmp_path):
    path = write(tmp_path, GOOD)
    first = import_dataset(tmp_path, path, "sums")
    again = import_dataset(tmp_path, path, "sums")
    assert again.version == first.version
    assert (first.is_unchanged, again.is_unchanged) == (False, True)
    other = import_dataset(tmp_path, write(tmp_path, GOOD, GOOD), "sums")
    assert other.version.reference == "sums@v2"
    assert find_version(tmp_path, "sums@v1") == first.version
    assert find_version(tmp_path, "sums") == other.version


def test_broken_rows_in_the_middle_are_refused_and_the_rest_is_read(tmp_path):
    path = write(
        tmp_path,
        b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
        b'{"prompt": "cut off", "compl',
        b'{"prompt": "caf\xe9", "completion": "latin"}',
        b"[1, 2]",
        {"prompt": "x", "completion": ""},
        {"messages": [{"role": "king", "content": "x"}]},
        {"prompt": "x", "chosen": "y", "rejected": "z"},
        {"prompt": "x", "completion": "y", "label": True},
        b'{"prompt": "x", "completion": NaN}',
        b'{"prompt": "a\\u0000b", "completion": "y"}',
        b'{"prompt": "\\ud800", "completion": "y"}',
        b'{"prompt": "' + b"x" * 1_000_001 + b'"}',
        {**GOOD, "id": "last"},
    )
    report = import_dataset(tmp_path, path, "mixed")
    assert [example.id for example in read_examples(report.version.path)] == ["1", "last"]
    assert report.refused == 11
    reasons = [f"{example.place}: {example.reason}" for example in report.examples]
    for place, part in {
        2: "not JSON",
        3: "not UTF-8: byte 16 of the line",
        4: "a row must be a JSON object",
        5: "completion must be a text that is not empty",
        6: "looks like messages",
        7: "looks like preference",
        8: "looks like preference",
        9: "not JSON: ",
        10: "NUL",
        11: "half of a surrogate pair",
    }.items():
        assert any(r.startswith(f"line {place}: ") and part in r for r in reasons), (place, reasons)
    assert sum(report.reasons.values()) == 11


def test_one_kind_of_example_a_dataset(tmp_path):
    path = write(
        tmp_path,
        {"prompt": "x", "chosen": "y", "rejected": "z"},
        {"prompt": "x", "completion": "y", "label": True},
    )
    report = import_dataset(tmp_path, path, "pairs")
    assert report.kind == "preference"
    assert report.examples[0].reason == ("the row is of kind 'unpaired', those before 'preference'")


def test_an_id_that_comes_twice_gets_its_row_number(tmp_path):
    names = ("a", "a", "a#2", "a#5", "a")
    path = write(tmp_path, *({**GOOD, "id": name} for name in names))
    report = import_dataset(tmp_path, path, "sums")
    ids = [e.id for e in read_examples(report.version.path)]
    assert ids == ["a", "a#2", "a#2#3", "a#5", "a#5-2"]
    assert report.counts["renamed"] == 3


def test_a_quote_that_is_never_closed_costs_its_own_line(tmp_path):
    path = tmp_path / "given.csv"
    lines = ["prompt,completion", *(f"{n} + 1?,{n + 1}" for n in range(500))]
    lines[51], lines[302] = 'broken,"and never closed', '"two\nlines","are ""one"" row"'
    path.write_text("\n".join(lines), encoding="utf-8")
    report = import_dataset(tmp_path, path, "cells")
    assert (report.version.rows, report.refused) == (499, 1)
    assert report.examples[0].place == "line 52"
    rows = list(read_examples(report.version.path))
    assert rows[300].messages[0].text == "two\nlines"
    assert rows[301].source == "given.csv, line 305"


def test_a_csv_row_that_is_too_long_is_refused_without_being_held(tmp_path):
    path = tmp_path / "given.csv"
    with path.open("w", encoding="utf-8") as handle:
        handle.write("prompt,completion\n1,2\n")
        handle.writelines("x," * 500_000 for _ in range(30))
        handle.write("\n3,4\n")
    tracemalloc.start()
    report = import_dataset(tmp_path, path, "cells")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (report.version.rows, report.refused) == (2, 1)
    assert "the row has more than 1,000,000 characters" in report.examples[0].reason
    assert peak < 20_000_000


def test_half_a_surrogate_pair_in_a_list_is_refused_alone(tmp_path):
    path = tmp_path / "given.json"
    half = json.dumps({"id": "\ud83d", **GOOD})
    path.write_text(f"[{half}, {json.dumps({**GOOD, 'prompt': chr(0x1F600)})}]")
    assert [row["reason"] for row in preview(path)] == [
        "an escape stands for half of a surrogate pair",
        None,
    ]
    assert import_dataset(tmp_path, path, "sums").refused == 1


def test_cells_with_html_and_formulas_stay_text(tmp_path):
    path = tmp_path / "given.csv"
    cells = ['=HYPERLINK("http://x","y")', "<script>alert(1)</script>"]
    with path.open("w", newline="", encoding="utf-8-sig") as handle:
        csv.writer(handle).writerows([["prompt", "completion"], cells, ["only one"], ["a", "b"]])
    report = import_dataset(tmp_path, path, "cells")
    first, _ = read_examples(report.version.path)
    assert [message.text for message in first.messages] == cells
    assert "1 cells, while the first line names 2 columns" in report.examples[0].reason


def test_a_parquet_file_keeps_tools_without_the_nulls_it_adds(tmp_path):
    def tool(name, properties):
        parameters = {"type": "object", "properties": properties}
        return {"type": "function", "function": {"name": name, "parameters": parameters}}

    said = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    rows = [
        {"messages": said, "tools": [tool("a", {"one": {"type": "string"}})]},
        {"messages": said, "tools": [tool("b", {"two": {"type": "integer"}})]},
    ]
    path = tmp_path / "given.parquet"
    parquet.write_table(pa.Table.from_pylist(rows), path)
    report = import_dataset(tmp_path, path, "tools")
    first, second = read_examples(report.version.path)
    assert first.tools[0].parameters["properties"] == {"one": {"type": "string"}}
    assert second.tools[0].parameters["properties"] == {"two": {"type": "integer"}}


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"", "a.jsonl", "holds no row"),
        (b"not json\n", "a.jsonl", "can't be told.*not JSON"),
        (b'{"text": "x"}\n', "a.jsonl", "the first row's keys are 'text'"),
        ('{"prompt": "x"}'.encode("utf-16"), "a.jsonl", "is in UTF-16; save it as UTF-8"),
        (b'{"prompt": "x", "completion": ""}', "a.jsonl", "no row .* could be read .*line 1"),
        (b"x", "a.xlsx", "ends with one of: .jsonl"),
        (b"PAR1 no more", "a.parquet", "can't be read as Parquet"),
        (b'{"question": [], "function": []}', "a.jsonl", "read as bfcl; line 1: question must"),
    ],
)
def test_a_file_that_gives_no_row_leaves_nothing_behind(tmp_path, content, name, reason):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        import_dataset(tmp_path, path, "none")
    assert not (tmp_path / "datasets").exists() or left(tmp_path) == []


def test_names_and_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(InputError, match="can't be a dataset's name"):
        import_dataset(tmp_path, write(tmp_path, GOOD), "../up")
    with pytest.raises(NotFoundError, match="no file"):
        import_dataset(tmp_path, tmp_path / "none.jsonl", "sums")
    with pytest.raises(NotFoundError, match="no dataset 'sums'; there are: none yet"):
        find_version(tmp_path, "sums")


def test_a_preview_shows_rows_and_reasons_and_writes_nothing(tmp_path):
    path = write(tmp_path, GOOD, {"prompt": "x"}, GOOD)
    first, second = preview(path, rows=2)
    assert first["row"]["messages"][1]["content"] == "2"
    assert (second["row"], second["place"]) == (None, "line 2")
    assert "completion must be a text" in second["reason"]
    assert not (tmp_path / "datasets").exists()


IMPORT = """
import resource, sys
from pathlib import Path
from training.datasets.importing import import_dataset
if len(sys.argv) > 4:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)
try:
    import_dataset(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def run(*arguments):
    command = [sys.executable, "-c", IMPORT, *map(str, arguments)]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


def long_file(tmp_path, rows):
    path = tmp_path / f"{rows}.jsonl"
    text = json.dumps({"prompt": "word " * 800, "completion": "y" * 1000}) + "\n"
    with path.open("w") as handle:
        handle.writelines(text for _ in range(rows))
    return path


def test_memory_stays_bounded_on_a_large_file(tmp_path):
    peaks = []
    for rows in (200, 20_000):
        done = run(tmp_path, long_file(tmp_path, rows), f"n{rows}")
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) * (1024 if sys.platform == "linux" else 1))
    assert (tmp_path / "20000.jsonl").stat().st_size > 100_000_000
    assert peaks[1] - peaks[0] < 20_000_000


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    done = run(tmp_path, long_file(tmp_path, 200), "full", 500_000)
    assert "StorageError: the dataset can't be written" in done.stderr
    assert left(tmp_path) == []


def test_a_killed_import_leaves_no_version(tmp_path):
    path = long_file(tmp_path, 20_000)
    command = [sys.executable, "-c", IMPORT, str(tmp_path), str(path), "dead"]
    with subprocess.Popen(command, cwd=PROJECT) as process:
        while not any(rows.stat().st_size for rows in tmp_path.glob("datasets/.new-*/*")):
            assert process.poll() is None
        process.kill()
        assert process.wait() == -signal.SIGKILL
    with pytest.raises(NotFoundError):
        find_version(tmp_path, "dead")
    assert import_dataset(tmp_path, write(tmp_path, GOOD), "dead").version.version == "v1"


def test_what_a_killed_import_left_is_swept_away_a_day_later(tmp_path):
    old, young = (tmp_path / "datasets" / name for name in (".new-old", ".new-young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "rows.jsonl").write_text("{}")
    os.utime(old, (0, 0))
    import_dataset(tmp_path, write(tmp_path, GOOD), "sums")
    assert (old.exists(), young.exists()) == (False, True)


def test_public_files_are_read(public_data, tmp_path):
    expected = {
        "xlam/structured/train.jsonl": ("xlam", 300, 0),
        "xlam/toolcall/train.jsonl": ("xlam", 300, 0),
        "hermes/hermes_test.jsonl": ("hermes", 29, 21),
        "gsm8k/train.jsonl": ("gsm8k", 500, 0),
        "bfcl/BFCL_v4_multiple.json": ("bfcl", 200, 0),
    }
    for number, (name, (format, rows, refused)) in enumerate(expected.items()):
        report = import_dataset(tmp_path, Path(public_data) / name, f"d{number}")
        assert (report.format, report.version.rows, report.refused) == (format, rows, refused)
    with pytest.raises(InputError, match="read as bfcl; line 1: no call fits"):
        import_dataset(tmp_path, Path(public_data) / "bfcl" / "BFCL_v4_irrelevance.json", "b")
