"""A checkpoint counts when it is whole, and never otherwise."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from training.checkpoints import (
    MANIFEST,
    clear_parts,
    commit,
    committed,
    newest_valid,
    part_of,
    rotate,
    verify,
)


def save(folder: Path, step: int, size: int = 5000) -> Path:
    """Commit a checkpoint of two files."""
    part = part_of(folder, step)
    (part / "adapter_model.safetensors").write_bytes(os.urandom(size))
    (part / "optimizer.pt").write_bytes(os.urandom(2 * size))
    return commit(part, step, "sha256:plan", {"device": "cpu"}).path


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def zero_half(path: Path) -> None:
    """Do what a power cut does to a file that was never synced."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(bytes(content))


DAMAGES: tuple[Callable[[Path], None], ...] = (truncate, zero_half, flip_bit, Path.unlink)


def test_a_checkpoint_tells_what_it_holds(tmp_path: Path) -> None:
    manifest = verify(save(tmp_path, 7))
    assert manifest.step == 7
    assert set(manifest.files) == {"adapter_model.safetensors", "optimizer.pt"}
    assert manifest.size_bytes == 15000
    assert manifest.plan == "sha256:plan"
    assert manifest.setting == {"device": "cpu"}
    assert manifest.digest.startswith("sha256:")


def test_everyone_may_read_the_files(tmp_path: Path) -> None:
    part = part_of(tmp_path, 1)
    (part / "adapter_model.safetensors").write_bytes(b"1")
    (part / "adapter_model.safetensors").chmod(0o600)
    path = commit(part, 1, "p", {}).path
    assert (path / "adapter_model.safetensors").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ["adapter_model.safetensors", "optimizer.pt", MANIFEST])
def test_damage_sets_a_checkpoint_aside_and_the_one_before_counts(
    tmp_path: Path, damage: Callable[[Path], None], name: str
) -> None:
    save(tmp_path, 10)
    save(tmp_path, 20)
    damage(tmp_path / "step-20" / name)
    found, damaged = newest_valid(tmp_path)
    assert found is not None
    assert found.manifest.step == 10
    (one,) = damaged
    assert name in one.reason
    assert one.path == tmp_path / "step-20.damaged"
    assert one.path.is_dir()
    assert newest_valid(tmp_path) == (found, ())


def test_a_second_damaged_checkpoint_of_a_step_is_kept_too(tmp_path: Path) -> None:
    for _ in range(3):
        truncate(save(tmp_path, 5) / "optimizer.pt")
        assert newest_valid(tmp_path)[0] is None
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "step-5.damaged",
        "step-5.damaged-2",
        "step-5.damaged-3",
    ]


def test_a_checkpoint_under_another_steps_name_is_damaged(tmp_path: Path) -> None:
    save(tmp_path, 5).rename(tmp_path / "step-50")
    found, damaged = newest_valid(tmp_path)
    assert found is None
    assert "of step 5" in damaged[0].reason


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", '{"format": 2}', '{"format": 1, "files": {"a": 3}}', "\x00"]
)
def test_any_text_for_a_manifest_is_damage_and_no_crash(tmp_path: Path, text: str) -> None:
    (save(tmp_path, 5) / MANIFEST).write_text(text, encoding="utf-8")
    assert newest_valid(tmp_path)[0] is None


def test_what_was_being_written_never_counts(tmp_path: Path) -> None:
    save(tmp_path, 10)
    part = part_of(tmp_path, 20)
    (part / "optimizer.pt").write_bytes(b"half")
    found, damaged = newest_valid(tmp_path)
    assert found is not None
    assert found.manifest.step == 10
    assert not damaged
    assert clear_parts(tmp_path) == (".step-20.part",)
    assert not part.exists()


def test_the_newest_and_the_spared_stay(tmp_path: Path) -> None:
    for step in (1, 2, 3, 10, 11):
        save(tmp_path, step)
    rotate(tmp_path, 2, spare={2})
    assert committed(tmp_path) == (2, 10, 11)


def test_a_step_is_committed_once(tmp_path: Path) -> None:
    first = save(tmp_path, 4) / "optimizer.pt"
    content = first.read_bytes()
    save(tmp_path, 4)
    assert first.read_bytes() == content
    assert clear_parts(tmp_path) == ()


def test_a_reader_never_sees_a_checkpoint_in_the_making(tmp_path: Path) -> None:
    """Every checkpoint that is listed while others are saved and rotated is whole."""
    is_over, seen, reasons = threading.Event(), set[int](), set[str]()

    def look() -> None:
        while not is_over.is_set():
            for step in committed(tmp_path):
                try:
                    verify(tmp_path / f"step-{step}")
                    seen.add(step)
                except ValueError as error:
                    reasons.add(str(error))

    reader = threading.Thread(target=look)
    reader.start()
    for step in range(60):
        save(tmp_path, step, size=200)
        rotate(tmp_path, 3)
    is_over.set()
    reader.join()
    assert seen
    # Rotated away under its eyes, which a reader must expect; nothing else is ever wrong.
    assert all("No such file" in reason for reason in reasons)


def test_no_checkpoints_is_nothing(tmp_path: Path) -> None:
    assert newest_valid(tmp_path / "none") == (None, ())
    assert committed(tmp_path / "none") == ()
    assert clear_parts(tmp_path / "none") == ()


def test_the_manifest_is_readable_by_others(tmp_path: Path) -> None:
    raw = json.loads((save(tmp_path, 3) / MANIFEST).read_text(encoding="utf-8"))
    assert set(raw) == {
        "step",
        "plan",
        "setting",
        "files",
        "created_at",
        "format",
        "digest",
        "seal",
    }
    assert set(raw["files"]["optimizer.pt"]) == {"size", "sha256"}
