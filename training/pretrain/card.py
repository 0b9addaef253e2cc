"""The model card: what an embedded model is, how it was made, and its held-out figures."""

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.digests import folder_digest
from training.pretrain.config import PretrainConfig, Stage
from training.pretrain.evaluate import SplitResult, evaluate

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FIGURES = "figures.jsonl"
"""Held-out figures beside the weights, a split a line; the card shows the same.

Not `.json`: the model's digest covers those, and the figures name the digest.
"""
CURVE_ROWS = 16
PURPOSE = {
    "lead": "It plays the expensive model in Understudy's demonstration.",
    "understudy": (
        "It plays the small base that is fine-tuned in Understudy's demonstration: it knows the "
        "task, and has the habits of real bases (announcements, code fences, malformed calls, "
        "over-long answers)."
    ),
}
TEMPLATE = Path(__file__).with_name("card_template.md")


def write_card(
    config: PretrainConfig, folder: Path, target: Path, *, seed: int, count: int
) -> dict[str, Any]:
    """Evaluate the exported model, write card and figures beside it, and return the figures."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(target)
    results = list(evaluate(model, tokenizer, count))
    lines = "".join(json.dumps(result.to_dict()) + "\n" for result in results)
    (target / FIGURES).write_text(lines, encoding="utf-8")
    curve = read_curve(folder)
    text = _card(config, model, results, curve).replace("{seed}", str(seed))
    (target / "README.md").write_text(text.replace("{digest}", folder_digest(target)), "utf-8")
    return {"model": config.model, "splits": [r.to_dict() for r in results], "curve": curve}


def readme_rows(target: Path) -> list[str]:
    """Return the rows that the repository's README shows of a model's held-out figures."""
    rows = []
    for line in (target / FIGURES).read_text(encoding="utf-8").splitlines():
        result = SplitResult(**json.loads(line))
        share = f"{result.exact / result.n:.1%} ({result.low:.1%} to {result.high:.1%})"
        wrong = result.n - result.exact
        held = f"{result.contained} of {wrong}" if result.split != "decline" else ""
        kind = result.split.replace("_", " ")
        rows.append(f"| {target.name} | {kind} | {result.n} | {share} | {held} |")
    return rows


def read_curve(folder: Path) -> list[dict[str, float]]:
    """Return the learning curve, one row a step: a resumed run repeats some, the last counts."""
    lines = (folder / "curve.jsonl").read_text(encoding="utf-8").splitlines()
    rows = {row["step"]: row for row in map(json.loads, lines)}
    return [rows[step] for step in sorted(rows)]


def _stage_row(stage: Stage) -> str:
    shares = (stage.echoes, stage.novel_words, stage.novel_names)
    habits = "yes" if stage.habits else "no"
    return f"| {stage.first_step} | {habits} | " + " | ".join(f"{s:.0%}" for s in shares) + " |"


def _card(
    config: PretrainConfig,
    model: "PreTrainedModel",
    results: list[SplitResult],
    curve: list[dict[str, float]],
) -> str:
    rows = "\n".join(
        f"| {r.split.replace('_', ' ')} | {r.n} | {r.exact / r.n:.1%} "
        f"| {r.low:.1%} to {r.high:.1%} | {r.n - r.exact} | {r.contained} |"
        for r in results
    )
    shown = curve[:: max(1, len(curve) // CURVE_ROWS)]
    shown = shown if shown[-1] is curve[-1] else [*shown, curve[-1]]
    points = "\n".join(f"| {r['step']} | {r['loss']:.3f} | {r['seconds']:,.0f} |" for r in shown)
    return TEMPLATE.read_text(encoding="utf-8").format(
        name=config.model,
        purpose=PURPOSE[config.model],
        parameters=model.num_parameters(),
        layers=config.layers,
        hidden=config.hidden,
        heads=config.heads,
        feed_forward=config.feed_forward,
        vocabulary=model.config.vocab_size,
        context=model.config.max_position_embeddings,
        steps=config.steps,
        batch=config.batch,
        rate=config.learning_rate,
        stages="\n".join(_stage_row(stage) for stage in config.stages),
        seconds=curve[-1]["seconds"],
        date=f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}",
        count=results[0].n,
        rows=rows,
        curve=points,
        seed="{seed}",
        digest="{digest}",
    )
