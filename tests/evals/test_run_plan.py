"""Which items a run takes, in which order, and in which batches."""

from itertools import groupby

import pytest

from core.messages import Message, Tool
from evals.manifest import Key
from evals.plan import batches, by_prefix, length, ordered
from evals.sample import Sample

TOOL = Tool("seat", "Seat a guest.", {"type": "object"})


def sample(name: str, group: str = "", text: str = "Hello", tools: tuple = ()) -> Sample:
    return Sample(name, (Message("user", text),), None, group or name, tools)


def grouped(groups: int, size: int) -> list[Sample]:
    return [sample(f"{g}-{i}", f"group-{g}") for g in range(groups) for i in range(size)]


def test_the_same_seed_gives_the_same_order_whatever_the_files_order():
    samples = grouped(20, 3)
    first = ordered(samples, 7, None)
    assert ordered(samples[::-1], 7, None) == first
    assert ordered(samples, 8, None) != first
    assert sorted(s.id for s in first) == sorted(s.id for s in samples)


def test_groups_stay_together():
    order = [s.group for s in ordered(grouped(20, 3), 7, None)]
    assert len([group for group, _ in groupby(order)]) == 20


def test_a_smaller_limit_takes_the_beginning_of_a_larger_one():
    samples = grouped(20, 3)
    whole = ordered(samples, 7, None)
    for limit in (1, 10, 59, 60, 100):
        assert ordered(samples, 7, limit) == whole[:limit]


def test_each_group_is_as_likely_to_come_first():
    first = [ordered(grouped(4, 2), seed, 1)[0].group for seed in range(2000)]
    counts = [first.count(f"group-{g}") for g in range(4)]
    assert all(400 < count < 600 for count in counts)  # 500 expected, 19 a standard deviation.


def test_planned_batches_hold_each_item_once_the_longest_first():
    samples = [sample(f"s{n}", text="x" * (n * 7 % 50)) for n in range(70)]
    plan = batches(samples)
    assert [len(batch) for batch in plan] == [32, 32, 6]
    lengths = {s.id: length(s) for s in samples}
    in_order = [lengths[name] for batch in plan for name in batch]
    assert in_order == sorted(in_order, reverse=True)
    assert batches(samples[::-1]) == plan
    assert len({name for batch in plan for name in batch}) == 70


def test_what_begins_alike_is_asked_together_and_the_longest_first():
    samples = [sample(f"{n}", text="x" * n, tools=(TOOL,) if n % 2 else ()) for n in range(1, 21)]
    keys = by_prefix([Key(s.id, 0) for s in samples], {s.id: s for s in samples})
    kinds = [int(key.id) % 2 for key in keys]
    assert len([kind for kind, _ in groupby(kinds)]) == 2
    for _, part in groupby(keys, key=lambda key: int(key.id) % 2):
        numbers = [int(key.id) for key in part]
        assert numbers == sorted(numbers, reverse=True)


@pytest.mark.parametrize("count", [0, 1, 32, 33])
def test_batches_of_any_number_of_items(count):
    plan = batches([sample(f"s{n}") for n in range(count)])
    assert sum(len(batch) for batch in plan) == count
    assert all(plan)
