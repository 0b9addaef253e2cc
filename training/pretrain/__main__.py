"""`python -m training.pretrain --model lead`: train an embedded model from nothing.

Training resumes from the checkpoint in `--folder`. At the end the model is exported to
`--target` with its card and its held-out figures, and one JSON object is printed with `--json`.
"""

import argparse
import json
import sys
from pathlib import Path

from core.errors import AppError
from training.pretrain.card import write_card
from training.pretrain.config import CONFIGS
from training.pretrain.trainer import export, train

HELD_OUT = 300
"""Requests of each held-out split."""


def main() -> int:
    """Train, export, evaluate; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.pretrain", description=__doc__)
    parser.add_argument("--model", required=True, choices=sorted(CONFIGS))
    parser.add_argument("--seed", type=int, default=1, help="of the data and the weights")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--folder", type=Path, help="checkpoint and curve; default runs/pretrain-MODEL"
    )
    parser.add_argument("--target", type=Path, help="model folder; default FOLDER/model")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    args = parser.parse_args()
    config = CONFIGS[args.model]
    folder = args.folder or Path("runs") / f"pretrain-{args.model}"
    target = args.target or folder / "model"
    try:
        for row in train(config, folder, seed=args.seed, device=args.device):
            print(
                f"step {row['step']} loss {row['loss']:.3f} {row['seconds']:.0f} s", file=sys.stderr
            )
        export(config, folder, target)
        figures = write_card(config, folder, target, seed=args.seed, count=HELD_OUT)
    except AppError as error:
        print(f"understudy: {error}", file=sys.stderr)
        return 2 if error.status < 500 else 70
    if args.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
