"""Folders become GGUF files once, whole or not at all; what we can't convert is refused."""

import json
import multiprocessing
import os
import shutil
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from core.digests import folder_digest
from core.engines.gguf_adapters import adapter_file
from core.engines.gguf_files import KEPT_FILES, QUANTISATIONS, in_pairs, kept, model_file
from core.engines.llama_config import read_shape
from core.errors import MissingExtraError, StorageError, UnavailableError
from core.settings import PROJECT
from tests import tiny_models

LEAD = PROJECT / "assets" / "models" / "lead"
STEP = {"F32": 0.0, "F16": 2**-11, "Q8_0": 1 / 127, "Q4_0": 1 / 8}
"""Largest error of a value, as a share of the largest in its block."""


def converted(folder: Path, quantisation, cache: Path) -> Path:
    return model_file(folder, folder_digest(folder), quantisation, cache)


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "gguf"


@pytest.mark.parametrize("quantisation", QUANTISATIONS)
def test_weights_come_back_as_near_as_the_quantisation_allows(tiny_folder, cache, quantisation):
    file = converted(tiny_folder, quantisation, cache)
    found = {tensor.name: tensor for tensor in GGUFReader(file).tensors}
    weights = load_file(tiny_folder / "model.safetensors")
    parts = list(read_shape(tiny_folder).parts())
    assert set(found) == {part.gguf_name for part in parts}
    for part in parts:
        tensor = found[part.gguf_name]
        wanted = in_pairs(weights[part.name], part.heads).reshape(-1)
        values = dequantize(tensor.data, tensor.tensor_type).reshape(-1)
        if len(part.shape) == 1:
            assert tensor.tensor_type.name == "F32"
        blocks = np.abs(wanted.reshape(-1, 32)).max(axis=1).repeat(32)
        assert (np.abs(values - wanted) <= STEP[quantisation] * blocks + 1e-7).all()
    edge = {"Q4_0": "Q8_0"}.get(quantisation, quantisation)
    assert found["token_embd.weight"].tensor_type.name == edge
    assert found["blk.0.ffn_up.weight"].tensor_type.name == quantisation


def test_rows_that_are_no_whole_number_of_blocks_stay_halves(tmp_path, cache):
    folder = save_narrow(tmp_path / "narrow")
    reader = GGUFReader(converted(folder, "Q4_0", cache))
    found = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert found["blk.0.attn_q.weight"] == found["token_embd.weight"] == "F16"
    assert found["blk.0.ffn_down.weight"] == "Q4_0"


def save_narrow(folder: Path) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    size = tiny_models.save_tokenizer(folder, None)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=40,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        eos_token_id=0,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_rows_of_a_head_are_paired_as_llama_cpp_rotates_them():
    # Two heads of width 4: the Hub pairs row i with i + 2, llama.cpp neighbours.
    rows = np.arange(8)[:, None]
    assert in_pairs(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert in_pairs(rows, 0) is rows


@given(heads=st.integers(1, 5), half=st.integers(1, 8), width=st.integers(1, 3))
def test_pairing_rows_loses_none(heads, half, width):
    rows = np.arange(heads * 2 * half * width).reshape(heads * 2 * half, width)
    paired = in_pairs(rows, heads)
    assert sorted(paired[:, 0].tolist()) == rows[:, 0].tolist()
    assert (paired.reshape(heads, -1).min(axis=1) == rows.reshape(heads, -1).min(axis=1)).all()


def test_the_same_folder_is_converted_once_and_a_changed_one_anew(folder, cache):
    first = converted(folder, "F16", cache)
    inode = first.stat().st_ino
    assert converted(folder, "F16", cache) == first
    assert first.stat().st_ino == inode
    assert converted(folder, "Q8_0", cache) != first
    tiny_models.change_config(folder, rms_norm_eps=1e-5)
    assert converted(folder, "F16", cache) != first
    assert not list(cache.glob("*.part"))


def test_a_folder_that_changes_while_it_is_converted_is_not_kept(folder, cache):
    with pytest.raises(UnavailableError, match="changed meanwhile"):
        model_file(folder, "sha256:" + "0" * 64, "F32", cache)
    assert not list(cache.glob("*.gguf"))


def test_the_cache_forgets_what_was_unused_for_longest(tmp_path):
    files = []
    for number in range(KEPT_FILES + 2):
        files.append(kept(tmp_path / f"{number}.gguf", lambda path: path.write_text("x"), 1))
        os.utime(files[-1], (number, number))
    kept(files[2], lambda path: path.unlink(), 1)
    kept(tmp_path / "new.gguf", lambda path: path.write_text("x"), 1)
    left = {path.name for path in tmp_path.glob("*.gguf")}
    assert len(left) == KEPT_FILES
    assert {"2.gguf", "new.gguf", files[-1].name} <= left


def convert_and_hang(folder: Path, cache: Path, started) -> None:
    """Run in another process: write half a file, say so, and never end."""

    def write(part: Path) -> None:
        part.write_bytes(b"half")
        started.set()
        signal.pause()

    kept(cache / "hanging.gguf", write, 1)


def test_a_conversion_that_is_killed_leaves_no_file_and_no_lock(folder, cache):
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    child = context.Process(target=convert_and_hang, args=(folder, cache, started))
    child.start()
    assert started.wait(60)
    child.kill()
    child.join(60)
    assert [path.name for path in cache.iterdir() if path.suffix] == ["hanging.part"]
    file = converted(folder, "F32", cache)
    assert GGUFReader(file).tensors
    assert [path.name for path in cache.iterdir() if path.suffix] == [file.name]


def convert_and_report(folder: Path, cache: Path, results) -> None:
    """Run in another process."""
    results.put(converted(folder, "Q8_0", cache).stat().st_ino)


def test_two_processes_at_once_make_one_file(folder, cache):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    children = [
        context.Process(target=convert_and_report, args=(folder, cache, results)) for _ in range(2)
    ]
    for child in children:
        child.start()
    found = {results.get(timeout=120) for _ in children}
    for child in children:
        child.join(60)
    assert len(found) == 1
    assert len(list(cache.glob("*.gguf"))) == 1


def test_too_little_room_and_unwritable_caches_are_said(folder, tmp_path):
    with pytest.raises(StorageError, match="free some space"):
        kept(tmp_path / "x.gguf", lambda path: None, 1 << 60)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written: Not a directory"):
        converted(folder, "F32", tmp_path / "file" / "gguf")


def test_a_missing_package_says_what_to_install(folder, cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingExtraError, match="pip install -r requirements-llama.txt"):
        converted(folder, "F32", cache)


REFUSED_SETTINGS = {
    "model_type": ("gpt2", "model_type is 'gpt2'"),
    "architectures": (["LlamaForSequenceClassification"], "architectures is"),
    "hidden_act": ("gelu", "hidden_act is 'gelu'; it must be 'silu'"),
    "attention_bias": (True, "attention_bias is True"),
    "quantization_config": ({"bits": 4}, "quantization_config is"),
    "hidden_size": (10**9, "hidden_size is 1000000000; it must be a whole number up to 65536"),
    "num_hidden_layers": (True, "num_hidden_layers is True"),
    "vocab_size": (-1, "vocab_size is -1"),
    "num_key_value_heads": (3, "num_key_value_heads is 3"),
    "head_dim": (31, "heads can't be shared or rotated in pairs"),
    "eos_token_id": (None, "eos_token_id is None"),
    "rms_norm_eps": ("small", "rms_norm_eps is 'small'"),
    "rope_parameters": ({"rope_type": "yarn", "rope_theta": 1e4}, "rope_type is 'yarn'"),
    "intermediate_size": (64, "config.json says"),
}


@pytest.mark.parametrize("name", REFUSED_SETTINGS)
def test_a_setting_that_we_cannot_convert_is_named(folder, cache, name):
    value, reason = REFUSED_SETTINGS[name]
    (folder / "generation_config.json").unlink()
    tiny_models.change_config(folder, **{name: value})
    with pytest.raises(UnavailableError, match="can't be converted for llama.cpp") as refusal:
        converted(folder, "F32", cache)
    assert reason in str(refusal.value)
    assert not list(cache.glob("*.gguf"))


def drop(folder: Path) -> None:
    tiny_models.drop_tensor(folder, "model.layers.1.mlp.up_proj.weight")


def add(folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file({**load_file(path), "model.layers.0.self_attn.q_proj.bias": np.zeros(64)}, path)


def add_known_type(folder: Path) -> None:
    path = folder / "model.safetensors"
    bias = {"model.layers.0.self_attn.q_proj.bias": np.zeros(64, np.float32)}
    save_file({**load_file(path), **bias}, path)


def spoil(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["model.norm.weight"][3] = np.nan
    save_file(tensors, path)


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    os.truncate(path, path.stat().st_size - 100)


def lie(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 62) + b"{}")


def lead_out(folder: Path) -> None:
    places = {"model.norm.weight": "../secret.safetensors"}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))


def no_map(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text("{}")


def huge_config(folder: Path) -> None:
    (folder / "config.json").write_text(" " * 1_000_001)


def nested_config(folder: Path) -> None:
    (folder / "config.json").write_text("[" * 100_000)


DAMAGE: dict[Callable[[Path], None], str] = {
    drop: "the weights lack 'model.layers.1.mlp.up_proj.weight'",
    add: "tensor 'model.layers.0.self_attn.q_proj.bias' is F64, not plain floats",
    add_known_type: "no place for tensor 'model.layers.0.self_attn.q_proj.bias'",
    spoil: "tensor 'model.norm.weight' holds values that are no numbers",
    cut: "model.safetensors is missing or damaged",
    lie: "model.safetensors is missing or damaged",
    lambda folder: (folder / "model.safetensors").unlink(): "is missing or damaged",
    lead_out: "names '../secret.safetensors', which is no file beside it",
    no_map: "has no weight_map",
    huge_config: "config.json is larger than 1000000 bytes",
    nested_config: "config.json is no JSON",
    lambda folder: (folder / "config.json").write_text("[]"): "config.json is no JSON object",
    lambda folder: (folder / "config.json").unlink(): "config.json can't be read: No such file",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_folder_is_refused_and_leaves_nothing(folder, cache, damage):
    damage(folder)
    with pytest.raises(UnavailableError, match="can't be converted for llama.cpp") as refusal:
        converted(folder, "F32", cache)
    assert DAMAGE[damage] in str(refusal.value)
    assert not list(cache.glob("*.gguf"))
    assert not list(cache.glob("*.part"))


def test_other_architectures_are_refused(tmp_path, cache):
    folder = tiny_models.save_gpt2(tmp_path / "gpt2")
    with pytest.raises(UnavailableError, match="model_type is 'gpt2'; it must be 'llama'"):
        converted(folder, "F32", cache)


@pytest.fixture
def adapter(adapter_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(adapter_folder, tmp_path / "lora"))


def test_an_adapter_keeps_its_factors_and_alpha(tiny_folder, adapter, cache):
    shape = read_shape(tiny_folder)
    file = adapter_file(adapter, shape, cache)
    assert adapter_file(adapter, shape, cache) == file
    reader = GGUFReader(file)
    assert reader.fields["adapter.lora.alpha"].contents() == 8.0
    found = {tensor.name: tensor.data for tensor in reader.tensors}
    weights = load_file(adapter / "adapter_model.safetensors")
    assert len(found) == len(weights) == 8
    prefix = "base_model.model.model.layers.1.self_attn"
    assert (found["blk.1.attn_v.weight.lora_b"] == weights[f"{prefix}.v_proj.lora_B.weight"]).all()
    paired = in_pairs(weights[f"{prefix}.q_proj.lora_B.weight"], shape.heads)
    assert (found["blk.1.attn_q.weight.lora_b"] == paired).all()


REFUSED_ADAPTER_SETTINGS = {
    "peft_type": ("IA3", "it is a 'IA3' adapter, not LORA"),
    "use_dora": (True, "use_dora is True, which llama.cpp has no place for"),
    "bias": ("all", "bias is 'all'"),
    "modules_to_save": (["lm_head"], "modules_to_save is"),
    "alpha_pattern": ({"q_proj": 2}, "alpha_pattern is"),
    "rank_pattern": ({"q_proj": 2}, "rank_pattern is"),
    "r": (8, "at rank 8"),
    "lora_alpha": (0, "lora_alpha is 0"),
}


@pytest.mark.parametrize("name", REFUSED_ADAPTER_SETTINGS)
def test_an_adapter_that_would_act_otherwise_is_refused(tiny_folder, adapter, cache, name):
    value, reason = REFUSED_ADAPTER_SETTINGS[name]
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(UnavailableError, match="can't be loaded") as refusal:
        adapter_file(adapter, read_shape(tiny_folder), cache)
    assert reason in str(refusal.value)
    assert not list(cache.glob("*.gguf"))


def renamed(adapter: Path, name: str, change: Callable[[str], str]) -> None:
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file({change(key) if key == name else key: v for key, v in tensors.items()}, path)


FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    "other",
    [
        "base_model.model.lm_head.lora_A.weight",
        "base_model.model.model.embed_tokens.lora_embedding_A",
        "base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_norm.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
    ],
)
def test_a_module_that_we_cannot_map_is_refused_not_ignored(tiny_folder, adapter, cache, other):
    renamed(adapter, FIRST, lambda _: other)
    with pytest.raises(UnavailableError, match="no place for tensor"):
        adapter_file(adapter, read_shape(tiny_folder), cache)


def test_half_a_change_is_refused(tiny_folder, adapter, cache):
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    del tensors[FIRST]
    save_file(tensors, path)
    with pytest.raises(UnavailableError, match="half of the change"):
        adapter_file(adapter, read_shape(tiny_folder), cache)
    save_file({}, path)
    with pytest.raises(UnavailableError, match="it holds no tensors"):
        adapter_file(adapter, read_shape(tiny_folder), cache)
