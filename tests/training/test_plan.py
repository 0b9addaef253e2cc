"""Which examples make a step: all of them, in an order that the seed alone decides."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from training.recipes.plan import Extent, StepSize, lay_out, plan_steps, row_length

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=60)


@given(LENGTHS, st.integers(1, 9), st.integers(1, 3), st.integers(0, 5))
def test_whole_epochs_show_every_example_equally_often(
    lengths: list[int], batch: int, epochs: int, seed: int
) -> None:
    steps = plan_steps(lengths, StepSize(batch), Extent(epochs), seed)
    assert Counter(i for step in steps for i in step) == dict.fromkeys(range(len(lengths)), epochs)
    assert all(len(step) == batch for step in steps[:-1])


@given(LENGTHS, st.integers(1, 900))
def test_a_token_budget_is_kept_unless_one_example_exceeds_it(
    lengths: list[int], budget: int
) -> None:
    for step in plan_steps(lengths, StepSize(1, budget), Extent(1), 0):
        assert len(step) == 1 or sum(lengths[i] for i in step) <= budget


@given(LENGTHS, st.integers(1, 9), st.integers(1, 40))
def test_fewer_steps_are_the_beginning_of_more(lengths: list[int], batch: int, steps: int) -> None:
    more = plan_steps(lengths, StepSize(batch), Extent(1, steps + 5), 3)
    assert plan_steps(lengths, StepSize(batch), Extent(1, steps), 3) == more[:steps]
    assert len(more) == steps + 5


def test_the_seed_decides_the_order() -> None:
    one, two = (plan_steps([5] * 50, StepSize(8), Extent(1), seed) for seed in (1, 2))
    assert one != two
    assert one == plan_steps([5] * 50, StepSize(8), Extent(1), 1)


def test_no_examples_are_refused() -> None:
    with pytest.raises(InputError, match="no examples"):
        plan_steps([], StepSize(4), Extent(1), 0)


@given(LENGTHS, st.integers(300, 2000), st.booleans())
def test_parts_hold_every_example_once_and_fit_in_memory(
    lengths: list[int], micro_tokens: int, packing: bool
) -> None:
    parts = lay_out(range(len(lengths)), lengths, micro_tokens, packing=packing)
    found = [index for part in parts for row in part for index in row]
    assert sorted(found) == list(range(len(lengths)))
    for part in parts:
        widest = max(row_length(row, lengths) for row in part)
        assert len(part) == 1 or len(part) * widest <= micro_tokens
        assert packing or all(len(row) == 1 for row in part)


@given(LENGTHS)
def test_packed_rows_are_hardly_longer_than_the_longest_example(lengths: list[int]) -> None:
    for part in lay_out(range(len(lengths)), lengths, 10**6, packing=True):
        assert all(row_length(row, lengths) <= max(256, *lengths, 0) for row in part)


def test_packing_wastes_little_on_mixed_lengths() -> None:
    lengths = [20 + 37 * i % 480 for i in range(64)]
    parts = lay_out(range(64), lengths, 4096, packing=True)
    padded = sum(len(part) * max(row_length(row, lengths) for row in part) for part in parts)
    assert padded <= 1.06 * sum(lengths)
