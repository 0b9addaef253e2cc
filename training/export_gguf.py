"""GGUF files for other programs: a merged Llama with its real vocabulary, or a LoRA for beside one.

llama.cpp reads a byte-level vocabulary right only if it is told how text is split before; it knows
ways of splitting by name. We name those that we can tell for certain, and refuse all others: a
file that is split otherwise loads, and talks worse than the model it was made of.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.digests import folder_digest
from core.engines.gguf_adapters import adapter_file
from core.engines.gguf_files import Quantisation, model_file, open_writer
from core.engines.llama_config import read_shape
from core.errors import InputError

if TYPE_CHECKING:
    from gguf import GGUFWriter

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
COPIED = "llama."
"""What the settings of the model begin with; all else is about tokens, and written anew."""


def export_adapter_gguf(base: Path, adapter: Path, target: Path) -> None:
    """Write an adapter that llama.cpp loads beside any GGUF of its base (`--lora`).

    Raises:
        UnavailableError: the base is no Llama, or the adapter can't be converted whole.
        MissingExtraError: the package `gguf` is not installed.
        StorageError: the disk is full.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        file = adapter_file(adapter, read_shape(base), Path(scratch))
        shutil.move(file, target)


def export_model_gguf(folder: Path, target: Path, quantisation: Quantisation) -> None:
    """Write a merged model with its vocabulary and chat template.

    Raises:
        InputError: its tokenizer is of a kind that we can't describe for certain.
        UnavailableError: it is no Llama that can be converted.
        MissingExtraError: the package `gguf` is not installed.
        StorageError: the disk is full.
    """
    from core.providers.weights import load_tokenizer

    splits = splitting_of(folder)
    tokenizer = load_tokenizer(folder.name, folder)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        numbered = model_file(folder, folder_digest(folder), quantisation, Path(scratch))
        _with_vocabulary(numbered, folder, target, (tokenizer, splits))


def splitting_of(folder: Path) -> str:
    """Return llama.cpp's name for how a tokenizer splits text.

    Raises:
        InputError: it is none that we know for certain.
    """
    try:
        value = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        kind, splitter = value["model"]["type"], value["pre_tokenizer"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(folder)!r} has no tokenizer.json that can be read") from error
    if kind == "BPE" and value.get("normalizer") is None and splitter is not None:
        steps = [_step(step) for step in splitter.get("pretokenizers", [splitter])]
        for name, known in SPLITTINGS.items():
            if steps == known:
                return name
    raise InputError(
        "GGUF with this tokenizer can't be written: we know how llama.cpp splits text for GPT-2, "
        "SmolLM and Llama 3 alone; export 'gguf-adapter', for beside a GGUF that its makers "
        "publish, or 'merged', for llama.cpp's own converter"
    )


def _step(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what makes a difference of one step of splitting."""
    kind = raw["type"]
    if kind == "ByteLevel":
        return (kind, str(raw["add_prefix_space"]), str(raw.get("use_regex", True)))
    if kind == "Digits":
        return (kind, str(raw["individual_digits"]))
    if kind == "Split":
        how = (raw["pattern"].get("Regex", ""), raw["behavior"], str(raw.get("invert", False)))
        return (kind, *how)
    return (kind, "unknown")


SPLITTINGS: Mapping[str, list[tuple[str, ...]]] = {
    "gpt-2": [("ByteLevel", "False", "True")],
    "smollm": [("Digits", "True"), ("ByteLevel", "False", "True")],
    "llama-bpe": [("Split", LLAMA_3, "Isolated", "False"), ("ByteLevel", "False", "False")],
}
"""llama.cpp's names, and the steps of the Hub's `tokenizer.json` that they stand for."""


def _with_vocabulary(numbered: Path, folder: Path, target: Path, how: tuple[Any, str]) -> None:
    """Copy a file whose tokens are numbers, with the tokens that they stand for."""
    from gguf import GGUFReader, GGUFValueType, SpecialVocab

    reader, writer = GGUFReader(numbered), open_writer(target)
    for field in reader.fields.values():
        if field.name.startswith(COPIED):
            kind = field.types[0]
            part = field.types[-1] if kind == GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), kind, sub_type=part)
    tokenizer, splits = how
    size = int(reader.get_field("llama.vocab_size").contents())
    _add_tokens(writer, tokenizer, splits, size)
    special = SpecialVocab(folder, load_merges=True, n_vocab=size)
    special.chat_template = tokenizer.chat_template
    # Whether a text begins with a token of its own is told by what the tokenizer does.
    special.add_special_token = {"bos": _begins(tokenizer), "eos": False}
    special.add_to_gguf(writer, quiet=True)
    for tensor in reader.tensors:
        shape = tensor.data.shape
        writer.add_tensor_info(
            tensor.name, shape, tensor.data.dtype, tensor.data.nbytes, tensor.tensor_type
        )
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in reader.tensors:
            writer.write_tensor_data(tensor.data)
    finally:
        writer.close()


def _add_tokens(writer: "GGUFWriter", tokenizer: Any, splits: str, size: int) -> None:
    """Name every row of the embedding; rows beyond the tokenizer's last token are never used."""
    from gguf import TokenType

    added = tokenizer.added_tokens_decoder
    names = {number: name for name, number in tokenizer.get_vocab().items()}
    kinds = []
    for number in range(size):
        if number not in names:
            kinds.append(TokenType.UNUSED)
        elif number not in added:
            kinds.append(TokenType.NORMAL)
        else:
            is_control = added[number].special
            kinds.append(TokenType.CONTROL if is_control else TokenType.USER_DEFINED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splits)
    writer.add_token_list([names.get(number, f"[PAD{number}]") for number in range(size)])
    writer.add_token_types(kinds)


def _begins(tokenizer: Any) -> bool:
    """Say whether the tokenizer puts a token of its own before a text."""
    tokens = tokenizer("a").input_ids
    return bool(tokens) and tokens[0] == tokenizer.bos_token_id
