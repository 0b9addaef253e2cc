"""The tokenizer of a model that examples are read with: a catalog's model, or a folder."""

from pathlib import Path
from typing import Any

from core.catalog import Catalog, located
from core.errors import InputError, UnavailableError
from core.providers.hub import OUT_OF_REACH
from core.providers.weights import load_tokenizer

WANTED = ("*.json", "*.jinja", "*.txt", "*.model")
"""Everything of a model but its weights."""


def tokenizer_of(catalog: Catalog, model: str, token: str | None = None) -> Any:
    """Return the tokenizer of `MODEL`, a catalog id or the path of a model folder.

    Of a model on the Hub only the tokenizer is downloaded, with `token`, unless it is there.

    Raises:
        InputError: the model does not run here, so its tokenizer isn't known.
        ModelNotAllowedError: there is no such folder, and the catalog has no such model.
        UnavailableError: there is no tokenizer, or it can't be downloaded.
    """
    folder = Path(model)
    if folder.is_dir():
        return load_tokenizer(model, folder)
    entry = catalog.resolve(model).model
    if entry.provider != "local":
        raise InputError(
            f"{model!r} runs elsewhere, so its tokenizer isn't known; name a local model, the one "
            "that will be trained"
        )
    folder = located(entry.path) if entry.path else _fetched(str(entry.hub), entry.revision, token)
    return load_tokenizer(model, folder)


def _fetched(hub: str, revision: str | None, token: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, HTTPError

    try:
        return Path(
            snapshot_download(hub, revision=revision, token=token, allow_patterns=list(WANTED))
        )
    except (HTTPError, HFValidationError, OSError) as error:
        raise UnavailableError(OUT_OF_REACH.format(hub)) from error
