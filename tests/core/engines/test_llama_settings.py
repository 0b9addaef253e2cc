"""What llama.cpp would leave out is refused, and then `auto` takes transformers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from core.catalog import ModelEntry
from core.digests import folder_digest
from core.engines.choice import choose_engine
from core.engines.gguf_files import model_file
from core.engines.llama_config import read_shape
from core.engines.llama_cpp import LlamaCppEngine
from core.engines.llama_server import LlamaOptions, plan_for
from core.errors import UnavailableError
from core.providers.weights import load_tokenizer
from core.settings import PROJECT
from tests import tiny_models
from tests.core.engines.references import job_of, tokens_of

WAIT_S = 60
DROPPED: dict[str, Any] = {
    "repetition_penalty": 1.1,
    "no_repeat_ngram_size": 3,
    "suppress_tokens": [5],
    "begin_suppress_tokens": [5],
    "bad_words_ids": [[5]],
    "min_new_tokens": 4,
    "forced_eos_token_id": 0,
    "sequence_bias": [[[5], -1.0]],
    "a_setting_of_later": True,
}


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def ask_for(folder: Path, **settings: Any) -> None:
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


@pytest.mark.parametrize("name", DROPPED)
def test_a_generation_setting_that_would_be_dropped_is_refused(name: str, folder: Path) -> None:
    ask_for(folder, **{name: DROPPED[name]})
    with pytest.raises(UnavailableError, match=f"generation setting {name} is .*would drop"):
        read_shape(folder)


def test_auto_takes_transformers_for_such_a_model_and_says_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.engines.choice.LEAST_PARAMETERS", 1000)
    entry = ModelEntry(provider="local", path=str(folder), context=512)
    assert choose_engine(entry, folder, has_adapters=False).engine == "llama.cpp"
    tiny_models.change_config(folder, repetition_penalty=1.3)
    choice = choose_engine(entry, folder, has_adapters=False)
    assert choice.engine == "transformers"
    assert "repetition_penalty is 1.3" in choice.reason


def test_settings_that_ask_for_nothing_are_taken(folder: Path) -> None:
    nothing = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "suppress_tokens": None}
    chosen = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "max_length": 4096}
    ask_for(folder, **nothing, **chosen)
    before = read_shape(folder)
    assert before.end_tokens == (0,)
    for model in ("lead", "understudy"):
        read_shape(PROJECT / "assets" / "models" / model)


def test_an_output_layer_of_its_own_is_not_left_out_of_a_tied_model(
    folder: Path, tmp_path: Path
) -> None:
    tiny_models.change_config(folder, tie_word_embeddings=True)
    path = folder / "model.safetensors"
    with pytest.raises(UnavailableError, match="lm_head.weight differs; choose engine"):
        model_file(folder, folder_digest(folder), "F32", tmp_path / "gguf")
    tensors = load_file(path)
    tensors["lm_head.weight"] = np.copy(tensors["model.embed_tokens.weight"])
    save_file(tensors, path, {"format": "pt"})
    assert model_file(folder, folder_digest(folder), "F32", tmp_path / "gguf").is_file()


def test_who_is_cancelled_while_waiting_for_the_one_slot_leaves_at_once(
    tiny_folder: Path, tmp_path: Path
) -> None:
    shape, digest = read_shape(tiny_folder), folder_digest(tiny_folder)
    options = LlamaOptions("F32", 2048, tmp_path)
    file = model_file(tiny_folder, digest, "F32", tmp_path)
    plan = replace(plan_for(shape, file, options), slots=1)
    engine = LlamaCppEngine(load_tokenizer("tiny", tiny_folder), digest, shape, plan)
    assert engine.is_serial
    running, waiting = job_of([20], 2000), [job_of([21], 5) for _ in range(200)]
    futures = [engine.submit(job) for job in (running, *waiting)]
    running.tokens.get(timeout=WAIT_S)
    for job in waiting[1:]:
        job.cancelled.set()
    for future in futures[2:]:
        future.result(WAIT_S)
    assert not futures[0].done()
    running.ended.set()
    futures[1].result(WAIT_S)
    assert len(tokens_of(waiting[0])) == 5
    engine.close()
