"""An adapter that is more than plain LoRA is refused before it can touch the base."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.engines.adapters import Adapters
from core.engines.gguf_adapters import adapter_file
from core.engines.llama_config import read_shape
from core.engines.transformers_engine import TransformersEngine
from core.errors import UnavailableError
from core.providers.weights import load_folder
from tests import tiny_models
from tests.core.engines.references import job_of, model_of, run

FIRST = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def engine(tiny_folder: Path) -> Iterator[TransformersEngine]:
    loaded = load_folder("tiny", tiny_folder, "fp32")
    made = TransformersEngine("tiny", loaded.model, loaded.tokenizer, "d")
    yield made
    made.close()


def base_digest(model: Any) -> str:
    """Return a digest of the base's values, whatever lies beside them."""
    total = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if "lora_" not in name:
            total.update(name.replace(".base_layer", "").encode() + value.numpy().tobytes())
    return total.hexdigest()


def with_settings(**values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def with_tensor(name: str, value: float | None = None) -> Callable[[Path], None]:
    """Add a tensor of ones, or spoil one with a value."""

    def change(folder: Path) -> None:
        import torch

        path = folder / "adapter_model.safetensors"
        tensors = tiny_models.load_file(path)
        if value is None:
            tensors[name] = torch.ones(64, 64)
        else:
            tensors[name][0, 0] = value
        tiny_models.save_file(tensors, path, {"format": "pt"})

    return change


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "saved modules": (with_settings(modules_to_save=["lm_head"]), "modules_to_save is"),
    "tokens": (with_settings(trainable_token_indices=[3]), "trainable_token_indices is"),
    "biases": (with_settings(bias="lora_only"), "bias is 'lora_only'"),
    "olora": (with_settings(init_lora_weights="olora"), "init_lora_weights is 'olora'"),
    "pissa": (with_settings(init_lora_weights="pissa_niter_4"), "init_lora_weights is 'pissa"),
    "copied layers": (with_settings(layer_replication=[[0, 2], [0, 2]]), "layer_replication is"),
    "dora": (with_settings(use_dora=True), "use_dora is True"),
    "what peft may learn": (with_settings(use_future={"a": 1}), "use_future is"),
    "a base weight": (with_tensor(f"{FIRST}.base_layer.weight"), "it holds '.*base_layer.weight"),
    "an output layer": (with_tensor("base_model.model.lm_head.weight"), "it holds '.*lm_head"),
    "no number": (with_tensor(f"{FIRST}.lora_B.weight", float("nan")), "no finite numbers"),
    "infinity": (with_tensor(f"{FIRST}.lora_A.weight", float("inf")), "no finite numbers"),
    "a huge number": (with_tensor(f"{FIRST}.lora_A.weight", 3e38), "no finite numbers"),
    "an endless scale": (with_settings(lora_alpha=float("nan")), "no finite numbers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_more_than_two_matrices_is_refused_and_leaves_the_base_alone(
    name: str, engine: TransformersEngine, adapter_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(adapter_folder, tmp_path / "wrong"))
    change, reason = WRONG[name]
    change(folder)
    digest, said = base_digest(engine._model), run(engine, [job_of([20, 21], 12)])
    with pytest.raises(UnavailableError, match=reason):
        engine.adapter_digest(name, folder)
    assert not engine.has_adapter(name)
    assert base_digest(engine._model) == digest
    assert run(engine, [job_of([20, 21], 12)]) == said


@pytest.mark.parametrize(
    "options",
    [
        {"modules_to_save": ["lm_head"]},
        {"trainable_token_indices": [3, 4]},
        {"init_lora_weights": "pissa"},
    ],
    ids=str,
)
def test_what_peft_itself_saves_of_such_kinds_is_refused_by_every_engine(
    options: dict[str, Any], tiny_folder: Path, tmp_path: Path
) -> None:
    from peft import LoraConfig, get_peft_model

    model = model_of(tiny_folder)
    digest = base_digest(model)
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", **options)
    get_peft_model(model_of(tiny_folder), config).save_pretrained(tmp_path / "saved")
    with pytest.raises(UnavailableError, match=f"{next(iter(options))} is"):
        Adapters(model).add("v1", tmp_path / "saved")  # as ZeroGPU does
    assert base_digest(model) == digest
    with pytest.raises(UnavailableError, match=f"{next(iter(options))} is"):
        adapter_file(tmp_path / "saved", read_shape(tiny_folder), tmp_path / "gguf")


@pytest.mark.parametrize("begun", [True, False, "gaussian", "orthogonal"])
def test_how_a_training_began_does_not_matter_where_the_base_stays_as_it_was(
    begun: Any, tiny_folder: Path, adapter_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(adapter_folder, tmp_path / "plain"))
    with_settings(init_lora_weights=begun)(folder)
    model = model_of(tiny_folder)
    digest = base_digest(model)
    Adapters(model).load("v1", folder)
    assert base_digest(model) == digest


def test_an_adapter_of_no_numbers_is_refused_without_being_tried(
    tiny_folder: Path, adapter_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(adapter_folder, tmp_path / "wrong"))
    with_tensor(f"{FIRST}.lora_B.weight", float("nan"))(folder)
    with pytest.raises(UnavailableError, match="no finite numbers"):
        Adapters(model_of(tiny_folder)).add("v1", folder)
    with pytest.raises(UnavailableError, match="holds values that are no numbers"):
        adapter_file(folder, read_shape(tiny_folder), tmp_path / "gguf")
    assert not list((tmp_path / "gguf").glob("*.gguf"))
