"""One contestant of `benchmarks/training.py`: trains a QLoRA for some steps and says how fast.

`python benchmarks/training_contestant.py ours|trl|trl32|bare MODEL_FOLDER ROWS STEPS`, one JSON
object on stdout. All see the same examples in the same order, with the same adapter and rates:
`trl` with TRL's defaults, `trl32` in 32 bits without activation checkpointing, as ours is on a
CPU, and `bare` a hand-written loop over our parts.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

import torch  # noqa: E402  the repository is not a package

from training.config import TrainConfig  # noqa: E402
from training.datasets.versions import read_examples  # noqa: E402
from training.recipes.base_model import load_base, lora_config  # noqa: E402
from training.recipes.course import Course  # noqa: E402
from training.recipes.hooks import Hooks  # noqa: E402
from training.recipes.rows import IGNORED, Row, prepare  # noqa: E402
from training.recipes.trainers import build_trainer  # noqa: E402

HAS_CUDA = torch.cuda.is_available()
WARM = 2
"""Steps that are not timed."""
BATCH, LENGTH, HELD_OUT = 8, 1024, 48


class Clock:
    """Times the steps after the first ones, by wall and by processor."""

    def __init__(self) -> None:
        self.step, self.tokens = 0, 0
        self._began: tuple[float, float] | None = None
        self.wall_s = self.cpu_s = 0.0

    def stepped(self, tokens: int) -> None:
        """Note that a step of so many tokens is done."""
        self.step += 1
        if HAS_CUDA:
            torch.cuda.synchronize()
        now = time.perf_counter(), time.process_time()
        if self._began is not None:
            self.tokens += tokens
            self.wall_s, self.cpu_s = now[0] - self._began[0], now[1] - self._began[1]
        elif self.step == WARM:
            self._began = now


def main() -> None:
    """Train as the command line says."""
    kind, folder, rows_path, steps = sys.argv[1:]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    config = TrainConfig(
        model="base",
        dataset=rows_path,
        rank=64,
        alpha=16,
        batch_size=BATCH,
        max_length=LENGTH,
        micro_tokens=4 * LENGTH,
        max_steps=int(steps),
    )
    weights = load_base(config, Path(folder))
    found = list(read_examples(Path(rows_path)))
    rows = prepare(found, weights.tokenizer, LENGTH, "sft")
    course = Course(config, rows[:-HELD_OUT], rows[-HELD_OUT:])
    clock = Clock()
    model = {"ours": ours, "bare": bare, "trl": trl, "trl32": trl}[kind](
        weights, course, clock, kind
    )
    peak_bytes = most_memory()
    answer = {
        "tokens_per_s": clock.tokens / clock.wall_s,
        "tokens_per_cpu_s": clock.tokens / clock.cpu_s,
        "eval_loss": eval_loss(model, course.eval_rows),
        "padded_share": padded_share(course),
        "peak_bytes": peak_bytes,
    }
    print(json.dumps(answer), file=out, flush=True)


def ours(weights: Any, course: Course, clock: Clock, _kind: str) -> Any:
    """Train with our recipe."""

    def report(kind: str, _step: int, told: Any) -> None:
        if kind == "step":
            clock.stepped(told["tokens"])

    hooks = Hooks(report=report, stops=lambda: False)
    plain = Course(course.config, course.rows)
    trainer = build_trainer(weights, plain, scratch(course), hooks).trainer
    trainer.train()
    return trainer.model


def bare(weights: Any, course: Course, clock: Clock, _kind: str) -> Any:
    """Train with a hand-written loop."""
    from peft import get_peft_model
    from transformers import get_cosine_schedule_with_warmup

    torch.manual_seed(course.config.seed)
    model = get_peft_model(weights.model, lora_config(course.config, weights.model))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=course.config.learning_rate, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, 1, course.total)
    model.train()
    for step in range(course.total):
        for piece in course.pieces(step):
            tensors = {name: tensor.to(model.device) for name, tensor in piece.tensors.items()}
            learnt = int((piece.tensors["labels"] != IGNORED).sum())
            with torch.autocast(model.device.type, torch.bfloat16, enabled=HAS_CUDA):
                loss = model(**tensors, use_cache=False).loss
            (loss * learnt / course.learnt(step)).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        clock.stepped(course.tokens(step))
    return model


def trl(weights: Any, course: Course, clock: Clock, kind: str) -> Any:
    """Train with TRL, which is given the same tokens and masks in the same order."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Note(TrainerCallback):
        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            clock.stepped(course.tokens(state.global_step - 1))

    ordered = [course.rows[index] for step in course.steps for index in step]
    columns = {
        "input_ids": [row.answer.tokens.tolist() for row in ordered],
        "labels": [row.answer.labels.tolist() for row in ordered],
    }
    plain = {"bf16": False, "gradient_checkpointing": False} if kind == "trl32" else {}
    arguments = SFTConfig(
        output_dir=str(scratch(course)),
        max_steps=course.total,
        per_device_train_batch_size=BATCH,
        learning_rate=course.config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=1,
        max_length=LENGTH,
        train_sampling_strategy="sequential",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=not HAS_CUDA,
        dataloader_pin_memory=False,
        **plain,
    )
    trainer = SFTTrainer(
        model=weights.model,
        args=arguments,
        train_dataset=Dataset.from_dict(columns),
        processing_class=weights.tokenizer,
        peft_config=lora_config(course.config, weights.model),
        callbacks=[Note()],
    )
    trainer.train()
    return trainer.model


@torch.no_grad()
def eval_loss(model: Any, rows: list[Row]) -> float:
    """Return the mean loss of the learnt tokens, each example alone, by the model's own forward."""
    model.eval()
    total, count = 0.0, 0
    for row in rows:
        tokens = torch.tensor(row.answer.tokens, dtype=torch.long)[None].to(model.device)
        labels = torch.tensor(row.answer.labels, dtype=torch.long)[None].to(model.device)
        total += float(model(input_ids=tokens, labels=labels).loss) * row.answer.supervised
        count += row.answer.supervised
    return total / count


def scratch(course: Course) -> Path:
    """Return where a trainer may write; it goes with the rows."""
    return Path(course.config.dataset).parent / "trainer"


def most_memory() -> int:
    """Return the most bytes so far: on the GPU, or of the process."""
    if HAS_CUDA:
        return int(torch.cuda.max_memory_allocated())
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def padded_share(course: Course) -> float:
    """Return the share of positions that are padding when each step is one padded batch."""
    lengths = [[course.costs[index] for index in step] for step in course.steps]
    return 1 - sum(map(sum, lengths)) / sum(len(step) * max(step) for step in lengths)


main()
