"""A byte-level BPE tokenizer with GPT-2's pre-tokenizer and our chat template.

`tokenizer.json` was learnt once, by `python -m training.pretrain.tokenizer`, and is kept: it was
learnt from the conversations of that day, and another one makes every checkpoint useless.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from training.pretrain.config import Stage
from training.pretrain.mix import conversation

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

VOCABULARY = 1536
"""Tokens, the special ones included; a multiple of 64."""
CONTEXT = 1024
"""Positions the models are trained for."""
SAMPLE = 6000
"""Conversations that the merges are learnt from."""
END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CALL_TAGS = ("<tool_call>", "</tool_call>")
TEMPLATE = Path(__file__).with_name("chat_template.jinja")
LEARNT = Path(__file__).with_name("tokenizer.json")


def corpus(seed: int) -> Iterator[str]:
    """Yield the text of training conversations: both kinds of models share one tokenizer."""
    yield from ["Tools:"] * SAMPLE
    for index in range(SAMPLE):
        example = conversation(f"tokenizer:{seed}:{index}", Stage(0, habits=index % 4 == 0))
        for schema in example.tools:
            yield json.dumps(schema["function"]["parameters"])
            yield f"{schema['function']['name']}: {schema['function']['description']}"
        for message in example.messages:
            yield f"{message['role']}\n{message['content']}"
            for call in message.get("tool_calls", ()):
                yield json.dumps(call["function"], ensure_ascii=False)


def learn_tokenizer(seed: int) -> "Tokenizer":
    """Learn the merges; the same seed and conversations give the same vocabulary."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    # While merges are learnt, spaces stand apart, so that none joins a space to a word: a word has
    # the same tokens after a space and after a quotation mark, and copying it is copying tokens.
    apart = pre_tokenizers.Split(Regex(r" (?=[\p{L}\p{N}])"), behavior="isolated")
    bpe.pre_tokenizer = pre_tokenizers.Sequence([apart, byte_level])
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(CALL_TAGS),
        special_tokens=[END_OF_TEXT, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(corpus(seed), trainer)
    bpe.pre_tokenizer = byte_level
    bpe.add_tokens([AddedToken(tag, normalized=False, special=False) for tag in CALL_TAGS])
    return bpe


def load_tokenizer() -> "PreTrainedTokenizerFast":
    """Return the embedded models' tokenizer with our chat template."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(str(LEARNT)),
        eos_token=END,
        bos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        chat_template=TEMPLATE.read_text(encoding="utf-8"),
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


if __name__ == "__main__":
    learn_tokenizer(seed=1).save(str(LEARNT))
