"""What is trained on, which layers get an adapter, and what the loss is, on real tiny models."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.errors import InputError, TrainingError
from core.messages import Message
from core.providers.weights import load_folder
from tests.training.tiny_runs import config_of, make_home, talk
from training.config import Method, Recipe
from training.datasets import Example, supervise
from training.datasets.example import example_of
from training.recipes.base_model import check_trainable, linear_layers, load_base, lora_config
from training.recipes.batches import sft_tensors
from training.recipes.course import Course
from training.recipes.hooks import Hooks
from training.recipes.rows import IGNORED, Row, prepare
from training.recipes.scored import add_scored_forward, check_loss
from training.recipes.trainers import build_trainer


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield make_home(tmp_path_factory.mktemp("home"))
    torch.set_num_threads(threads)


def examples(count: int) -> list[Example]:
    """Return conversations of different lengths."""
    return [example_of(talk(index)) for index in range(count)]


def preferences(count: int) -> list[Example]:
    """Return pairs: the first half of what is said is the worse answer."""
    found = []
    for each in examples(count):
        worse = Message("assistant", each.messages[-1].text[::-1] + " no")
        found.append(
            Example(
                id=each.id,
                messages=each.messages[:1],
                kind="preference",
                chosen=each.messages[1:],
                rejected=(worse,),
            )
        )
    return found


def thumbs(count: int) -> list[Example]:
    """Return answers, every third of them a bad one."""
    return [
        Example(id=e.id, messages=e.messages, kind="unpaired", label=bool(int(e.id) % 3))
        for e in examples(count)
    ]


OF_RECIPE = {"sft": examples, "dpo": preferences, "kto": thumbs}


def losses_of(home: Path, scratch: Path, recipe: Recipe = "sft", **values: Any) -> list[float]:
    """Train a few steps; return the losses as they are reported."""
    found: list[float] = []

    def report(kind: str, _step: int, told: Any) -> None:
        if kind == "step":
            found.append(told["loss"])

    trainer_of(home, scratch, recipe, report, **values).train()
    return found


def trainer_of(
    home: Path, scratch: Path, recipe: Recipe = "sft", report: Any = None, **values: Any
) -> Any:
    config = config_of(home, recipe=recipe, **{"max_steps": 3, **values})
    weights = load_base(config, home / config.model)
    rows = prepare(OF_RECIPE[recipe](24), weights.tokenizer, config.max_length, recipe)
    hooks = Hooks(report=report or (lambda *_: None), stops=lambda: False)
    return build_trainer(weights, Course(config, rows, rows[:6]), scratch, hooks).trainer


# Layers


@pytest.mark.parametrize("precision", ["fp32", "nf4"])
@pytest.mark.parametrize(
    ("name", "ends", "count"),
    [
        (
            "llama",
            {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
            14,
        ),
        ("gpt2", {"c_attn", "c_proj", "c_fc"}, 4),
    ],
)
def test_every_linear_layer_is_found_but_the_outputs(
    home: Path, name: str, ends: set[str], count: int, precision: Any
) -> None:
    model = load_folder(name, home / name, precision).model
    found = linear_layers(model)
    assert {layer.rsplit(".", 1)[-1] for layer in found} == ends
    assert len(found) == count


def test_an_architecture_without_a_linear_layer_is_refused() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(4, 4), nn.Linear(4, 4)

        def get_output_embeddings(self) -> nn.Module:
            return self.head

    with pytest.raises(TrainingError, match="no linear layer"):
        linear_layers(Odd())


@pytest.mark.parametrize("method", ["lora", "qlora"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_an_adapter_trains_its_own_weights_alone(
    home: Path, tmp_path: Path, name: str, method: Method
) -> None:
    model = trainer_of(home, tmp_path, model=name, method=method, packing=False).model
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in n and p.dtype == torch.float32 for n, p in trained.items())
    counts = check_trainable(model, method, 14 if name == "llama" else 4)
    assert counts["trainable_parameters"] == sum(p.numel() for p in trained.values())
    plain = load_folder(name, home / name, "fp32").model
    own = sum(p.numel() for p in plain.parameters())
    assert counts["parameters"] == own + counts["trainable_parameters"]


def test_a_silent_full_fine_tune_is_refused(home: Path) -> None:
    model = load_folder("llama", home / "llama", "fp32").model
    with pytest.raises(TrainingError, match="must train an adapter"):
        check_trainable(model, "lora", 14)
    for parameter in model.parameters():
        parameter.requires_grad = False
    with pytest.raises(TrainingError, match="0 tensors"):
        check_trainable(model, "qlora", 14)


def test_an_adapter_on_too_few_layers_is_refused(home: Path) -> None:
    from peft import get_peft_model

    model = load_folder("llama", home / "llama", "fp32").model
    config = lora_config(config_of(home), model)
    config.target_modules = ["q_proj"]
    tuned = get_peft_model(model, config)
    with pytest.raises(TrainingError, match="on 2 layers"):
        check_trainable(tuned, "lora", 14)


# Rows


def test_labels_are_the_audits_masks(home: Path) -> None:
    tokenizer = load_folder("llama", home / "llama", "fp32").tokenizer
    given = examples(12)
    for example, row in zip(given, prepare(given, tokenizer, 64, "sft"), strict=True):
        told = supervise(example, tokenizer, 64)
        assert row.answer.tokens.tolist() == told.tokens
        is_learnt = [label != IGNORED for label in row.answer.labels]
        assert is_learnt == told.is_supervised
        assert all(
            label in (token, IGNORED)
            for token, label in zip(told.tokens, row.answer.labels.tolist(), strict=True)
        )


def test_rows_that_teach_nothing_stop_the_run(home: Path) -> None:
    tokenizer = load_folder("llama", home / "llama", "fp32").tokenizer
    with pytest.raises(InputError, match=r"12 of 12 examples have no supervised token within 8"):
        prepare(examples(12), tokenizer, 8, "sft")


@pytest.mark.parametrize("recipe", ["sft", "dpo", "kto"])
def test_a_recipe_takes_its_own_kind_of_examples(home: Path, recipe: Recipe) -> None:
    tokenizer = load_folder("llama", home / "llama", "fp32").tokenizer
    other: dict[Recipe, Recipe] = {"sft": "dpo", "dpo": "kto", "kto": "sft"}
    prepare(OF_RECIPE[recipe](3), tokenizer, 128, recipe)
    with pytest.raises(InputError, match="are of another kind"):
        prepare(OF_RECIPE[other[recipe]](3), tokenizer, 128, recipe)


# Loss


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_process_without_an_example_of_a_step_adds_nothing(
    home: Path, tmp_path: Path, name: str
) -> None:
    trainer = trainer_of(home, tmp_path, model=name, batch_size=1, packing=False)
    course = Course(trainer.course.config, trainer.course.rows, world=2)
    learnt = torch.tensor(course.learnt(0))
    for rank, is_mine in ((0, True), (1, False)):
        pieces = course.pieces(0, rank)
        loss = trainer.training_step(trainer.model, {"pieces": pieces}, learnt)
        moved = sum(float(p.grad.norm()) for p in trainer.model.parameters() if p.requires_grad)
        assert (bool(loss > 0), moved > 0) == (is_mine, is_mine)
        trainer.model.zero_grad(set_to_none=False)


def rows_of(home: Path, name: str, count: int) -> tuple[Any, Sequence[Row]]:
    weights = load_folder(name, home / name, "fp32")
    return weights.model, prepare(examples(count), weights.tokenizer, 128, "sft")


def by_hand(model: Any, row: Row) -> float:
    """Return the sum of the losses of one example alone, from all its logits."""
    tokens = torch.tensor(row.answer.tokens, dtype=torch.long)[None]
    logits = model(input_ids=tokens).logits[0, :-1].double().log_softmax(-1)
    labels = torch.tensor(row.answer.labels[1:], dtype=torch.long)
    return float(-sum(logits[i, label] for i, label in enumerate(labels) if label != IGNORED))


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@torch.no_grad()
def test_packed_examples_have_the_loss_they_have_alone(home: Path, name: str) -> None:
    model, rows = rows_of(home, name, 12)
    part = ((0, 1, 2), (3, 4), (5, 6, 7, 8, 9), (10,), (11,))
    add_scored_forward(model)
    tensors = sft_tensors(part, rows)
    options = {k: v for k, v in tensors.items() if k != "labels"}
    total = float(model(**options, scored=tensors["labels"]))
    assert total == pytest.approx(sum(by_hand(model, row) for row in rows), rel=1e-5)
    check_loss(model, tensors, torch.tensor(total))
    with pytest.raises(TrainingError, match="set packing to false"):
        check_loss(model, tensors, torch.tensor(total * 1.01))


@torch.no_grad()
def test_examples_that_see_each_other_are_noticed(home: Path) -> None:
    """Positions that run on through a row are what an architecture without packing would see."""
    model, rows = rows_of(home, "llama", 6)
    add_scored_forward(model)
    tensors = sft_tensors(((0, 1, 2, 3, 4, 5),), rows)
    mixed = model(input_ids=tensors["input_ids"], scored=tensors["labels"])
    with pytest.raises(TrainingError, match="packed examples"):
        check_loss(model, tensors, mixed)


def test_many_logits_are_scored_in_slices(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import training.recipes.scored as scored

    model, rows = rows_of(home, "llama", 6)
    tensors = sft_tensors(tuple((i,) for i in range(6)), rows)
    options = {k: v for k, v in tensors.items() if k != "labels"}
    add_scored_forward(model)
    found = []
    for most in (2**26, 320 * 7):
        monkeypatch.setattr(scored, "LOGITS", most)
        model.zero_grad()
        loss = model(**options, scored=tensors["labels"])
        loss.backward()
        found.append((loss.detach(), model.lm_head.weight.grad.clone()))
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_packing_and_parts_change_no_loss(home: Path, tmp_path: Path, method: Method) -> None:
    settings = {"method": method, "dropout": 0.0, "max_steps": 4}
    plain = losses_of(home, tmp_path / "a", packing=False, **settings)
    assert losses_of(home, tmp_path / "b", packing=True, **settings) == pytest.approx(
        plain, rel=1e-4
    )
    assert losses_of(
        home, tmp_path / "c", packing=True, **settings, micro_tokens=128
    ) == pytest.approx(plain, rel=1e-4)
    assert plain[-1] < plain[0]


def test_the_first_loss_is_the_mean_over_the_steps_learnt_tokens(
    home: Path, tmp_path: Path
) -> None:
    (first, *_) = losses_of(home, tmp_path, method="lora", dropout=0.0, batch_size=5)
    model, rows = rows_of(home, "llama", 24)
    course = Course(config_of(home, max_steps=3, batch_size=5), rows)
    own = [rows[index] for index in course.steps[0]]
    with torch.no_grad():
        total = sum(by_hand(model, row) for row in own)
    assert first == pytest.approx(total / sum(r.answer.supervised for r in own), rel=1e-5)


def test_the_same_seed_gives_the_same_losses_and_another_one_others(
    home: Path, tmp_path: Path
) -> None:
    one, two, other = (
        losses_of(home, tmp_path / str(number), seed=seed) for number, seed in enumerate((1, 1, 2))
    )
    assert one == two
    assert one != other


def test_evaluation_moves_no_random_number(home: Path, tmp_path: Path) -> None:
    often = losses_of(home, tmp_path / "a", eval_every=1, max_steps=4)
    assert often == losses_of(home, tmp_path / "b", eval_every=4, max_steps=4)


def test_qlora_is_lora_on_the_weights_that_four_bits_hold(home: Path, tmp_path: Path) -> None:
    """The rate is low: Adam makes whole steps even of rounding errors."""
    from bitsandbytes.functional import dequantize_4bit

    quantised = load_folder("llama", home / "llama", "nf4").model
    plain = load_folder("llama", home / "llama", "fp32").model
    with torch.no_grad():
        for name in linear_layers(quantised):
            weight: Any = quantised.get_submodule(name).weight
            held = dequantize_4bit(weight.data, weight.quant_state)
            plain.get_submodule(name).weight.copy_(held)
    plain.save_pretrained(home / "four-bit-values")
    load_folder("llama", home / "llama", "fp32").tokenizer.save_pretrained(home / "four-bit-values")
    settings = {"dropout": 0.0, "eval_every": 1, "max_steps": 4, "learning_rate": 1e-3}
    qlora = losses_of(home, tmp_path / "a", method="qlora", **settings)
    lora = losses_of(home, tmp_path / "b", method="lora", model="four-bit-values", **settings)
    assert qlora == pytest.approx(lora, rel=1e-5)


# Other recipes and methods


def test_dpo_begins_undecided_and_learns_the_preference(home: Path, tmp_path: Path) -> None:
    losses = losses_of(home, tmp_path, "dpo", max_steps=6, dropout=0.0, micro_tokens=512)
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5)
    assert losses[-1] < 0.6


def test_dpo_in_parts_is_dpo(home: Path, tmp_path: Path) -> None:
    settings = {"max_steps": 3, "dropout": 0.0, "method": "lora"}
    whole = losses_of(home, tmp_path / "a", "dpo", micro_tokens=4096, **settings)
    parts = losses_of(home, tmp_path / "b", "dpo", micro_tokens=256, **settings)
    assert parts == pytest.approx(whole, rel=1e-4)


def test_kto_begins_at_a_half_and_learns(home: Path, tmp_path: Path) -> None:
    losses = losses_of(home, tmp_path, "kto", max_steps=12, dropout=0.0, micro_tokens=1024)
    assert losses[0] == pytest.approx(0.5, abs=1e-5)
    assert losses[-1] < 0.5


def test_full_training_moves_every_weight(home: Path, tmp_path: Path) -> None:
    trainer = trainer_of(home, tmp_path, method="full", learning_rate=1e-3)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    still = [n for n, p in trainer.model.named_parameters() if torch.equal(p, before[n])]
    assert not still


def test_gradient_checkpointing_changes_no_loss(home: Path, tmp_path: Path) -> None:
    settings = {"dropout": 0.0, "method": "qlora"}
    plain = losses_of(home, tmp_path / "a", **settings)
    again = losses_of(home, tmp_path / "b", gradient_checkpointing=True, **settings)
    assert again == pytest.approx(plain, rel=1e-5)


def test_an_adapter_comes_back_bit_by_bit(home: Path, tmp_path: Path) -> None:
    trainer = trainer_of(home, tmp_path, method="qlora", learning_rate=1e-2)
    trainer.train()
    from training.recipes.saved import load_adapter, save_weights

    own = {n: p.detach().clone() for n, p in trainer.model.named_parameters() if p.requires_grad}
    save_weights(trainer.model, "qlora", tmp_path / "saved")
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.zero_()
    load_adapter(trainer.model, tmp_path / "saved")
    for name, parameter in trainer.model.named_parameters():
        if parameter.requires_grad:
            assert parameter.dtype == torch.float32
            assert torch.equal(parameter, own[name])
    names = sorted(p.name for p in (tmp_path / "saved").iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors"]
    told = json.loads((tmp_path / "saved" / "adapter_config.json").read_text())
    assert told["base_model_name_or_path"] == "llama"
