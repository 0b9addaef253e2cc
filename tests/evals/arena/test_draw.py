"""Which models meet, and on which side: fair, spread out, and never one model against itself."""

import random
from collections import Counter
from contextlib import closing
from dataclasses import replace

import pytest

from core.catalog import AdapterEntry, ModelEntry
from core.catalog_files import load_catalog
from core.errors import UnavailableError
from core.pool import ModelPool
from core.providers.endpoint import EndpointProvider
from core.providers.local import LocalProvider
from core.store import open_store
from core.store.battle_records import Arm
from core.store.battles import Battles
from evals.arena.arena import Arena
from evals.arena.draw import arm_of, common_start, draw_pair, ready_models
from evals.arena.shown import Ask
from tests.evals.arena.cast import NAMES, Cast, cast_catalog, cast_gateway
from tests.fakes import gateway_of


@pytest.fixture
def store(sqlite_url):
    with closing(open_store(sqlite_url)) as opened:
        yield opened


def own(name):
    return Arm(name, f"sha256:{name}")


def drawn(number, met, arm=own, models="abcd", seed=20261121):
    rng = random.Random(seed)
    return [draw_pair(models, Counter(met), arm, rng) for _ in range(number)]


def test_sides_are_a_fair_coin_and_every_pair_comes_up():
    pairs = drawn(6000, {})
    shown_first = sum(one.model < other.model for one, other in pairs)
    # Six standard deviations of a fair coin; with this seed the result is always the same.
    assert abs(shown_first - 3000) < 6 * (6000 / 4) ** 0.5
    met = Counter(frozenset((one.model, other.model)) for one, other in pairs)
    assert len(met) == 6
    assert max(met.values()) - min(met.values()) < 200


def test_pairs_that_have_met_less_are_drawn_more():
    met = {frozenset("ab"): 9, frozenset("cd"): 9}
    found = Counter(frozenset((one.model, other.model)) for one, other in drawn(4200, met))
    # Weights 1/10, 1/10 and four times 1: shares of 1/42 and 10/42.
    assert found[frozenset("ab")] + found[frozenset("cd")] == pytest.approx(200, abs=80)
    assert found[frozenset("ac")] == pytest.approx(1000, abs=150)


def test_equal_digests_never_meet():
    def twins(name):
        return Arm(name, f"sha256:{'same' if name in 'abc' else name}")

    pairs = drawn(300, {}, twins)
    assert {frozenset((one.model, other.model)) for one, other in pairs} == {
        frozenset("ad"),
        frozenset("bd"),
        frozenset("cd"),
    }
    for models in ("abc", "a", ""):
        with pytest.raises(UnavailableError, match="two different models") as caught:
            drawn(1, {}, twins, models)
        assert "a," not in str(caught.value)


def test_ids_of_one_thing_have_one_digest_and_are_never_drawn(settings, store):
    cast = Cast(served={NAMES[0]: "the same weights", NAMES[1]: "the same weights"})
    gateway = cast_gateway(settings, store, cast)
    one, other, third = (arm_of(gateway.traffic, name) for name in NAMES)
    assert one.digest == other.digest != third.digest
    arena = Arena(gateway, store, settings.home, chance=random.Random(3))
    battles = Battles(store)
    for number in range(12):
        stored = battles.get(arena.begin(f"visitor {number}", Ask("Hello")).id)
        assert NAMES[2] in (stored.a.arm.model, stored.b.arm.model)


def test_a_digest_tells_servers_adapters_and_precisions_apart_but_not_names(settings, store):
    near = ModelEntry(provider="local", context=1024, path="assets/models/understudy")
    far = ModelEntry(provider="endpoint", context=100, base_url="http://x/v1", served_model="m")
    models = {
        "near": near,
        "longer": replace(near, context=512),
        "exact": replace(near, precision="int8"),
        "far": far,
        "twin": far,
        "elsewhere": replace(far, base_url="http://y/v1"),
    }
    adapters = {"near": {"v1": AdapterEntry("assets/models/lead")}}
    catalog = replace(cast_catalog(settings), models=models, adapters=adapters)
    with closing(ModelPool(1, 1.0)) as pool:
        local = LocalProvider(pool, None, settings.home / "gguf", adapters, None)
        providers = {"local": local, "endpoint": EndpointProvider({})}
        traffic = gateway_of(catalog, store, providers).traffic
        digest = {name: arm_of(traffic, name).digest for name in catalog.ids()}
        assert arm_of(traffic, "near@v1").adapter == "v1"
    assert digest["near"] == digest["longer"]
    assert digest["far"] == digest["twin"]
    different = ["near", "exact", "near@v1", "far", "elsewhere"]
    assert len({digest[name] for name in different}) == len(different)


def test_only_models_that_can_answer_are_drawn(settings, store):
    catalog = cast_catalog(settings)
    gone = ModelEntry(provider="replay", context=9, path="no such file")
    catalog = replace(catalog, models={**catalog.models, "gone": gone})
    gateway = gateway_of(catalog, store, {"replay": Cast()})
    assert ready_models(gateway.traffic) == list(NAMES)


def test_both_sides_start_as_chats_do_only_where_that_is_the_same(settings):
    catalog = load_catalog(settings)
    system, tools = common_start(catalog, ["lead", "understudy"])
    assert [message.role for message in system] == ["system"]
    assert tools
    assert common_start(catalog, ["lead", "smollm2-135m"]) == ((), ())
