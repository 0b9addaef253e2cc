"""How fast a QLoRA trains: our recipe, TRL's defaults, and a bare loop, on the same examples.

`python benchmarks/training.py [--model mid|lead|FOLDER] [--steps 12] [--rounds 3] [--json]`

The contestants take turns, each in a process of its own; ratios are medians over the rounds. `mid`
is a random Llama of 27 M parameters, made here. Lengths are mixed: conversations of the embedded
models' world. The memory of the weights is counted tensor by tensor. Prints Markdown for
BENCHMARKS.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

from figures import Figure, Goal, machine  # noqa: E402  the repository is not a package

from core.settings import PROJECT  # noqa: E402
from training.datasets.example import example_of  # noqa: E402
from training.pretrain.config import SKILL  # noqa: E402
from training.pretrain.mix import conversation  # noqa: E402

LEAD = PROJECT / "assets" / "models" / "lead"
CONTESTANT = Path(__file__).with_name("training_contestant.py")
KINDS = ("ours", "trl", "trl32", "bare")
ROWS = 400
Answers = Mapping[str, Sequence[Mapping[str, float]]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mid")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = _model(args.model, Path(scratch))
        rows = Path(scratch) / "rows.jsonl"
        _write_rows(rows)
        answers: dict[str, list[Mapping[str, float]]] = {kind: [] for kind in KINDS}
        for _ in range(args.rounds):
            for kind in KINDS:
                answers[kind].append(_run(kind, folder, rows, args.steps))
        found = [*_speeds(answers), *_losses(answers), *_memory(folder)]
    if args.json:
        told = {"machine": machine(), "figures": [figure.to_dict() for figure in found]}
        print(json.dumps(told))
        return
    print(f"{machine()}\n\n| what | measured | goal |\n| --- | --- | --- |")
    for figure in found:
        print(figure.to_row())


def _speeds(answers: Answers) -> list[Figure]:
    names = {
        "ours": "our recipe",
        "trl": "TRL's defaults",
        "trl32": "TRL in 32 bits, no activation checkpointing",
        "bare": "a bare loop over our parts",
    }
    found = [
        Figure(f"tokens/s, {names[kind]}", _median(answers[kind], "tokens_per_s"), "")
        for kind in KINDS
    ]
    goals: Mapping[str, Goal | None] = {
        "trl": ("at least", 1.5),
        "trl32": None,
        "bare": ("at least", 0.9),
    }
    for kind, goal in goals.items():
        pairs = zip(answers["ours"], answers[kind], strict=True)
        ratios = [own["tokens_per_s"] / other["tokens_per_s"] for own, other in pairs]
        note = f"by processor time {_cpu_ratio(answers, kind):.3g}"
        what = f"ratio to {names[kind]}, median of {len(ratios)}"
        found.append(Figure(what, statistics.median(ratios), "", goal, note))
    share = answers["ours"][0]["padded_share"]
    found.append(Figure("padding when each step is one padded batch", 100 * share, "%"))
    return found


def _cpu_ratio(answers: Answers, kind: str) -> float:
    pairs = zip(answers["ours"], answers[kind], strict=True)
    return statistics.median(a["tokens_per_cpu_s"] / b["tokens_per_cpu_s"] for a, b in pairs)


def _losses(answers: Answers) -> list[Figure]:
    own = _median(answers["ours"], "eval_loss")
    found = [Figure("evaluation loss after the same tokens, ours", own, "nats")]
    for kind, goal in (("trl", ("at most", 1.0)), ("trl32", None)):
        other = _median(answers[kind], "eval_loss")
        away = 100 * abs(own - other) / other
        what = f"its distance from {kind}'s"
        found.append(Figure(what, away, "%", goal))  # type: ignore[arg-type]
    return found


def _memory(folder: Path) -> list[Figure]:
    """Return bytes per linear weight and the whole model's size, in three number formats."""
    from core.catalog import Precision
    from core.providers.weights import load_folder
    from training.recipes.base_model import linear_layers

    linear: dict[str, float] = {}
    whole: dict[str, float] = {}
    formats: Sequence[Precision] = ("fp32", "bf16", "nf4")
    for precision in formats:
        model = load_folder("base", folder, precision).model
        names = [f"{name}." for name in linear_layers(model)]
        held = {key: _bytes(value) for key, value in model.state_dict().items()}
        whole[precision] = sum(held.values())
        own = [size for key, size in held.items() if any(key.startswith(n) for n in names)]
        linear[precision] = sum(own)
    return [
        Figure("linear weights, 4 bits to 16", linear["nf4"] / linear["bf16"], ""),
        Figure("linear weights, 4 bits to 32", linear["nf4"] / linear["fp32"], ""),
        Figure("whole model in 32 bits", whole["fp32"] / 1e6, "MB"),
        Figure("whole model in 16 bits", whole["bf16"] / 1e6, "MB"),
        Figure("whole model with 4-bit layers", whole["nf4"] / 1e6, "MB"),
    ]


def _bytes(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())


def _median(answers: Sequence[Mapping[str, float]], name: str) -> float:
    return statistics.median(answer[name] for answer in answers)


def _run(kind: str, folder: Path, rows: Path, steps: int) -> Mapping[str, float]:
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", CONTESTANT, kind, folder, rows, str(steps)],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    answer: Mapping[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(kind, answer, file=sys.stderr)
    return answer


def _write_rows(path: Path) -> None:
    """Write conversations of the world that a model can learn from."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(ROWS):
            made = conversation(f"training benchmark:{number}", SKILL)
            row: dict[str, Any] = {"id": str(number), "messages": made.messages}
            file.write(example_of({**row, "tools": made.tools or None}).to_line())


def _model(name: str, scratch: Path) -> Path:
    """Return the folder of a model; `mid` is made."""
    if name == "lead":
        return LEAD
    if name != "mid":
        return Path(name)
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(LEAD)
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(shape).save_pretrained(scratch / "mid")
    tokenizer.save_pretrained(scratch / "mid")
    return scratch / "mid"


if __name__ == "__main__":
    main()
