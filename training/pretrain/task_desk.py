"""Rows of the tasks `desk_tools`, `desk_routing` and `desk_records`."""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from training.pretrain import desk, talk
from training.pretrain.task_draws import drawn, has_held_out_word, numbered, outside, templated
from training.pretrain.world import Draw, tools

Json = dict[str, Any]
UNSEEN: Mapping[str, Callable[[random.Random], Draw]] = {
    "values": lambda rng: Draw(rng, values="heldout"),
    "phrasings": lambda rng: Draw(rng, phrasings="heldout"),
    "names": lambda rng: Draw(rng, names="heldout", values="heldout"),
    "decline": lambda rng: Draw(rng, values="heldout"),
}
"""What pretraining never drew, by the part of `desk_tools` that it makes hard."""
ROWS_OF_A_PART = 75
DOUBLE = 0.15
"""Share of requests that two calls answer."""
ROUTES = 240
OUTSIDE_ROUTES, MISSING_ROUTES = 0.1, 0.1
"""Share of messages that are no matter of the desk's, and of those whose intent is not listed."""
RECORDS = 240
KIND_OF = {name: kind for kind, names in talk.FIELDS.items() for name in names}
TYPES: Mapping[str, tuple[str, Json]] = {
    "person": ("string", {"type": ["string", "null"]}),
    "time": ("string HH:MM", {"type": ["string", "null"], "pattern": "^[0-2][0-9]:[0-5][0-9]$"}),
    "party": ("integer", {"type": ["integer", "null"]}),
    "table": ("integer", {"type": ["integer", "null"]}),
    "dish": ("string", {"type": ["string", "null"]}),
    "diet": ("string", {"enum": [*talk.DIETS, None]}),
}
"""Kind of field to its type in the prompt's words, and to its schema."""


def desk_tools() -> Iterator[Json]:
    """Yield requests with the tools on offer; a fifth is for none of them."""
    parts = (drawn(f"desk_tools:{part}", ROWS_OF_A_PART, _maker(part)) for part in UNSEEN)
    return numbered("desk_tools", (row for rows in parts for row in rows))


def desk_routing() -> Iterator[Json]:
    """Yield messages with the intents to choose from; `other` where none of them fits."""
    return numbered("desk_routing", drawn("desk_routing", ROUTES, _route))


def desk_records() -> Iterator[Json]:
    """Yield messages with the fields of the record to make of them."""
    return numbered("desk_records", drawn("desk_records", RECORDS, _record))


def _maker(part: str) -> Callable[[random.Random], Json | None]:
    def make(rng: random.Random) -> Json | None:
        return _tool_row(part, UNSEEN[part](rng))

    return make


def _tool_row(part: str, draw: Draw) -> Json | None:
    offered = desk.offers(draw, draw.rng.choice((2, 3, 4)))
    if part == "decline":
        request, group = _declined(offered, draw)
    elif draw.rng.random() < DOUBLE:
        request, group = _double(offered, draw)
    else:
        plain, group = templated(draw.rng.choice(offered), draw)
        request = desk.Request(desk.dressed(plain.text, draw), plain.calls)
    if draw.phrasings != "heldout" and not has_held_out_word(request.text):
        return None
    return {
        "input": [_system(draw.rng.choice(desk.SYSTEM_PROMPTS)), _user(request.text)],
        "target": {"calls": list(request.calls)},
        "group": group,
        "tools": [each.schema for each in offered],
        "details": {"unseen": part},
    }


def _declined(offered: list[desk.Offer], draw: Draw) -> tuple[desk.Request, str]:
    text, group = outside(draw)
    if draw.rng.random() > 0.35:
        shown = {each.tool.key for each in offered}
        other = draw.rng.choice([tool for tool in tools() if tool.key not in shown])
        request, group = templated(desk.offer(other, draw), draw)
        text = request.text
    return desk.Request(desk.dressed(text, draw), ()), group


def _double(offered: list[desk.Offer], draw: Draw) -> tuple[desk.Request, str]:
    one, group = templated(draw.rng.choice(offered), draw)
    two, _ = templated(draw.rng.choice(offered), draw)
    joint = draw.rng.choice(desk.JOINTS)
    second = two.text if joint == ". " else desk.lower_start(two.text)
    text = desk.dressed(one.text + joint + second, draw)
    return desk.Request(text, one.calls + two.calls), group


def _route(rng: random.Random) -> Json | None:
    draw = UNSEEN[rng.choice(("values", "phrasings"))](rng)
    intent = rng.choice(talk.INTENTS)
    others = [label for label in talk.INTENTS if label != intent]
    labels = rng.sample(others, rng.choice((3, 4, 5, 8)))
    shape = rng.random()
    is_outside = shape < OUTSIDE_ROUTES
    if is_outside:
        text, group = outside(Draw(rng, values="heldout"))
    else:
        tool = rng.choice([tool for tool in tools() if tool.intent == intent])
        request, group = templated(desk.offer(tool, draw), draw)
        text = request.text
    is_other = shape < OUTSIDE_ROUTES + MISSING_ROUTES
    if not is_other:
        labels.insert(rng.randrange(len(labels) + 1), intent)
    if (is_outside or draw.phrasings != "heldout") and not has_held_out_word(text):
        return None
    labels.append("other")
    system = rng.choice(talk.ROUTE_PROMPTS).format(intents=", ".join(labels))
    return {
        "input": [_system(system), _user(desk.dressed(text, draw))],
        "target": "other" if is_other else intent,
        "group": group,
        "details": {"labels": labels, "out_of_scope": "other"},
    }


def _record(rng: random.Random) -> Json | None:
    system, user, reply = talk.record(Draw(rng, values="heldout"))
    if not has_held_out_word(user["content"]):
        return None
    target: Json = json.loads(reply["content"])
    kinds = {name: KIND_OF[name] for name in target}
    schema = {
        "type": "object",
        "properties": {name: TYPES[kind][1] for name, kind in kinds.items()},
        "required": list(target),
        "additionalProperties": False,
    }
    types = ", ".join(f"{name} {TYPES[kind][0]}" for name, kind in kinds.items())
    shown = f"{system['content']}\nTypes: {types}. What is missing is null."
    if "diet" in kinds.values():
        shown += f" Diets: {', '.join(talk.DIETS)}."
    return {
        "input": [_system(shown), user],
        "target": target,
        "group": " ".join(sorted(kinds.values())),
        "details": {"schema": schema},
    }


def _system(text: str) -> Json:
    return {"role": "system", "content": text}


def _user(text: str) -> Json:
    return {"role": "user", "content": text}
