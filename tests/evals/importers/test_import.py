"""An import writes a whole task or nothing, in the memory of a row, and says what it refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import InputError, NotFoundError, StorageError
from evals.dataset import dataset_digest, read_samples
from evals.importers import FORMATS, import_dataset
from evals.importers.load import MAX_FLOOR_ROWS
from evals.task_files import list_tasks, load_task

ROWS = [{"prompt": f"{n} + 1?", "completion": str(n + 1)} for n in range(3)]


def given(folder, *rows, name="given.jsonl"):
    path = folder / name
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def contents(home):
    return {path.name: path.read_bytes() for path in sorted((home / "tasks").iterdir())}


def test_what_is_imported_is_a_task(tmp_path):
    report = import_dataset("prompt_completion", given(tmp_path, *ROWS), "sums", tmp_path)
    task = load_task("sums", tmp_path)
    assert report.task == tmp_path / "tasks" / "sums.yaml"
    assert report.dataset == task.dataset
    assert report.digest == dataset_digest(task.dataset)
    assert report.scorer == task.scorer
    assert "sums" in list_tasks(tmp_path)
    assert set(contents(tmp_path)) == {"sums.yaml", "sums.jsonl"}


def test_an_imported_task_has_its_floor(tmp_path):
    rows = [{"prompt": f"Is {n} even?", "completion": "yes" if n % 4 else "no"} for n in range(8)]
    import_dataset("prompt_completion", given(tmp_path, *rows), "even", tmp_path)
    floor = load_task("even", tmp_path).floor
    assert floor.value == 0.75
    assert "yes" in floor.answers


def test_the_floor_of_a_large_file_is_not_measured(tmp_path):
    rows = [{"prompt": f"{n}?", "completion": "yes"} for n in range(MAX_FLOOR_ROWS + 1)]
    import_dataset("prompt_completion", given(tmp_path, *rows), "large", tmp_path)
    assert load_task("large", tmp_path).floor is None


def test_the_same_import_again_changes_nothing(tmp_path):
    path = given(tmp_path, *ROWS)
    first = import_dataset("prompt_completion", path, "sums", tmp_path)
    before = contents(tmp_path)
    again = import_dataset("prompt_completion", path, "sums", tmp_path)
    assert (first.is_unchanged, again.is_unchanged) == (False, True)
    assert contents(tmp_path) == before


def test_a_name_with_other_rows_is_refused_and_kept(tmp_path):
    import_dataset("prompt_completion", given(tmp_path, *ROWS), "sums", tmp_path)
    before = contents(tmp_path)
    with pytest.raises(InputError, match="is there already and holds something else"):
        import_dataset("prompt_completion", given(tmp_path, *ROWS[:2]), "sums", tmp_path)
    assert contents(tmp_path) == before


def test_rows_without_their_task_file_are_a_leftover(tmp_path):
    """A kill between the two files leaves rows that are no task yet."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "sums.jsonl").write_text("left over")
    import_dataset("prompt_completion", given(tmp_path, *ROWS), "sums", tmp_path)
    assert len(list(read_samples(load_task("sums", tmp_path).dataset))) == 3


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("desk_tools", "is a task that is shipped"),
        ("../sums", "can't be a task's name"),
        ("Sums", "can't be a task's name"),
    ],
)
def test_a_name_that_cannot_be_had_is_refused(tmp_path, name, reason):
    with pytest.raises(InputError, match=reason):
        import_dataset("prompt_completion", given(tmp_path, *ROWS), name, tmp_path)
    assert not (tmp_path / "tasks").exists()


def test_an_unknown_format_is_told_with_those_there_are(tmp_path):
    with pytest.raises(InputError, match="no format named 'alpaca'; choose one of: messages, "):
        import_dataset("alpaca", given(tmp_path, *ROWS), "sums", tmp_path)


@pytest.mark.parametrize("format", FORMATS)
def test_a_missing_file_is_not_found_and_nothing_is_left(tmp_path, format):
    with pytest.raises(NotFoundError, match="no file"):
        import_dataset(format, tmp_path / "BFCL_v4_irrelevance.json", "sums", tmp_path)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "text", ["", "[]", "[" * 100_000, "\x00\x01PAR1", '{"data": 5}', "\xff\xfe", "{}\n{}"]
)
def test_a_file_of_something_else_is_refused_and_nothing_is_left(tmp_path, format, text):
    path = tmp_path / "BFCL_v4_irrelevance.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError):
        import_dataset(format, path, "sums", tmp_path)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.parquet", b"PAR1 is not enough", "can't be read as Parquet"),
        ("a.txt", b"x", r"ends with one of: \.jsonl"),
        ("a.csv", b"", "must name the columns"),
        ("a.csv", b"a,a\n1,2\n", "must name the columns, each once"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        import_dataset("prompt_completion", path, "sums", tmp_path)


def test_broken_rows_of_csv_are_refused_and_the_rest_is_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'prompt,completion\n1,one\n2\n"3"x,three\n4,f\xffur\n5,"fi\nve"\n\n6,six\n')
    report = import_dataset("prompt_completion", path, "sums", tmp_path)
    assert [s.target for s in read_samples(report.dataset)] == ["one", "fi\nve", "six"]
    reasons = {example.place: example.reason for example in report.examples}
    assert "1 cells, while the first line names 2" in reasons["line 3"]
    assert "not CSV" in reasons["line 4"]
    assert reasons["line 5"] == "not UTF-8"


def test_a_home_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "tasks").write_text("a file")
    with pytest.raises(StorageError, match="can't be written"):
        import_dataset("prompt_completion", given(tmp_path, *ROWS), "sums", tmp_path)


def test_reasons_are_counted_and_the_first_rows_told(tmp_path):
    rows = [*ROWS, *[{"prompt": "x"}] * 30, *[{"completion": "x"}] * 40]
    report = import_dataset("prompt_completion", given(tmp_path, *rows), "sums", tmp_path)
    assert list(report.reasons.values()) == [40, 30]
    assert report.refused == 70
    assert [example.place for example in report.examples] == [f"line {n}" for n in range(4, 14)]
    assert report.to_dict()["examples"][0] == {
        "place": "line 4",
        "reason": "the answer must be a text that is not empty",
    }


def test_memory_stays_bounded_on_a_large_file(tmp_path):
    """Twenty times the file costs less than the difference of the two files."""
    row = json.dumps({"prompt": "word " * 800, "completion": "y" * 1000}) + "\n"
    sizes = {200: 0, 20_000: 0}
    for rows in sizes:
        path = tmp_path / f"{rows}.jsonl"
        with path.open("w") as handle:
            handle.writelines(row for _ in range(rows))
        sizes[rows] = peak_bytes(path, tmp_path)
    assert path.stat().st_size > 100_000_000
    assert sizes[20_000] - sizes[200] < 30_000_000


def peak_bytes(path: Path, home: Path) -> int:
    """Return the highest memory of a process that imports the file."""
    script = (
        "import resource, sys; from pathlib import Path; from evals.importers import load;"
        "path, name, home = sys.argv[1:];"
        "load.import_dataset('prompt_completion', Path(path), name, Path(home));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), f"t{path.stem}", str(home)],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout) * (1024 if sys.platform == "linux" else 1)
