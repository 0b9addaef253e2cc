"""Conversations at the desk: requests, the tools on offer, and the right calls."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from training.pretrain.world import (
    Draw,
    Tool,
    Value,
    imperatives,
    made_up_word,
    pseudo_word,
    slots_of,
    spoken,
    tools,
    value_of,
)

Json = dict[str, Any]

SYSTEM_PROMPTS = (
    "You are the house desk of the gala. Use the tools to serve the guests.",
    "You are the butler at the house desk. Call a tool when one fits, else decline politely.",
    "You serve the gala's house desk.",
    "House desk. Answer requests with the tools you have.",
    "You are the desk of a grand house. Guests and staff ask you for things.",
)
OPENINGS = (
    "Please, ",
    "Hello, ",
    "Dear desk, ",
    "One more thing: ",
    "Next: ",
    "Good evening. ",
    "Excuse me, ",
)
IMPERATIVE_OPENINGS = ("Please ", "Could you ", "Kindly ", "Would you ")
ENDINGS = (", please", ", thank you", " now", ", quickly", ", if you can")
JOINTS = (" and ", ". Also ", ", then ", ". And ", "; ")
DECLINES = (
    "I am afraid none of my tools can do that.",
    "I regret that this is beyond the tools I have been given.",
    "I am sorry, but no tool at this desk fits that request.",
    "With regret, I have no tool for that.",
)
OUTSIDE = (
    "What is the capital of {place}",
    "Write a poem about {thing}",
    "Explain how engines work",
    "What is {n} times {m}",
    "Translate {thing} into French",
    "Who won the game last night",
    "Fix my computer",
    "Recommend a book about {thing}",
    "How tall is the tower of {place}",
    "Book a flight to {place}",
    "What will the weather be tomorrow",
    "Buy shares of {place}",
)
DONE = ("Very good.", "Certainly.", "It is done.", "With pleasure.", "As you wish.")
TROUBLES = (
    "the table is full",
    "the name is unknown",
    "the kitchen is closed",
    "nobody answers",
    "it is too late",
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool as one conversation shows it: its names of the day."""

    tool: Tool
    name: str
    parameter_names: Mapping[str, str]
    """Slot of the world to the name in the schema, in schema order."""
    schema: Json

    def call(self, values: Mapping[str, Value]) -> Json:
        """Return the call `{name, arguments}` for these values, in schema order."""
        arguments = {
            shown: values[key] for key, shown in self.parameter_names.items() if key in values
        }
        return {"name": self.name, "arguments": arguments}


@dataclass(frozen=True, slots=True)
class Request:
    """What a person says, and the calls that answer it (none: decline)."""

    text: str
    calls: tuple[Json, ...]


def offer(tool: Tool, draw: Draw) -> Offer:
    """Return the tool under a name, description and parameter names drawn for it."""
    rng = draw.rng
    name = rng.choice(tool.names[draw.names])
    if draw.is_novel(draw.novel_names):
        name = novel_name(tool, draw)
    shape = rng.random()
    if draw.names == "train" and shape < 0.08:
        name = made_up_word(draw)
    elif shape < 0.2:
        first, *rest = name.split("_")
        name = first + "".join(word.capitalize() for word in rest)
    parameters = list(tool.parameters)
    rng.shuffle(parameters)
    names: dict[str, str] = {}
    properties: Json = {}
    for parameter in parameters:
        if parameter.optional and rng.random() < 0.3:
            continue
        free = [n for n in parameter.names if n not in properties]
        shown = rng.choice(free)
        if rng.random() < 0.1:
            shown = f"{made_up_word(draw)}_{shown}"
        names[parameter.key] = shown
        properties[shown] = {"type": parameter.type}
        if parameter.values:
            properties[shown]["enum"] = sorted(parameter.values, key=lambda _: rng.random())
    required = [names[p.key] for p in parameters if not p.optional]
    schema = {
        "type": "function",
        "function": {
            "name": name,
            "description": rng.choice(tool.descriptions),
            "parameters": {"type": "object", "properties": properties, "required": required},
        },
    }
    return Offer(tool, name, names, schema)


@cache
def held_out_names() -> frozenset[str]:
    """Return the tool names that training never sees."""
    return frozenset(name for tool in tools() for name in tool.names["heldout"])


def novel_name(tool: Tool, draw: Draw) -> str:
    """Return a name recombined from two of the tool's or partly made up; never a held-out one.

    With a word of another tool's name, only the description tells what the tool does.
    """
    rng = draw.rng
    one, two = (rng.choice(tool.names[draw.names]).split("_") for _ in range(2))
    other = rng.choice(rng.choice(tools()).names[draw.names]).split("_")
    word = pseudo_word(rng)
    made = (
        [one[0], two[-1]],
        [word, two[-1]],
        [one[0], word],
        [*one, word],
        [word],
        [other[0], word],
        [other[0], two[-1]],
        [pseudo_word(rng), word],
    )
    name = "_".join(dict.fromkeys(rng.choice(made)))
    return novel_name(tool, draw) if name in held_out_names() else name


def offers(draw: Draw, count: int) -> list[Offer]:
    """Return `count` different tools with different names."""
    made: list[Offer] = []
    for tool in draw.rng.sample(tools(), count):
        candidate = offer(tool, draw)
        while candidate.name in [o.name for o in made]:
            candidate = offer(tool, draw)
        made.append(candidate)
    return made


def plain_request(offered: Offer, draw: Draw) -> Request:
    """Return a bare request that the offered tool answers, and its call."""
    rng = draw.rng
    allowed = set(offered.parameter_names)
    fitting = [p for p in offered.tool.phrasings[draw.phrasings] if set(slots_of(p)) <= allowed]
    phrasing = rng.choice(fitting)
    values: dict[str, Value] = {}
    said: dict[str, str] = {}
    for parameter in offered.tool.parameters:
        if "{" + parameter.key + "}" in phrasing:
            value = value_of(parameter, draw)
            while value in values.values():
                value = value_of(parameter, draw)
            values[parameter.key] = value
            said[parameter.key] = spoken(value, parameter.kind, rng)
    return Request(phrasing.format(**said), (offered.call(values),))


def lower_start(text: str) -> str:
    """Return the text with a lower-case start when it starts with one of our verbs."""
    word = text.split(" ", 1)[0]
    return text[0].lower() + text[1:] if word in imperatives() else text


def dressed(text: str, draw: Draw) -> str:
    """Return the text as different people would put it: opening, ending, full stop."""
    rng = draw.rng
    shape = rng.random()
    if shape < 0.3 and text.split(" ", 1)[0] in imperatives():
        text = rng.choice(IMPERATIVE_OPENINGS) + lower_start(text)
    elif shape < 0.55:
        opening = rng.choice(OPENINGS)
        text = opening + (text if opening.endswith(". ") else lower_start(text))
    if rng.random() < 0.25:
        text += rng.choice(ENDINGS)
    return text + rng.choice((".", ".", "", "!"))


def single(offered: Sequence[Offer], draw: Draw) -> Request:
    """Return a request for one call of an offered tool."""
    plain = plain_request(draw.rng.choice(offered), draw)
    return Request(dressed(plain.text, draw), plain.calls)


def double(offered: Sequence[Offer], draw: Draw) -> Request:
    """Return a request for two calls, of one tool or of two."""
    one, two = (plain_request(draw.rng.choice(offered), draw) for _ in range(2))
    joint = draw.rng.choice(JOINTS)
    second = two.text if joint == ". " else lower_start(two.text)
    return Request(dressed(one.text + joint + second, draw), one.calls + two.calls)


def unanswerable(offered: Sequence[Offer], draw: Draw) -> Request:
    """Return a request that no offered tool can answer."""
    rng = draw.rng
    shown = {o.tool.key for o in offered}
    if rng.random() < 0.35:
        text = rng.choice(OUTSIDE).format(
            place=draw.word("last"),
            thing=draw.word("thing"),
            n=rng.randrange(2, 90),
            m=rng.randrange(2, 90),
        )
        return Request(dressed(text, draw), ())
    other = rng.choice([t for t in tools() if t.key not in shown])
    return Request(dressed(plain_request(offer(other, draw), draw).text, draw), ())


def answer(request: Request, draw: Draw) -> Json:
    """Return the right assistant message: the calls, or a polite refusal."""
    if not request.calls:
        return {"role": "assistant", "content": draw.rng.choice(DECLINES)}
    calls = [{"type": "function", "function": call} for call in request.calls]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def tool_results(request: Request, draw: Draw) -> list[Json]:
    """Return results for each call, and the assistant's word on them."""
    rng = draw.rng
    if rng.random() < 0.15:
        trouble = rng.choice(TROUBLES)
        results = [
            {"role": "tool", "content": json.dumps({"error": trouble})} for _ in request.calls
        ]
        return [*results, {"role": "assistant", "content": f"I am sorry, {trouble}."}]
    results = [{"role": "tool", "content": json.dumps({"ok": True})} for _ in request.calls]
    said = "; ".join(
        ", ".join(f"{k} {v}" for k, v in call["arguments"].items()) for call in request.calls
    )
    return [*results, {"role": "assistant", "content": f"{rng.choice(DONE)} I have noted {said}."}]


def turn(offered: Sequence[Offer], draw: Draw) -> Request:
    """Return a request of a random kind."""
    kind = draw.rng.random()
    if kind < 0.72:
        return single(offered, draw)
    return double(offered, draw) if kind < 0.86 else unanswerable(offered, draw)


def conversation(draw: Draw, turns: int) -> tuple[list[Json], list[Json]]:
    """Return messages and tool schemas of a conversation with this many requests."""
    rng = draw.rng
    offered = offers(draw, rng.choice((2, 2, 3, 3, 4)))
    messages: list[Json] = []
    if rng.random() < 0.85:
        messages.append({"role": "system", "content": rng.choice(SYSTEM_PROMPTS)})
    for _ in range(turns):
        request = turn(offered, draw)
        messages += [{"role": "user", "content": request.text}, answer(request, draw)]
        if request.calls and rng.random() < 0.25:
            messages += tool_results(request, draw)
    return messages, [o.schema for o in offered]
