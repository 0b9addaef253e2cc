"""A registered adapter made ready for other programs, in a folder that appears whole or not at all.

`adapter`: peft's own format. `merged`: a model folder without peft. `gguf`: the same for llama.cpp.
`gguf-adapter`: for beside a GGUF of the base. `ollama`: `gguf` with a Modelfile.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from core.catalog import Catalog
from core.digests import folder_digest
from core.engines.gguf_files import Quantisation
from core.errors import InputError, NotFoundError, StorageError, UnavailableError
from core.messages import JsonValue, new_id
from core.providers.local import folder_here
from training.checkpoints import sync_folder
from training.export_card import Measured, Sheet, card_text
from training.export_gguf import export_adapter_gguf, export_model_gguf
from training.export_merged import PROBE_TOKENS, PROBES, Merge, merge
from training.export_ollama import modelfile
from training.recipes.saved import ADAPTER
from training.registry import Registry
from training.run_folder import base_entry, read_run


@dataclass(frozen=True, slots=True)
class Source:
    """A registered adapter and its base, checked to be what was registered."""

    sheet: Sheet
    adapter: Path
    base: Path
    context: int
    """Tokens that the base reads."""


def find_source(
    registry: Registry, catalog: Catalog, name: str, results: Sequence[Measured] = ()
) -> Source:
    """Return what an export is made of.

    Raises:
        NotFoundError: there is no such adapter, or its base is not on this disk.
        ModelNotAllowedError: its base is not in the catalog.
        StorageError: the adapter's or the base's files are not those that it was trained with.
    """
    stored, adapter = registry.get(name), registry.check(name)
    entry = base_entry(catalog, stored.model)
    base = folder_here(entry)
    if base is None or not base.is_dir():
        raise NotFoundError(f"the base {stored.model!r} is not on this disk; chat with it once")
    if folder_digest(base) != stored.base_digest:
        raise StorageError(
            f"adapter {stored.name!r} was trained on another {stored.model!r} than the one in "
            f"{str(base)!r}; put that one back"
        )
    sheet = Sheet(stored, read_run(adapter).config, entry.hub, tuple(results))
    return Source(sheet, adapter, base, entry.context)


def export(
    source: Source, kind: str, target: Path, quantisation: Quantisation = "F16"
) -> dict[str, JsonValue]:
    """Write an export to a new folder; say what is in it. `quantisation` is of `gguf` files.

    Raises:
        InputError: the kind is unknown, the folder is there, or this model can't be made so.
        UnavailableError: the base can't be loaded or converted, or a package is missing.
        TrainingError: the merged model does not say what base and adapter say.
        StorageError: the disk is full.
    """
    if kind not in KINDS:
        raise InputError(f"no export named {kind!r}; choose one of: {', '.join(KINDS)}")
    if target.exists():
        raise InputError(f"{str(target)!r} is there already; name a new folder")
    draft = target.with_name(f".{target.name}-{new_id()}")
    try:
        draft.mkdir(parents=True)
        notes = KINDS[kind](source, draft, quantisation)
        text = card_text(source.sheet, kind, notes)
        (draft / "README.md").write_text(text, encoding="utf-8")
        for path in draft.iterdir():
            path.chmod(0o644)  # safetensors leaves its files to the owner alone
        sync_folder(draft)
        draft.rename(target)
    except OSError as error:
        raise StorageError(f"{str(target)!r} can't be written: {error.strerror}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    files: dict[str, JsonValue] = {p.name: p.stat().st_size for p in sorted(target.iterdir())}
    name, digest = source.sheet.stored.name, export_digest(target)
    return {"adapter": name, "kind": kind, "path": str(target), "digest": digest, "files": files}


def export_digest(folder: Path) -> str:
    """Return `sha256:...` of an export: of its GGUF file, or of a folder of safetensors.

    Raises:
        StorageError: a file can't be read.
    """
    file = next(folder.glob("*.gguf"), None)
    if file is None:
        return folder_digest(folder)
    try:
        with file.open("rb") as handle:
            return f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}"
    except OSError as error:
        raise StorageError(f"{str(file)!r} can't be read: {error.strerror}") from error


def push(folder: Path, repo: str, token: str | None) -> str:
    """Put an export on the Hub, in a repository that only its owner sees until they open it.

    Returns the commit's address.

    Raises:
        InputError: there is no token, or the name is none that the Hub accepts.
        UnavailableError: the Hub is out of reach or refuses the token.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, HTTPError

    if not token:
        raise InputError("a push needs a token that may write: set HF_TOKEN")
    api = HfApi(token=token)
    try:
        api.create_repo(repo, private=True, exist_ok=True)
        done = api.upload_folder(
            repo_id=repo, folder_path=folder, commit_message=f"Add {folder.name} from Understudy"
        )
    except HFValidationError as error:
        raise InputError(f"the Hub does not accept {repo!r}: {error}") from error
    except (HTTPError, OSError) as error:
        raise UnavailableError(
            f"{repo!r} can't be written: the Hub is out of reach or refuses; check the "
            "connection, and that HF_TOKEN may write there"
        ) from error
    return str(done.commit_url)


def _adapter(source: Source, draft: Path, _: Quantisation) -> list[str]:
    for name in ADAPTER:
        shutil.copyfile(source.adapter / name, draft / name)
    if source.sheet.hub is None:
        return ["The base is no model of the Hub; its digest is above."]
    # Other programs look for the base under this name; in the catalog it has another one.
    path = draft / ADAPTER[1]
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = source.sheet.hub
    path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
    return []


def _merged(source: Source, draft: Path, _: Quantisation) -> list[str]:
    return [_merge_note(merge(source.base, source.adapter, draft))]


def _gguf(source: Source, draft: Path, quantisation: Quantisation) -> list[str]:
    whole = draft / ".merged"
    whole.mkdir()
    note = _merge_note(merge(source.base, source.adapter, whole))
    export_model_gguf(whole, draft / f"{source.sheet.stored.name}.gguf", quantisation)
    shutil.rmtree(whole)
    return [note, f"Matrices are {quantisation}. The converted file itself is not evaluated."]


def _gguf_adapter(source: Source, draft: Path, _: Quantisation) -> list[str]:
    name = f"{source.sheet.stored.name}-lora.gguf"
    export_adapter_gguf(source.base, source.adapter, draft / name)
    return [f"For llama.cpp beside a GGUF of the base: `--lora {name}`."]


def _ollama(source: Source, draft: Path, quantisation: Quantisation) -> list[str]:
    text = modelfile(source.base, f"{source.sheet.stored.name}.gguf", source.context)
    notes = _gguf(source, draft, quantisation)
    (draft / "Modelfile").write_text(text, encoding="utf-8")
    return [*notes, f"`ollama create {source.sheet.stored.name} -f Modelfile`"]


def _merge_note(merged: Merge) -> str:
    facts = asdict(merged)
    dtype = facts.pop("dtype")
    told = ", ".join(f"{name.replace('_', ' ')} {value:.2e}" for name, value in facts.items())
    return (
        f"Merged in 32 bits and saved as {dtype}. Largest differences of logits on "
        f"{PROBES * PROBE_TOKENS} probe tokens: {told}."
    )


KINDS: Mapping[str, Callable[[Source, Path, Quantisation], list[str]]] = {
    "adapter": _adapter,
    "merged": _merged,
    "gguf": _gguf,
    "gguf-adapter": _gguf_adapter,
    "ollama": _ollama,
}
