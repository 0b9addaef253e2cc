"""Prompts that begin alike: read once, and nobody gets another's text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.engines.prefixes import LEAST_TOKENS, MOST, NOTHING, Prefixes, common_length
from core.engines.transformers_engine import TransformersEngine
from core.providers.weights import load_folder
from tests.core.engines.references import Ties, job_of, model_of, run

SYSTEM = list(range(20, 120))


@pytest.fixture
def engine(tiny_folder: Path) -> Iterator[TransformersEngine]:
    loaded = load_folder("tiny", tiny_folder, "fp32")
    made = TransformersEngine("tiny", loaded.model, loaded.tokenizer, "d")
    yield made
    made.close()


@pytest.fixture
def counted(engine: TransformersEngine) -> list[int]:
    """Return how many tokens each forward reads per row, from now on."""
    read: list[int] = []

    def count(_model: Any, _inputs: Any, named: dict[str, Any]) -> None:
        read.append(named["input_ids"].shape[1])

    engine._model.register_forward_pre_hook(count, with_kwargs=True)
    return read


def test_the_next_turn_of_a_chat_reads_only_what_is_new(
    engine: TransformersEngine, counted: list[int], tiny_folder: Path
) -> None:
    model, ties = model_of(tiny_folder), Ties()
    first = job_of(SYSTEM, 20)
    said = run(engine, [first])[0]
    ties.check(model, first, said)
    assert max(counted) == len(SYSTEM)
    counted.clear()
    second = job_of([*SYSTEM, *said, 33, 34, 35], 20)
    ties.check(model, second, run(engine, [second])[0])
    assert max(counted) == 4  # the answer's last token was never read
    assert ties.count == 0


def test_prompts_that_come_together_share_their_beginning(
    engine: TransformersEngine, counted: list[int], tiny_folder: Path
) -> None:
    model, ties = model_of(tiny_folder), Ties()
    jobs = [job_of([*SYSTEM * 3, 200 + n, 60, 61 + n], 20) for n in range(6)]
    for job, found in zip(jobs, run(engine, jobs), strict=True):
        ties.check(model, job, found)
    assert sum(count for count in counted if count > 1) <= 303 + 5 * 3
    assert ties.count == 0


def test_an_adapter_never_begins_with_what_another_read(
    engine: TransformersEngine, tiny_folder: Path, adapter_folder: Path
) -> None:
    engine.adapter_digest("v1", adapter_folder)
    ties = Ties()
    for version in (None, "v1", None):
        job = job_of(SYSTEM, 20, version)
        model = model_of(tiny_folder, adapter_folder if version else None)
        ties.check(model, job, run(engine, [job])[0])
    assert ties.count == 0


def test_the_same_prompt_again_reads_its_last_token(
    engine: TransformersEngine, counted: list[int]
) -> None:
    once, again = (run(engine, [job_of(SYSTEM, 10)])[0] for _ in range(2))
    assert once == again
    assert counted.count(len(SYSTEM)) == 1


def layers(tokens: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(torch.ones(1, tokens, 4), torch.ones(1, tokens, 4))]


def test_the_least_recently_used_goes_first() -> None:
    prefixes = Prefixes(3 * 32 * 20)
    asked = [[n, *range(100, 119)] for n in range(4)]
    for prompt in asked[:3]:
        prefixes.keep(None, prompt, layers(20))
    assert prefixes.find(None, [*asked[0], 1]).tokens == 20
    prefixes.keep(None, asked[3], layers(20))
    found = [prefixes.find(None, [*prompt, 1]).tokens for prompt in asked]
    assert found == [20, 0, 20, 20]
    assert prefixes.size_bytes == 3 * 32 * 20
    prefixes.keep(None, list(range(200)), layers(200))  # larger than all there may be
    assert prefixes.size_bytes == 0


def test_a_longer_text_takes_the_place_of_its_beginning() -> None:
    prefixes = Prefixes(10**9)
    for length in range(20, 30):
        prefixes.keep("v1", list(range(length)), layers(length))
    assert prefixes.size_bytes == 32 * 29
    assert prefixes.find("v1", list(range(25))).tokens == 24
    assert prefixes.find("v2", list(range(25))) is NOTHING
    assert prefixes.find("v1", list(range(LEAST_TOKENS))) is NOTHING
    for n in range(2 * MOST):
        prefixes.keep("v2", [n] * 20, layers(20))
    assert prefixes.size_bytes == 32 * 20 * MOST


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12), st.lists(st.integers(0, 2)))
def test_what_two_texts_begin_with(prompt: list[int], read: list[int]) -> None:
    found = common_length(prompt, read)
    assert found < len(prompt)
    assert prompt[:found] == read[:found]
    rest = prompt[found : len(prompt) - 1]
    assert not rest or found == len(read) or rest[0] != read[found]
