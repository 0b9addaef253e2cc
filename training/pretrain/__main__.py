"""`python -m training.pretrain --model lead`: train an embedded model from nothing."""

import argparse
from pathlib import Path

from training.pretrain.config import CONFIGS
from training.pretrain.trainer import export, train


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.pretrain")
    parser.add_argument("--model", required=True, choices=sorted(CONFIGS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    config = CONFIGS[args.model]
    for row in train(config, args.folder, seed=args.seed, device=args.device):
        print(row, flush=True)


if __name__ == "__main__":
    main()
