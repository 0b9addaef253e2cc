"""GGUF files for llama.cpp, made once from a folder of the Hub's format and kept by digest.

The file's vocabulary is not the model's: its token 17 reads `17,`. Prompts go in as ids, and what
comes out is read back as ids, so that tokenizer, template and byte handling stay those of the
folder, whatever its tokenizer is. Such a file is of no use to other programs.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.digests import folder_digest
from core.engines.generation_settings import NotConvertible
from core.engines.llama_config import LlamaShape, Part, read_object, read_shape
from core.errors import MissingExtraError, StorageError, UnavailableError

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter

Quantisation = Literal["F32", "F16", "Q8_0", "Q4_0"]
QUANTISATIONS: tuple[Quantisation, ...] = ("F32", "F16", "Q8_0", "Q4_0")
KEPT_FILES = 256
"""Files that the cache keeps; beyond that, those unused for longest go."""
FORMAT = 2
"""Part of the files' names; changes when the same folder would give another file."""
DTYPES: Mapping[str, str] = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
INSTALL = "pip install -r requirements-llama.txt"


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies in a safetensors file."""

    path: Path
    offset: int
    dtype: str
    shape: tuple[int, ...]

    def read(self) -> "np.ndarray":
        """Return the values as 32-bit floats."""
        import numpy as np

        kind = DTYPES[self.dtype]
        raw = np.memmap(self.path, kind, "r", self.offset, self.shape)
        if self.dtype == "BF16":
            return (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.astype(np.float32)


def model_file(folder: Path, digest: str, quantisation: Quantisation, cache: Path) -> Path:
    """Return the folder's GGUF file, converted now unless the cache has it.

    `digest` is `core.digests.folder_digest` of the folder. Matrices are quantised and norms stay
    F32; under Q4_0 the embedding and the output layer are Q8_0; a matrix whose rows are no
    multiple of 32 stays F16.

    Raises:
        UnavailableError: the folder is no Llama that we can convert, or it is damaged.
        MissingExtraError: the package `gguf` is not installed.
        StorageError: the file can't be written.
    """
    shape = read_shape(folder)
    name = f"{digest.removeprefix('sha256:')}-{quantisation}-{FORMAT}.gguf"

    def write(target: Path) -> None:
        try:
            _write_model(folder, shape, quantisation, target)
            if folder_digest(folder) != digest:
                raise NotConvertible("its files changed meanwhile; ask again")
        except NotConvertible as error:
            raise UnavailableError(
                f"{str(folder)!r} can't be converted for llama.cpp: {error}"
            ) from error

    return kept(cache / name, write, shape.parameters * 4)


def kept(target: Path, write: Callable[[Path], None], size_bytes: int) -> Path:
    """Return the cache's file, written first if it is not there; safe among processes.

    `write` gets another path, which becomes the target once it is complete and on the disk.
    `size_bytes` is the most it may need.

    Raises:
        StorageError: the file can't be written, or there is no room for it.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            with _alone(target.parent / "lock"):
                if not target.exists():
                    _complete(target, write, size_bytes)
                    _forget_oldest(target.parent)
        os.utime(target)
    except OSError as error:
        raise StorageError(f"{str(target)!r} can't be written: {error.strerror}") from error
    return target


def _complete(target: Path, write: Callable[[Path], None], size_bytes: int) -> None:
    _check_room(target.parent, size_bytes)
    part = target.with_suffix(".part")
    try:
        write(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a file's lock, which ends with the process too; the file stays."""
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _check_room(folder: Path, size_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size_bytes:
        raise StorageError(
            f"converting needs up to {size_bytes / 1e9:.1f} GB in {str(folder)!r} and "
            f"{free / 1e9:.1f} GB are free; free some space"
        )


def _forget_oldest(folder: Path) -> None:
    """Delete what was unused for longest, and what a killed process left half written."""
    for path in folder.glob("*.part"):
        path.unlink(missing_ok=True)
    found = sorted(folder.glob("*.gguf"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[KEPT_FILES:]:
        path.unlink(missing_ok=True)


def open_writer(target: Path) -> "GGUFWriter":
    """Return a writer of a Llama's file.

    Raises:
        MissingExtraError: the package `gguf` is not installed.
    """
    try:
        from gguf import GGUFWriter
    except ImportError as error:
        raise MissingExtraError(f"llama.cpp needs the package gguf: {INSTALL}") from error
    return GGUFWriter(target, "llama")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return where the file's tensors lie; the safetensors library has checked the layout.

    Raises:
        NotConvertible: the file is missing or damaged, or a tensor is no plain float.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"), path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(size))
    except (OSError, ValueError, SafetensorError) as error:
        raise NotConvertible(f"{path.name} is missing or damaged") from error
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        if entry["dtype"] not in DTYPES:
            raise NotConvertible(f"tensor {name[:100]!r} is {entry['dtype']}, not plain floats")
        offset = 8 + size + entry["data_offsets"][0]
        found[name] = Tensor(path, offset, entry["dtype"], tuple(entry["shape"]))
    return found


def in_pairs(rows: "np.ndarray", heads: int) -> "np.ndarray":
    """Order the rows of each head as llama.cpp rotates them: pairs side by side; (rows, ...)."""
    import numpy as np

    if not heads:
        return rows
    pairs = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(rows.shape))


def _write_model(folder: Path, shape: LlamaShape, quantisation: Quantisation, target: Path) -> None:
    import numpy as np

    writer = open_writer(target)
    from gguf.quants import quant_shape_to_byte_shape, quantize

    tensors = _folder_tensors(folder)
    parts = list(shape.parts())
    _check(parts, tensors, shape)
    _add_settings(writer, shape)
    kinds = [_kind(part, quantisation) for part in parts]
    factors = np.array(shape.rope_factors, np.float32)
    if shape.rope_factors:
        writer.add_tensor_info("rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes)
    for part, kind in zip(parts, kinds, strict=True):
        size = quant_shape_to_byte_shape(part.shape, kind)
        writer.add_tensor_info(part.gguf_name, size, np.dtype(np.uint8), prod(size), kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        if shape.rope_factors:
            writer.write_tensor_data(factors)
        for part, kind in zip(parts, kinds, strict=True):
            values = in_pairs(tensors[part.name].read(), part.heads)
            if not np.isfinite(values).all():
                raise NotConvertible(f"tensor {part.name!r} holds values that are no numbers")
            writer.write_tensor_data(quantize(values, kind))
    finally:
        writer.close()


def _folder_tensors(folder: Path) -> dict[str, Tensor]:
    """Return all tensors of the folder's one file or of its shards."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return read_tensors(folder / "model.safetensors")
    places = read_object(index).get("weight_map")
    if not isinstance(places, dict):
        raise NotConvertible(f"{index.name} has no weight_map")
    found: dict[str, Tensor] = {}
    for shard in sorted(set(map(str, places.values()))):
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise NotConvertible(f"{index.name} names {shard[:100]!r}, which is no file beside it")
        found.update(read_tensors(folder / shard))
    return found


def _check(parts: Sequence[Part], tensors: Mapping[str, Tensor], shape: LlamaShape) -> None:
    """Refuse weights that lack a part, have another shape or hold what we would leave out."""
    for part in parts:
        if part.name not in tensors:
            raise NotConvertible(f"the weights lack {part.name!r}")
        if tensors[part.name].shape != part.shape:
            raise NotConvertible(
                f"{part.name!r} is {tensors[part.name].shape}; config.json says {part.shape}"
            )
    known = {part.name for part in parts}
    if shape.is_tied and "lm_head.weight" in tensors:
        known.add("lm_head.weight")
        _check_tied(tensors["model.embed_tokens.weight"], tensors["lm_head.weight"])
    # Files of old versions of the library hold the angles, which follow from the settings.
    strange = {name for name in tensors if not name.endswith(".rotary_emb.inv_freq")} - known
    if strange:
        raise NotConvertible(f"no place for tensor {min(strange)[:100]!r}")


def _check_tied(one: Tensor, other: Tensor) -> None:
    if one.shape != other.shape or (one.read() != other.read()).any():
        raise NotConvertible(
            "tie_word_embeddings is true and lm_head.weight differs; choose engine: transformers"
        )


def _add_settings(writer: "GGUFWriter", shape: LlamaShape) -> None:
    from gguf import TokenType

    writer.add_context_length(shape.positions)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.shared_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_freq_base(shape.theta)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([f"{token}," for token in range(shape.vocabulary)])
    writer.add_token_types([TokenType.NORMAL] * shape.vocabulary)
    writer.add_token_merges(["1 ,"])  # llama.cpp wants some; nothing is ever tokenized
    writer.add_eos_token_id(shape.end_tokens[0])
    writer.add_add_bos_token(False)


def _kind(part: Part, quantisation: Quantisation) -> "GGMLQuantizationType":
    from gguf import GGMLQuantizationType as Kind

    if len(part.shape) == 1:
        return Kind.F32
    if quantisation in ("Q8_0", "Q4_0") and part.shape[-1] % 32:
        return Kind.F16
    if quantisation == "Q4_0" and not part.gguf_name.startswith("blk."):
        return Kind.Q8_0
    return Kind[quantisation]
