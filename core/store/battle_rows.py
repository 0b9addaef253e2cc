"""How battles become rows, and rows battles."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, select

from core.messages import GenerationParams, Message, Tool
from core.store.battle_records import (
    Arm,
    NewBattle,
    Side,
    SideEnd,
    SideName,
    StoredBattle,
    Vote,
    shown_answer,
)
from core.store.battle_tables import battle_corrections, battle_sides, votes
from core.store.records import generation_from_facts, tool_calls_of
from core.store.text import clean_json, clean_text

PLAIN = ("id", "created_at", "voter", "source", "status", "task", "item", "experiment")
"""Columns of `battles` that a `StoredBattle` has as they are."""


def prompt_digest(messages: Sequence[Message], item: str | None = None) -> str:
    """Return 32 hexadecimal digits that the same question has, however it is spaced and cased.

    The system prompt of a visitor's own question does not count: the server puts it before, and
    which one depends on the models drawn. That of a task's item is part of the item.
    """
    asked = [each for each in messages if item is not None or each.role != "system"]
    words = [[each.role, " ".join(clean_text(each.text).casefold().split())] for each in asked]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:32]


def battle_values(new: NewBattle) -> dict[str, Any]:
    """Return the columns of a new battle that come from the battle itself."""
    return {
        "voter": new.voter,
        "source": new.source,
        "task": new.task,
        "item": new.item,
        "experiment": new.experiment,
        "prompt": prompt_digest(new.messages, new.item),
        "messages": clean_json([_message_row(each) for each in new.messages]),
        "tools": clean_json([tool.to_openai() for tool in new.tools]),
        "params": new.params.to_dict(),
    }


def side_values(name: SideName, arm: Arm) -> dict[str, Any]:
    """Return the row of a side that has not answered yet, without the battle's id."""
    drawn = {field.name: getattr(arm, field.name) for field in fields(Arm)}
    return {**drawn, "side": name, "names_itself": False, "answer": "", "tool_calls": []}


def end_values(end: SideEnd) -> dict[str, Any]:
    """Return what a side's end changes in its row."""
    made = end.generation
    if made is None:
        return {"error": end.error}
    return {
        "names_itself": end.names_itself,
        "length": len(shown_answer(made)),
        "input_tokens": made.usage.input_tokens,
        "output_tokens": made.usage.output_tokens,
        "cost_usd": made.cost_usd,
        "first_token_s": made.timings.first_token_s,
        "queue_s": made.timings.queue_s,
        "total_s": made.timings.total_s,
        "tokens_per_s": made.timings.tokens_per_s,
        "answer": clean_text(made.text),
        "tool_calls": clean_json([call.to_openai() for call in made.tool_calls]),
        "facts": clean_json(made.facts()),
    }


def read_battles(connection: Connection, rows: Sequence[RowMapping]) -> list[StoredBattle]:
    """Return the battles of rows of `battles`, with their sides, votes and corrections."""
    ids = [row["id"] for row in rows]

    def beside(table: Table) -> list[RowMapping]:
        query = select(table).where(table.c.battle_id.in_(ids))
        return list(connection.execute(query).mappings())

    sides = {(row["battle_id"], row["side"]): _side(row) for row in beside(battle_sides)}
    said = {row["battle_id"]: _vote(row) for row in beside(votes)}
    edits: dict[str, dict[SideName, str]] = {}
    for row in sorted(beside(battle_corrections), key=lambda row: int(row["id"])):
        edits.setdefault(row["battle_id"], {})[row["side"]] = row["text"]
    asked = {row["id"]: tuple(map(_message, row["messages"])) for row in rows}
    return [
        StoredBattle(
            **{name: row[name] for name in PLAIN},
            # Rows of earlier versions have another key in their column.
            prompt=prompt_digest(asked[row["id"]], row["item"]),
            messages=asked[row["id"]],
            tools=tuple(map(_tool, row["tools"])),
            params=_params(row["params"]),
            a=sides[row["id"], "a"],
            b=sides[row["id"], "b"],
            vote=said.get(row["id"]),
            corrections=edits.get(row["id"], {}),
        )
        for row in rows
    ]


def read_battle(connection: Connection, row: RowMapping) -> StoredBattle:
    """Return the battle of one row."""
    return read_battles(connection, [row])[0]


def _params(values: Mapping[str, Any]) -> GenerationParams:
    return GenerationParams(**{**values, "stop": tuple(values["stop"])})


def _side(row: RowMapping) -> Side:
    facts, said = row["facts"], _answer(row)
    made = None if facts is None else generation_from_facts(facts, said)
    return Side(
        name=row["side"],
        arm=Arm(row["model"], row["digest"], row["adapter"]),
        answer="" if made is None else shown_answer(made),
        generation=made,
        error=row["error"],
        names_itself=row["names_itself"],
    )


def _answer(row: RowMapping) -> Message:
    return Message("assistant", row["answer"], tool_calls_of(row["tool_calls"]))


def _vote(row: RowMapping) -> Vote:
    return Vote(row["outcome"], tuple(row["reasons"]), row["voted_at"], row["excluded_because"])


def _message_row(message: Message) -> dict[str, Any]:
    return {
        "role": message.role,
        "text": message.text,
        "tool_calls": [call.to_openai() for call in message.tool_calls],
        "tool_call_id": message.tool_call_id,
    }


def _message(row: Mapping[str, Any]) -> Message:
    calls = tool_calls_of(row["tool_calls"])
    return Message(row["role"], row["text"], calls, row["tool_call_id"])


def _tool(row: Mapping[str, Any]) -> Tool:
    function = row["function"]
    return Tool(function["name"], function["description"], function["parameters"])
