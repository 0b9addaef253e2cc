"""Whatever the architecture, the engine's tokens are those of `generate`."""

from pathlib import Path
from typing import Any

import pytest

from core.engines.transformers_engine import TransformersEngine, load_engine
from core.providers.weights import load_folder
from tests import tiny_models
from tests.core.engines.references import Ties, job_of, model_of, run, tokens_of

ROPE = {"rope_theta": 100.0, "factor": 4.0}
GPT_NEO_LACKS = ("num_hidden_layers", "num_attention_heads")
PROMPTS = ([20, 21, 22, 23, 24, 25, 26, 27, 28, 29], [40], [51, 52, 53, 54])


def save(folder: Path, kind: str) -> Path:
    """Write a tiny random model of this architecture."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    size = tiny_models.save_tokenizer(folder, tiny_models.TEMPLATE)
    common = {"vocab_size": size, "hidden_size": 32, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "bos_token_id": None, "eos_token_id": 0, "pad_token_id": 1}
    own: dict[str, dict[str, Any]] = {
        "llama": {"num_key_value_heads": 2, "intermediate_size": 64},
        "qwen3": {"num_key_value_heads": 1, "intermediate_size": 64, "head_dim": 8},
        "phi": {"intermediate_size": 64},
        "mistral": {"num_key_value_heads": 2, "intermediate_size": 64, "sliding_window": 4},
        "bloom": {},
        "mamba": {},
        "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 12},
        "dynamic": {
            "max_position_embeddings": 12,
            "rope_parameters": {**ROPE, "rope_type": "dynamic"},
        },
        "longrope": {
            "max_position_embeddings": 64,
            "rope_parameters": {
                **ROPE,
                "rope_type": "longrope",
                "short_factor": [1.0] * 4,
                "long_factor": [3.0] * 4,
                "original_max_position_embeddings": 12,
            },
        },
    }
    values = {**common, **heads, **own[kind]}
    if kind == "gpt_neo":
        values = {**values, "num_layers": 2, "num_heads": 4, "max_position_embeddings": 64}
        values = {name: value for name, value in values.items() if name not in GPT_NEO_LACKS}
    if kind == "mamba":
        values.pop("num_attention_heads")
    if kind == "bloom":
        values = {**values, "n_head": 4}
    config = AutoConfig.for_model("llama" if kind in ("dynamic", "longrope") else kind, **values)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(3)
        model = AutoModelForCausalLM.from_config(config)
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(8)
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "is_batched"),
    [
        ("llama", True),
        ("qwen3", True),
        ("phi", True),
        ("mistral", False),
        ("bloom", False),
        ("mamba", False),
        ("gpt_neo", False),
        ("dynamic", False),
        ("longrope", False),
    ],
)
def test_every_kind_says_what_generate_says(kind: str, is_batched: bool, tmp_path: Path) -> None:
    folder = save(tmp_path, kind)
    engine, alone, ties = load_engine(kind, folder, "fp32"), model_of(folder), Ties()
    assert (engine._batch is not None) == is_batched
    jobs = [job_of(prompt, 25) for prompt in PROMPTS]
    for job, found in zip(jobs, run(engine, jobs), strict=True):
        ties.check(alone, job, found)
    engine.close()
    assert ties.count == 0


def test_a_model_whose_rows_run_alone_can_be_cancelled_and_closed(tmp_path: Path) -> None:
    engine = load_engine("mistral", save(tmp_path, "mistral"), "fp32")
    running, waiting = job_of([20], 1500), job_of([21], 5)
    futures = [engine.submit(running), engine.submit(waiting)]
    running.tokens.get(timeout=60)
    running.cancelled.set()
    for future in futures:
        future.result(60)
    assert len(tokens_of(running)) < 1499
    assert len(tokens_of(waiting)) == 5
    with pytest.raises(IndexError):
        engine.submit(job_of([10**6], 5)).result(60)
    assert len(run(engine, [job_of([20], 3)])[0]) == 3
    engine.close()


def test_dynamic_angles_do_not_remember_the_last_long_answer(tmp_path: Path) -> None:
    engine = load_engine("dynamic", save(tmp_path, "dynamic"), "fp32")
    long, short, ties = job_of([20] * 60, 3), job_of([21] * 20, 15), Ties()
    run(engine, [long])
    ties.check(model_of(tmp_path), short, run(engine, [short])[0])
    engine.close()


def test_who_is_cancelled_while_waiting_leaves_at_once_where_rows_run_alone(
    tmp_path: Path,
) -> None:
    engine = load_engine("mistral", save(tmp_path, "mistral"), "fp32")
    assert engine.is_serial
    running, waiting = job_of([20], 100_000), [job_of([21], 5) for _ in range(20)]
    futures = [engine.submit(job) for job in (running, *waiting)]
    grouped = engine.submit_together([job_of([22], 5, cancelled=waiting[1].cancelled)])
    running.tokens.get(timeout=60)
    for job in waiting[1:]:
        job.cancelled.set()
    for future in (*futures[2:], *grouped):
        future.result(60)
    assert not futures[0].done()
    assert not futures[1].done()
    running.ended.set()
    futures[1].result(60)
    assert len(tokens_of(waiting[0])) == 5
    engine.close()


def test_attention_that_adds_its_mask_gives_the_same(tiny_folder: Path) -> None:
    loaded = load_folder("tiny", tiny_folder, "fp32")
    loaded.model.set_attn_implementation("eager")
    engine = TransformersEngine("tiny", loaded.model, loaded.tokenizer, "d")
    assert engine._batch is not None
    ties, alone = Ties(), model_of(tiny_folder)
    jobs = [job_of(prompt, 25) for prompt in PROMPTS]
    for job, found in zip(jobs, run(engine, jobs), strict=True):
        ties.check(alone, job, found)
    engine.close()
    assert ties.count == 0


@pytest.mark.parametrize("precision", ["bf16", "int8", "nf4"])
def test_smaller_precisions_are_batched_too(precision: Any, tiny_folder: Path) -> None:
    engine = load_engine("tiny", tiny_folder, precision)
    assert engine._batch is not None
    jobs = [job_of(prompt, 12) for prompt in PROMPTS]
    assert [len(found) for found in run(engine, jobs)] == [12, 12, 12]
    engine.close()
