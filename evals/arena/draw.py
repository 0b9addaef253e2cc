"""The draw: which two models meet, which of them is shown first, and what both are asked."""

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations

from core.catalog import Catalog, Target, located, starting_model
from core.errors import InputError, UnavailableError
from core.gateway.traffic import Traffic
from core.messages import Message, Tool
from core.model_states import model_state
from core.store.battle_records import Arm
from core.tool_json import tools_from_json
from evals.identity import served_digest, weights_of

TOO_FEW = "a battle needs two different models that can answer now, and there are not two"
NOT_READY = "a model of the running experiment can't answer now; try again later"


def arm_of(traffic: Traffic, model: str) -> Arm:
    """Return what a catalog id stands for now; of equal digests are two names of one thing.

    Of a local model the digest is over weights, adapter and precision, of a remote one over its
    server and its name there. A model that nobody can identify counts as its id.

    Raises:
        ModelNotAllowedError: the catalog has no such id.
    """
    targets = traffic.catalog.targets(model)
    version = targets[0].version if model == targets[0].id else None
    return Arm(model, served_digest([_known(traffic, each) for each in targets]), version)


def ready_models(traffic: Traffic) -> list[str]:
    """Return the models and adapters that can answer now; a chain or an ensemble is no model."""
    catalog = traffic.catalog
    mixed = {*catalog.chains, *catalog.ensembles}
    return [name for name in catalog.ids() if name not in mixed and _is_ready(traffic, name)]


def draw_pair(
    models: Sequence[str],
    met: Counter[frozenset[str]],
    arm: Callable[[str], Arm],
    rng: random.Random,
) -> tuple[Arm, Arm]:
    """Draw two models, a pair that has met n times with weight 1 / (1 + n), then the sides.

    Two ids of equal digest are one model, and never meet.

    Raises:
        UnavailableError: no two different models can answer.
    """
    pairs = list(combinations(models, 2))
    while pairs:
        weights = [1 / (1 + met[frozenset(pair)]) for pair in pairs]
        chosen = rng.choices(pairs, weights)[0]
        one, other = map(arm, chosen)
        if one.digest != other.digest:
            return toss(one, other, rng)
        pairs.remove(chosen)
    raise UnavailableError(TOO_FEW)


def experiment_pair(
    traffic: Traffic, models: tuple[str, str], rng: random.Random
) -> tuple[Arm, Arm]:
    """Return the arms of an experiment, the sides drawn.

    Raises:
        UnavailableError: one can't answer now, or both have become one and the same.
    """
    try:
        if not all(_is_ready(traffic, name) for name in models):
            raise UnavailableError(NOT_READY)
    except InputError as error:
        raise UnavailableError(NOT_READY) from error
    one, other = (arm_of(traffic, name) for name in models)
    if one.digest == other.digest:
        raise UnavailableError(
            "both arms of the running experiment are the same model by now; an admin must end it"
        )
    return toss(one, other, rng)


def toss(one: Arm, other: Arm, rng: random.Random) -> tuple[Arm, Arm]:
    """Return both in an order that a fair coin decides."""
    return (one, other) if rng.getrandbits(1) else (other, one)


def common_start(
    catalog: Catalog, models: Sequence[str]
) -> tuple[tuple[Message, ...], tuple[Tool, ...]]:
    """Return the system prompt and the tools that chats with all of these models start with.

    Where they differ there is none: all sides of a battle are asked the same.
    """
    entries = [starting_model(catalog, name) for name in models]
    systems, tools = {entry.system for entry in entries}, {entry.tools for entry in entries}
    system = systems.pop() if len(systems) == 1 else None
    offered = tools.pop() if len(tools) == 1 else None
    text = located(system).read_text(encoding="utf-8").strip() if system else ""
    return (
        (Message("system", text),) if text else (),
        tools_from_json(located(offered).read_text(encoding="utf-8")) if offered else (),
    )


def _known(traffic: Traffic, target: Target) -> str:
    model = target.model
    if model.provider in ("endpoint", "ollama"):
        return json.dumps([model.provider, model.base_url, model.served_model, model.api_version])
    identity = traffic.provider(target).identity(target)
    if identity is None:
        return target.id
    if model.provider != "local":
        return identity
    weights = weights_of(identity)
    return json.dumps([weights.digest, weights.adapter, weights.precision])


def _is_ready(traffic: Traffic, name: str) -> bool:
    return model_state(traffic, name).is_ready
