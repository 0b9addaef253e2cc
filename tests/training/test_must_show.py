"""What a base must be, that evaluations leave training alone, and that damage is told."""

from pathlib import Path
from typing import Any

import pytest
import torch

from core.catalog_files import load_catalog
from core.errors import InputError, NotFoundError
from tests.training.tiny_runs import config_of, settings_of
from training.events import EventLog
from training.job_facts import run_facts
from training.recipes.base_model import load_base, lora_config
from training.run_folder import create_run


def gradients(model: Any) -> dict[str, torch.Tensor]:
    """Return the gradients of one step in training."""
    tokens = torch.arange(24)[None]
    model.train()
    model.zero_grad()
    model(input_ids=tokens, labels=tokens).loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def test_an_evaluation_changes_no_gradient_on_any_processor(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With AVX512-BF16, bitsandbytes repacks 4-bit weights in it, which pass on no gradient."""
    from bitsandbytes.nn import modules
    from peft import get_peft_model

    # The processor is pretended: the defect must show on those that lack the instructions too.
    monkeypatch.setattr(modules, "has_avx512bf16", lambda: True)
    config = config_of(home, dropout=0.0)
    base = load_base(config, home / "llama").model
    torch.manual_seed(0)
    model = get_peft_model(base, lora_config(config, base))
    before = gradients(model)
    model.eval()
    with torch.no_grad():
        model(input_ids=torch.arange(24)[None])
    after = gradients(model)
    assert any(gradient.abs().max() > 0 for gradient in before.values())
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


def save_bert(folder: Path) -> None:
    from transformers import BertConfig, BertForMaskedLM

    shape = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=512, num_hidden_layers=1, **shape)
    BertForMaskedLM(config).save_pretrained(folder)


def save_t5(folder: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=512, d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2)
    T5ForConditionalGeneration(config).save_pretrained(folder)


@pytest.mark.parametrize("save", [save_bert, save_t5])
@pytest.mark.parametrize("method", ["qlora", "lora"])
def test_a_base_that_predicts_no_next_token_is_refused(
    home: Path, tmp_path: Path, save: Any, method: str
) -> None:
    save(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((home / "llama" / name).read_bytes())
    with pytest.raises(InputError, match="no causal language model"):
        load_base(config_of(home, model="odd", method=method), tmp_path)


def test_a_base_that_is_not_there_is_refused_before_anything_is_written(home: Path) -> None:
    (home / "empty").mkdir()
    models = "".join(
        f"  {name}: {{provider: local, path: {home / name}, context: 512}}\n"
        for name in ("gone", "empty")
    )
    lent = home / "other" / "catalog.yaml"
    lent.parent.mkdir()
    lent.write_text(f"models:\n{models}", encoding="utf-8")
    catalog = load_catalog(settings_of(lent.parent))
    for name, error, text in (
        ("gone", NotFoundError, "has no folder"),
        ("empty", InputError, "no config.json"),
    ):
        with pytest.raises(error, match=text):
            create_run(home, "refused", config_of(home, model=name), catalog)
    assert not (home / "runs" / "refused").exists()


def test_a_job_tells_what_its_workers_warned_of(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    damage = {"path": "checkpoints/step-9.damaged", "reason": "optimizer.pt is gone"}
    log.write("warning", 0, what="damaged_checkpoint_set_aside", **damage)
    log.write("started", 6, total_steps=12, resumed_from="step-6")
    log.write("warning", 9, what="mirror_behind", behind=3, error=None)
    changed = {"torch": {"was": "1", "is": "2"}}
    log.write("warning", 0, what="resumed_elsewhere", changed=changed)
    log.write("warning", 0, what="of_a_later_version", more=1)
    log.close()
    facts = run_facts(tmp_path)
    assert facts.resumed_from == "step-6"
    assert facts.warnings == (
        "checkpoints/step-9.damaged is damaged and set aside: optimizer.pt is gone",
        "step 9: the mirror is 3 checkpoints behind",
        "the numbers may differ from an uninterrupted run's: torch was 1 and is 2",
        "of a later version, more 1",
    )
