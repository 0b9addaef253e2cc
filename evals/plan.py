"""Which items a run takes, in which order they are asked, and in which batches."""

import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence

from evals.manifest import Key
from evals.sample import Sample

BATCH = 32
"""Requests of a planned batch: as many rows as an engine runs at once."""


def ordered(samples: Sequence[Sample], seed: int, limit: int | None) -> tuple[Sample, ...]:
    """Return the samples in a seeded order, groups kept together, and the first `limit` of them.

    So any beginning of the order is as good as drawn at random, group by group, and a smaller
    limit takes a part of what a larger one takes.
    """
    groups: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=lambda sample: sample.id):
        groups.setdefault(sample.group, []).append(sample)
    rng = random.Random(seed)
    names = sorted(groups)
    rng.shuffle(names)
    found = []
    for name in names:
        rng.shuffle(groups[name])
        found += groups[name]
    return tuple(found[:limit])


def by_prefix(keys: Iterable[Key], samples: Mapping[str, Sample]) -> list[Key]:
    """Return the keys as they are best asked: what begins alike together, the longest first.

    A prompt that shares its beginning is read only from where it differs, and the longest first
    leaves no long straggler for the end.
    """
    known = {key.id: (_prefix(samples[key.id]), -length(samples[key.id])) for key in keys}
    return sorted(keys, key=lambda key: (known[key.id], key.id, key.repeat))


def batches(samples: Sequence[Sample], size: int = BATCH) -> tuple[tuple[str, ...], ...]:
    """Return batches of ids, those of like length together, the longest first."""
    ids = [sample.id for sample in sorted(samples, key=lambda s: (-length(s), s.id))]
    return tuple(tuple(ids[at : at + size]) for at in range(0, len(ids), size))


def length(sample: Sample) -> int:
    """Return the characters of a prompt, tools included."""
    texts = sum(len(message.text) for message in sample.messages)
    return texts + len(_tools(sample))


def _prefix(sample: Sample) -> str:
    first = sample.messages[0]
    head = first.text if first.role == "system" else ""
    return hashlib.sha256(f"{head}\n{_tools(sample)}".encode("utf-8", "replace")).hexdigest()


def _tools(sample: Sample) -> str:
    return json.dumps([tool.to_openai() for tool in sample.tools]) if sample.tools else ""
