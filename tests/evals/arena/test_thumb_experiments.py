"""Experiments on thumbs in Chat: by the planned weights, and each visitor's first thumb."""

from dataclasses import replace

import pytest

from core.digests import folder_digest
from core.messages import GenerationParams, GenerationRequest, Message, ModelRef
from core.settings import PROJECT
from core.store.experiments import Plan
from evals.arena.experiments import Asked
from tests.fakes import generation_of

THUMBS = Asked("bigger", "understudy", "lead", "thumbs", Plan("always_valid", delta=0.1))
SHIPPED = {
    name: folder_digest(PROJECT / "assets" / "models" / name) for name in ("understudy", "lead")
}


def answered(parts, visitor, model, liked, digest=None):
    """Store an answer in Chat with its thumb; None for no thumb. `digest` None: as shipped."""
    talk = parts.conversations
    new = talk.create(visitor, model, "Good evening")
    request = GenerationRequest(model, (Message("user", "Hello"),), GenerationParams(), visitor)
    name, _, version = model.partition("@")
    generation = replace(
        generation_of(request, "Hello"),
        model=ModelRef(name, digest or SHIPPED[name]),
        adapter=ModelRef(version, "sha256:v") if version else None,
    )
    talk.add(visitor, new.id, Message("user", "Hello"))
    message = talk.add(visitor, new.id, Message("assistant", "Hello"), generation)
    if liked is not None:
        talk.rate(visitor, message.id, liked)
    return message.id


def test_thumbs_are_paired_as_they_come_one_for_each_visitor(lab, parts):
    answered(parts, "early", "lead", True)
    lab.make(THUMBS)
    for n in range(12):
        answered(parts, f"a{n}", "understudy", False)
        answered(parts, f"b{n}", "lead", True)
    answered(parts, "b0", "lead", False)
    answered(parts, "b1", "understudy", True)
    answered(parts, "b12", "lead", True)
    answered(parts, "b13", "lead", False, digest="sha256:2")
    answered(parts, "b14", "lead@v1", True)
    answered(parts, "b15", "lead", None)
    found = lab.panel("bigger")
    assert (found.counts.n, found.counts.wins_b, found.verdict) == (12, 12, "b")
    assert found.excluded == {"same_visitor": 2, "waiting": 1, "other_weights": 1}
    assert found.position is None
    assert "choose their model themselves" in found.notes[0]
    understudy, lead = found.arms
    assert (understudy.requests, lead.requests) == (13, 15)
    assert lead.p50_s == pytest.approx(0.02)


def test_a_thumb_that_is_changed_or_taken_back_changes_no_pair(lab, parts):
    """Else the result of a fixed number of pairs could be turned after it is known."""
    lab.make(replace(THUMBS, plan=Plan("fixed_n", 12)))
    given = [answered(parts, f"b{n}", "lead", True) for n in range(12)]
    for n in range(12):
        answered(parts, f"a{n}", "understudy", False)
    before = lab.panel("bigger")
    assert (before.verdict, before.counts.wins_b) == ("b", 12)
    parts.conversations.rate("b0", given[0], None)
    for n in range(1, 12):
        parts.conversations.rate(f"b{n}", given[n], False)
    assert lab.panel("bigger") == before
    assert "first thumb" in before.notes[1]


@pytest.mark.parametrize("arm", ["lead", "understudy"])
def test_thumbs_on_weights_that_were_swapped_before_the_first_one_do_not_count(lab, parts, arm):
    lab.make(THUMBS)
    for n in range(3):
        answered(parts, f"v{n}", arm, True, digest="sha256:swapped")
    found = lab.panel("bigger")
    assert (found.counts.n, found.excluded) == (0, {"other_weights": 3})


def test_of_a_server_only_the_id_is_known(lab, parts):
    lab.make(replace(THUMBS, arm_a="free", arm_b="paid"))
    assert len({arm.digest for arm in (lab.get("bigger").arm_a, lab.get("bigger").arm_b)}) == 2
    answered(parts, "v1", "paid", True, digest="sha256:1")
    assert lab.panel("bigger").excluded == {"other_weights": 1}
