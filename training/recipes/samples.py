"""What the model says to a few prompts, before and after."""

from typing import Any

SAMPLES = 3
NEW_TOKENS = 64
SHOWN = 2000
"""Characters of a prompt's end that are kept."""


def samples(trainer: Any, tokenizer: Any) -> list[dict[str, str]]:
    """Return prompts with the model's greedy answers and the ones in the dataset.

    The prompts are the first of the eval split, or of the rows. No random number is drawn.
    """
    import torch

    course, model = trainer.course, trainer.model
    model.eval()
    found = []
    for row in (course.eval_rows or course.rows)[:SAMPLES]:
        begin = row.answer.prompt_length
        prompt = torch.tensor(row.answer.tokens[:begin], dtype=torch.long)[None].to(model.device)
        with torch.no_grad(), trainer.compute_loss_context_manager():
            said = model.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id or 0,
            )
        found.append(
            {
                "prompt": tokenizer.decode(row.answer.tokens[:begin])[-SHOWN:],
                "target": tokenizer.decode(row.answer.tokens[begin:])[:SHOWN],
                "completion": tokenizer.decode(said[0, begin:], skip_special_tokens=True),
            }
        )
    return found
