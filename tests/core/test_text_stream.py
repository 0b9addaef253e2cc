"""Text as it comes joins to what the tokenizer says of all tokens, whatever the tokens are."""

import random
from pathlib import Path
from typing import Any

import pytest

from core.providers.text_stream import HALF, TextStream
from tests import tiny_models

SEQUENCES = 300


def byte_fallback() -> Any:
    """Return a tokenizer as Llama 2 has it: words with spaces, and bytes for what they lack."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    words += ["\u2581", "\u2581the", "\u2581table", "s", ".", "\u2581\u2581", "é", "好", HALF]
    tokenizer = Tokenizer(
        models.BPE({w: n for n, w in enumerate(words)}, [], unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


def byte_level(folder: Path) -> Any:
    from transformers import AutoTokenizer

    tiny_models.save_tokenizer(folder, None)
    return AutoTokenizer.from_pretrained(folder)


def drawn(draw: random.Random, tokenizer: Any) -> list[int]:
    """Return random tokens, ones without text and ones of characters of many bytes among them."""
    size, tokens = len(tokenizer), []
    for _ in range(draw.randrange(1, 30)):
        kind = draw.random()
        if kind < 0.4:
            tokens.append(draw.randrange(size))
        elif kind < 0.6:
            tokens += tokenizer(draw.choice(["你好", "🎉", "olá the"]), add_special_tokens=False)[
                "input_ids"
            ][: draw.randrange(1, 9)]
        elif kind < 0.7:
            tokens.append(draw.choice([0, 1, 2, size + 5]))
        else:
            tokens.append(draw.randrange(max(3, size - 9), size))
    return tokens


@pytest.mark.parametrize("kind", ["byte fallback", "byte level"])
def test_the_pieces_join_to_the_text_of_all_tokens(kind: str, tmp_path: Path) -> None:
    tokenizer = byte_fallback() if kind == "byte fallback" else byte_level(tmp_path)
    draw, halves = random.Random(7), 0
    for _ in range(SEQUENCES):
        tokens, shown = drawn(draw, tokenizer), ""
        wanted = tokenizer.decode(tokens, skip_special_tokens=True)
        stream, rest = TextStream(tokenizer), list(tokens)
        while rest:
            count = draw.choice([1, 1, 2, 5])
            shown += stream.push(rest[:count])
            del rest[:count]
            assert wanted.startswith(shown), tokens
        assert shown + stream.flush() == wanted, tokens
        halves += HALF in wanted
    assert halves > SEQUENCES // 10  # as hard as it is meant to be


def test_a_character_is_shown_when_its_last_byte_has_come(tmp_path: Path) -> None:
    tokenizer = byte_level(tmp_path)
    tokens = tokenizer("a🎉b", add_special_tokens=False)["input_ids"]
    stream = TextStream(tokenizer)
    assert [stream.push([token]) for token in tokens] == ["a", "", "", "", "🎉", "b"]
    assert stream.flush() == ""


def test_the_window_does_not_grow_with_the_answer(tmp_path: Path) -> None:
    tokenizer = byte_level(tmp_path)
    stream = TextStream(tokenizer)
    for token in tokenizer("The menu and the guests. " * 50, add_special_tokens=False)["input_ids"]:
        stream.push([token])
        assert len(stream._tokens) <= 3
