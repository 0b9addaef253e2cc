"""Digests of files on disk: what an answer names as the weights that gave it."""

import hashlib
from pathlib import Path

from core.errors import StorageError

MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")
"""What makes a model or an adapter: weights, configuration, tokenizer, template."""


def folder_digest(folder: Path) -> str:
    """Return `sha256:...` over the names and contents of a model's or an adapter's files.

    Raises:
        StorageError: a file can't be read.
    """
    total = hashlib.sha256()
    names = sorted({path.name for pattern in MODEL_FILES for path in folder.glob(pattern)})
    try:
        for name in names:
            with (folder / name).open("rb") as handle:
                content = hashlib.file_digest(handle, "sha256").hexdigest()
            total.update(f"{name} {content}\n".encode())
    except OSError as error:
        raise StorageError(f"{str(folder)!r} can't be read: {error.strerror}") from error
    return f"sha256:{total.hexdigest()}"
