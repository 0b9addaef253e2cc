import pytest

from core.digests import folder_digest
from core.errors import StorageError


def test_a_digest_covers_names_and_contents(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"1234")
    first = folder_digest(tmp_path)
    assert first == folder_digest(tmp_path)
    assert first.startswith("sha256:")
    assert len(first) == 71
    (tmp_path / "model.safetensors").write_bytes(b"1235")
    assert folder_digest(tmp_path) != first
    (tmp_path / "model.safetensors").rename(tmp_path / "other.safetensors")
    second = folder_digest(tmp_path)
    (tmp_path / "other.safetensors").write_bytes(b"1234")
    assert len({first, second, folder_digest(tmp_path)}) == 3


@pytest.mark.parametrize("name", ["chat_template.jinja", "merges.txt", "tokenizer.model"])
def test_what_changes_an_answer_changes_the_digest(tmp_path, name):
    before = folder_digest(tmp_path)
    (tmp_path / name).write_text("x")
    assert folder_digest(tmp_path) != before


@pytest.mark.parametrize("name", ["README.md", "evil.py", "pytorch_model.bin"])
def test_what_is_never_loaded_does_not(tmp_path, name):
    before = folder_digest(tmp_path)
    (tmp_path / name).write_text("x")
    assert folder_digest(tmp_path) == before


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(StorageError, match="can't be read: Is a directory"):
        folder_digest(tmp_path)
