"""A split keeps groups together, is the same each time, and never changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError, NotFoundError, StorageError
from core.messages import Message
from training.datasets.drafts import write_version
from training.datasets.example import Example
from training.datasets.splitting import eval_groups, part_of, read_ids, split


def version_of(tmp_path, sizes):
    rows = [
        Example(
            id=f"{group}-{number}",
            messages=(Message("user", f"{group} {number}"), Message("assistant", "y")),
            group=group,
        )
        for group, size in sizes.items()
        for number in range(size)
    ]
    return write_version(tmp_path, "desk", rows, {})


def test_the_sides_are_disjoint_by_group_and_hold_every_row(tmp_path):
    version = version_of(tmp_path, {f"g{n}": n % 4 + 1 for n in range(40)})
    done = split(version, 0.2, seed=7)
    train, evaluation = read_ids(version, "train"), read_ids(version, "eval")
    assert (done.train, done.eval) == (len(train), len(evaluation))
    assert not train & evaluation
    assert len(train | evaluation) == version.rows == 100
    assert not {i.split("-")[0] for i in train} & {i.split("-")[0] for i in evaluation}
    assert 15 <= done.eval <= 20
    assert [e.id for e in part_of(version, "eval")] == sorted(
        evaluation, key=lambda i: [int(x) for x in i[1:].split("-")]
    )


def test_a_split_is_written_once(tmp_path):
    version = version_of(tmp_path, {f"g{n}": 1 for n in range(20)})
    first = split(version, 0.2, seed=7)
    before = {p.name: p.read_bytes() for p in (version.folder / "splits").iterdir()}
    assert split(version, 0.2, seed=7) == first
    for share, seed in ((0.2, 8), (0.3, 7)):
        with pytest.raises(InputError, match="is split already, in another way"):
            split(version, share, seed=seed)
    assert {p.name: p.read_bytes() for p in (version.folder / "splits").iterdir()} == before
    assert set(before) == {"train.ids", "eval.ids", "split.json"}
    assert not [p for p in version.folder.iterdir() if p.name.startswith(".")]


def test_a_list_that_someone_changed_is_refused(tmp_path):
    version = version_of(tmp_path, {f"g{n}": 1 for n in range(20)})
    with pytest.raises(NotFoundError, match="desk@v1 is not split"):
        read_ids(version, "train")
    split(version, 0.2, seed=7)
    with (version.folder / "splits" / "eval.ids").open("a") as handle:
        handle.write("g3-0\n")
    with pytest.raises(StorageError, match="eval.ids of desk@v1 has changed"):
        read_ids(version, "eval")


@given(
    st.dictionaries(st.text(min_size=1, max_size=5), st.integers(1, 30), min_size=2, max_size=40),
    st.floats(0.01, 0.99),
    st.integers(0, 5),
)
def test_no_side_is_empty_and_no_share_is_passed_without_need(sizes, share, seed):
    chosen = eval_groups(sizes, share, seed)
    rows = sum(sizes[name] for name in chosen)
    assert chosen
    assert chosen < set(sizes)
    assert rows <= share * sum(sizes.values()) or len(chosen) == 1
    assert eval_groups(dict(reversed(sizes.items())), share, seed) == chosen


def test_another_seed_chooses_other_groups():
    sizes = {f"g{n}": 1 for n in range(100)}
    assert eval_groups(sizes, 0.2, 1) != eval_groups(sizes, 0.2, 2)


def test_a_new_group_moves_few_others():
    sizes = {f"g{n}": 1 for n in range(100)}
    before, after = eval_groups(sizes, 0.2, 1), eval_groups({**sizes, "new": 1}, 0.2, 1)
    assert len(before ^ after) <= 2


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, 2.0])
def test_a_share_that_is_none_is_refused(tmp_path, share):
    with pytest.raises(InputError, match="eval_share must be above 0.0"):
        split(version_of(tmp_path, {"a": 1, "b": 1}), share, seed=1)


def test_one_group_can_not_be_split(tmp_path):
    with pytest.raises(InputError, match="at least two groups, there are 1"):
        split(version_of(tmp_path, {"a": 9}), 0.2, seed=1)
