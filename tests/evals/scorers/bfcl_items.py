"""The public items of BFCL, and wrong answers to them: seeded mutations of the right ones."""

import copy
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

from core.messages import Message
from evals.sample import Sample

CATEGORIES = ("simple_python", "multiple", "parallel", "irrelevance")
MARKS = " ,./-_*^\t\n'\"\\"
HUGE = 10**400
"""A whole number that no float can hold."""
STRANGE = ("", " ", "-", 0, 1, 1.0, True, False, None, [], {}, [[]], [""], [None], {"a": 1}, HUGE)


@dataclass(frozen=True)
class Item:
    """One item: what is asked, and what is right."""

    id: str
    category: str
    functions: list
    answers: list
    sample: Sample = field(hash=False)

    def right_calls(self):
        """Return the first allowed value of every argument, as lists of name and arguments."""
        return [[name, _firsts(allowed)] for each in self.answers for name, allowed in each.items()]


def load_items(folder: Path):
    """Return the items of the four categories."""
    items = []
    for category in CATEGORIES:
        answers = {}
        if category != "irrelevance":
            rows = _rows(folder / "possible_answer" / f"BFCL_v4_{category}.json")
            answers = {row["id"]: row["ground_truth"] for row in rows}
        for row in _rows(folder / f"BFCL_v4_{category}.json"):
            items.append(item_of(row["id"], category, row["function"], answers.get(row["id"], [])))
    return items


def item_of(name, category, functions, answers):
    """Return an item with its sample; without tools, so that no schema is checked."""
    details = {"category": category, "functions": functions}
    message = (Message("user", "?"),)
    sample = Sample(name, message, {"calls": answers}, name, (), details)
    return Item(name, category, functions, answers, sample)


def text_of(calls):
    """Write calls as BFCL asks for them."""
    return "[" + ", ".join(map(_call_text, calls)) + "]"


def mutated_calls(item, draw: random.Random):
    """Return the right calls with one to three mistakes in them."""
    calls = copy.deepcopy(item.right_calls())
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        draw.choice(CALL_MUTATIONS)(calls, item, draw)
    return calls


def mutated_text(text, draw: random.Random):
    """Return a text with one mistake in how it is written."""
    return draw.choice(TEXT_MUTATIONS)(text, draw)


def _rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _firsts(allowed):
    firsts = {}
    for name, values in allowed.items():
        given = [value for value in values if value != ""]
        if given:
            firsts[name] = _plain(given[0])
    return firsts


def _plain(value):
    if isinstance(value, dict):
        return _firsts(value)
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _call_text(call):
    return f"{call[0]}({', '.join(f'{name}={value!r}' for name, value in call[1].items())})"


def _one(calls, draw):
    """Return the arguments of one call, and one of their names."""
    full = [call for call in calls if call[1]]
    if not full:
        return {"x": 1}, "x"
    arguments = draw.choice(full)[1]
    return arguments, draw.choice(list(arguments))


def drop_call(calls, item, draw):
    if calls:
        calls.pop(draw.randrange(len(calls)))


def repeat_call(calls, item, draw):
    if calls:
        calls.append(copy.deepcopy(draw.choice(calls)))


def shuffle_calls(calls, item, draw):
    draw.shuffle(calls)


def other_function(calls, item, draw):
    if calls:
        draw.choice(calls)[0] = draw.choice(item.functions)["name"]


def rename_call(calls, item, draw):
    if calls:
        call = draw.choice(calls)
        name = call[0]
        names = (name.upper(), name.replace(".", "_"), name + "s", name[:-1] or "f", "x." + name)
        call[0] = draw.choice(names)


def drop_argument(calls, item, draw):
    arguments, name = _one(calls, draw)
    del arguments[name]


def keep_required(calls, item, draw):
    for name, arguments in calls:
        for function in item.functions:
            if function["name"] == name:
                required = function["parameters"]["required"]
                for extra in [key for key in arguments if key not in required]:
                    del arguments[extra]


def add_argument(calls, item, draw):
    arguments, _ = _one(calls, draw)
    names = [name for f in item.functions for name in f["parameters"]["properties"]] + ["extra"]
    arguments[draw.choice(names)] = draw.choice(STRANGE)


def rename_argument(calls, item, draw):
    arguments, name = _one(calls, draw)
    arguments[draw.choice((name.upper(), name + "_", name[1:] or "y"))] = arguments.pop(name)


def reorder_arguments(calls, item, draw):
    for call in calls:
        pairs = list(call[1].items())
        draw.shuffle(pairs)
        call[1] = dict(pairs)


def other_allowed(calls, item, draw):
    """Give every argument any value that is allowed, the mark of omission too."""
    for call, answer in zip(calls, item.answers, strict=False):
        for name, values in next(iter(answer.values())).items():
            if values and name in call[1]:
                call[1][name] = _plain(draw.choice(values))


def replace_value(calls, item, draw):
    arguments, name = _one(calls, draw)
    arguments[name] = draw.choice(STRANGE)


def change_value(calls, item, draw):
    arguments, name = _one(calls, draw)
    arguments[name] = _changed(arguments[name], draw)


def retype_value(calls, item, draw):
    arguments, name = _one(calls, draw)
    arguments[name] = _retyped(arguments[name], draw)


def wrap_value(calls, item, draw):
    arguments, name = _one(calls, draw)
    value = arguments[name]
    arguments[name] = draw.choice(([value], {"value": value}, [[value]], {name: value}, (value,)))


def _changed(value, draw):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float) and abs(value) < HUGE:
        return draw.choice((value + 1, -value, value * 1.0, value + 1e-9, value * 10))
    if isinstance(value, str):
        return _respelt(value, draw)
    if isinstance(value, list):
        return _relisted(list(value), draw)
    if isinstance(value, dict) and value:
        return _rekeyed(dict(value), draw)
    return value


def _respelt(text, draw):
    at = draw.randint(0, len(text))
    spellings = (
        text.upper(),
        text.title(),
        text[:at] + draw.choice(MARKS) + text[at:],
        text.replace(" ", ""),
        text.replace(",", ""),
        f" {text}\n",
        text[:at],
        text + "x",
    )
    return draw.choice(spellings)


def _relisted(values, draw):
    if values and draw.random() < 0.6:
        at = draw.randrange(len(values))
        change = _changed if draw.random() < 0.6 else _retyped
        values[at] = change(values[at], draw)
        return values
    draw.choice((draw.shuffle, list.reverse, _append, _pop))(values)
    return values


def _append(values):
    values.append(values[0] if values else 5)


def _pop(values):
    if values:
        values.pop()


def _rekeyed(members, draw):
    key = draw.choice(list(members))
    kind = draw.randrange(5)
    if kind == 0:
        del members[key]
    elif kind == 1:
        members[key.upper()] = members.pop(key)
    elif kind == 2:
        members["extra"] = 1
    else:
        members[key] = (_changed if kind == 3 else _retyped)(members[key], draw)
    return members


def _retyped(value, draw):
    if isinstance(value, list | tuple):
        kinds = (tuple(value), str(value), {"items": value}, value[0] if value else "", 5)
    elif isinstance(value, dict):
        kinds = (list(value), str(value), list(value.items()), json.dumps(value), [value])
    elif isinstance(value, str):
        kinds = (value.encode(), [value], len(value), f'"{value}"', bool(value), list(value))
    elif isinstance(value, int | float) and abs(value) < HUGE:
        kinds = (str(value), float(value), int(value), bool(value), [value], complex(value, 1))
    else:
        kinds = (str(value), 0, "")
    return draw.choice(kinds)


CALL_MUTATIONS = (
    drop_call,
    repeat_call,
    shuffle_calls,
    other_function,
    rename_call,
    drop_argument,
    keep_required,
    add_argument,
    rename_argument,
    reorder_arguments,
    other_allowed,
    other_allowed,
    replace_value,
    change_value,
    change_value,
    change_value,
    retype_value,
    retype_value,
    wrap_value,
)


def _at(text, draw, piece, width=0):
    at = draw.randint(0, len(text))
    return text[:at] + piece + text[at + width :]


def _value_for(value):
    """Return a mutation that writes something else for one argument's value."""

    def mutate(text, draw):
        starts = [at + 1 for at, character in enumerate(text) if character == "="]
        if not starts:
            return value
        start = draw.choice(starts)
        ends = [end for end in (text.find(", ", start), text.find(")", start)) if end >= 0]
        end = min(ends, default=len(text))
        return text[:start] + value.replace("VALUE", text[start:end]) + text[end:]

    return mutate


def _around(before, after=""):
    return lambda text, draw: before + text + after


VALUES = (
    "VALUE + 0",
    "VALUE - 1",
    "2 * 4.5",
    "10 / 4",
    "7 // 2",
    "7 % 4",
    "2 ** 3",
    "1 / 0",
    "-VALUE",
    "+VALUE",
    "not VALUE",
    "~VALUE",
    "--VALUE",
    "(VALUE)",
    "(VALUE,)",
    "[VALUE]",
    "{VALUE}",
    "{'a': VALUE}",
    "{**VALUE}",
    "{[1]: 2}",
    "true",
    "null",
    "None",
    "True",
    "...",
    "b'VALUE'",
    "r'\\d'",
    "'\\d'",
    "f'VALUE'",
    "1j",
    "1e999",
    "0x1F",
    "1_000",
    "g(VALUE)",
    "g(x=VALUE)",
    "g.h(VALUE)[0]",
    "a.b",
    "a[0]",
    "a[1:2]",
    "lambda: VALUE",
    "VALUE if 1 else 2",
    "VALUE, *[1]",
    "VALUE, VALUE",
    "VALUE, **{'a': 1}",
    "VALUE, x=1",
    "VALUE, x=1, x=2",
    "'a' 'b'",
    "'a' + 'b'",
    "[i for i in VALUE]",
    "(x := VALUE)",
    "9" * 5000,
)
TEXT_MUTATIONS = (
    *(_value_for(value) for value in VALUES),
    *(_around(*pair) for pair in (("`", "`"), ("```\n", "\n```"), ("```python\n", "\n```"))),
    *(_around(*pair) for pair in (("Sure: ",), ("", " Done."), ("'", "'"), ("\n\n", "\n"))),
    *(_around(*pair) for pair in (("[", "]"), ("(", ")"), ("", ","), ("", " # ]"), ("", "; f()"))),
    lambda text, draw: text[1:-1],
    lambda text, draw: text[:-1],
    lambda text, draw: text[1:],
    lambda text, draw: text.replace(", ", "\n"),
    lambda text, draw: text.replace(", ", ",\n    "),
    lambda text, draw: text.replace("=", ":"),
    lambda text, draw: text.replace("'", '"'),
    lambda text, draw: text.replace("(", "()(", 1),
    lambda text, draw: text.replace("(", "[0](", 1),
    lambda text, draw: text.replace("=", "\0", 1),
    lambda text, draw: text.replace("(", "(\ud800", 1),
    *[lambda text, draw: _at(text, draw, draw.choice("'\",()[]{}=:.-+ #x1\\\n"))] * 12,
    *[lambda text, draw: _at(text, draw, "", 1)] * 12,
    *[lambda text, draw: _at(text, draw, draw.choice("'\",()[]{}=:. x1"), 1)] * 12,
)
