"""How fast a QLoRA trains: our recipe, TRL's defaults, and a bare loop, on the same examples.

`python benchmarks/training.py [--model mid] [--steps 10] [--rounds 2] [--json]`

The contestants take turns, each in a process of its own; ratios are medians over the rounds.
Lengths are mixed: conversations of the embedded models' world. Models are the embedded ones, a
folder, `mid` or `1b`; the last two are random Llamas of 11 M and 1 B parameters, made here. The
memory of weights is counted tensor by tensor; `--rounds 0` counts it and trains nothing. Takes a
GPU where there is one. Prints Markdown for BENCHMARKS.md.
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

# The project first: in this folder the name of the package is this file's.
sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from figures import Figure, Goal, machine  # noqa: E402  the repository is not a package
from world_rows import write_world  # noqa: E402

from core.settings import PROJECT  # noqa: E402
from training.datasets.importing import import_dataset  # noqa: E402

MODELS = PROJECT / "assets" / "models"
EMBEDDED = ("understudy", "lead")
SHAPES: Mapping[str, Mapping[str, int]] = {
    "mid": {
        "hidden_size": 384,
        "intermediate_size": 1024,
        "num_hidden_layers": 6,
        "num_attention_heads": 6,
        "num_key_value_heads": 6,
    },
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
    },
}
"""Llamas that are made here; `1b` has TinyLlama's shape, but for its vocabulary of 32,000."""
CONTESTANT = Path(__file__).with_name("training_contestant.py")
TRL32 = "trl32"
KINDS = ("ours", "trl", TRL32, "bare")
ROWS = 800
Answers = Mapping[str, Sequence[Mapping[str, float]]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mid")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--leave-out", choices=[TRL32], help="of the contestants, to save time")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    before = machine()
    with tempfile.TemporaryDirectory() as scratch:
        folder = _model(args.model, Path(scratch))
        world = Path(scratch) / "world.jsonl"
        write_world(world, ROWS, "training benchmark")
        rows = import_dataset(Path(scratch), world, "world").version.path
        kinds = [kind for kind in KINDS if kind != args.leave_out]
        answers: dict[str, list[Mapping[str, float]]] = {kind: [] for kind in kinds}
        for _ in range(args.rounds):
            for kind in kinds:
                answers[kind].append(_run(kind, folder, rows, args.steps))
        found = [*_speeds(answers), *_losses(answers)] if args.rounds else []
        found += _memory(folder)
    about = {"before": before, "after": machine(), "model": args.model, "steps": args.steps}
    if args.json:
        print(json.dumps({"machine": about, "figures": [figure.to_dict() for figure in found]}))
        return
    print(f"{about}\n\n| what | measured | goal |\n| --- | --- | --- |")
    for figure in found:
        print(figure.to_row())


def _speeds(answers: Answers) -> list[Figure]:
    names = {
        "ours": "our recipe",
        "trl": "TRL's defaults",
        TRL32: "TRL in 32 bits, no activation checkpointing",
        "bare": "a bare loop over our parts",
    }
    found = [
        Figure(f"tokens/s, {names[kind]}", _median(answers[kind], "tokens_per_s"), "")
        for kind in answers
    ]
    goals: Mapping[str, Goal | None] = {
        "trl": ("at least", 1.5),
        TRL32: None,
        "bare": ("at least", 0.9),
    }
    for kind in (kind for kind in answers if kind in goals):
        pairs = zip(answers["ours"], answers[kind], strict=True)
        ratios = [own["tokens_per_s"] / other["tokens_per_s"] for own, other in pairs]
        note = f"by processor time {_cpu_ratio(answers, kind):.3g}"
        what = f"ratio to {names[kind]}, median of {len(ratios)}"
        found.append(Figure(what, statistics.median(ratios), "", goals[kind], note))
    for kind in ("ours", "trl"):
        peak = _median(answers[kind], "peak_bytes") / 1e9
        found.append(Figure(f"most memory, {names[kind]}", peak, "GB"))
    share = answers["ours"][0]["padded_share"]
    found.append(Figure("padding when each step is one padded batch", 100 * share, "%"))
    return found


def _cpu_ratio(answers: Answers, kind: str) -> float:
    pairs = zip(answers["ours"], answers[kind], strict=True)
    return statistics.median(a["tokens_per_cpu_s"] / b["tokens_per_cpu_s"] for a, b in pairs)


def _losses(answers: Answers) -> list[Figure]:
    own = _median(answers["ours"], "eval_loss")
    found = [Figure("evaluation loss after the same tokens, ours", own, "nats")]
    goals: Mapping[str, Goal | None] = {"trl": ("at most", 1.0), TRL32: None}
    for kind in (kind for kind in answers if kind in goals):
        other = _median(answers[kind], "eval_loss")
        above = 100 * (own - other) / other
        found.append(Figure(f"ours above {kind}'s; below 0: lower", above, "%", goals[kind]))
    return found


def _memory(folder: Path) -> list[Figure]:
    """Return bytes per linear weight and the whole model's size, in three number formats."""
    from core.catalog import Precision
    from core.providers.weights import load_folder
    from training.recipes.base_model import linear_layers

    linear: dict[str, float] = {}
    whole: dict[str, float] = {}
    count = 0
    formats: Sequence[Precision] = ("fp32", "bf16", "nf4")
    for precision in formats:
        model = load_folder("base", folder, precision).model
        count = count or model.num_parameters()
        names = [f"{name}." for name in linear_layers(model)]
        held = {key: _bytes(value) for key, value in model.state_dict().items()}
        whole[precision] = sum(held.values())
        own = [size for key, size in held.items() if any(key.startswith(n) for n in names)]
        linear[precision] = sum(own)
    return [
        Figure("parameters of the model", count / 1e6, "M"),
        Figure("linear weights, 4 bits to 16", linear["nf4"] / linear["bf16"], ""),
        Figure("linear weights, 4 bits to 32", linear["nf4"] / linear["fp32"], ""),
        Figure("whole model in 32 bits", whole["fp32"] / 1e6, "MB"),
        Figure("whole model in 16 bits", whole["bf16"] / 1e6, "MB"),
        Figure("whole model with 4-bit layers", whole["nf4"] / 1e6, "MB"),
        Figure("whole model, 4 bits to 16", whole["nf4"] / whole["bf16"], ""),
        Figure("whole model, 4 bits to 32", whole["nf4"] / whole["fp32"], ""),
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


def _model(name: str, scratch: Path) -> Path:
    """Return the folder of a model; those that have a shape are made."""
    if name in EMBEDDED:
        return MODELS / name
    if name not in SHAPES:
        return Path(name)
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(MODELS / "lead")
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        dtype=torch.bfloat16,
        **SHAPES[name],
    )
    LlamaForCausalLM(shape).to(torch.bfloat16).save_pretrained(scratch / name)
    tokenizer.save_pretrained(scratch / name)
    return scratch / name


if __name__ == "__main__":
    main()
