"""Formats `gsm8k` and `ifeval`: a question a row. Each is its own group."""

import re
from collections.abc import Mapping

from core.errors import InputError
from core.rows.records import Record, id_of, json_cell, text_of
from evals.importers.items import Row
from evals.importers.recipes import INSTRUCTIONS, NUMBERS

FINAL = re.compile(r"####[ \t]*(-?[\d.,]*\d)[ \t]*\Z")


def from_gsm8k(record: Record) -> Row:
    """Return the sample of a problem; its target is the number after `####`, without commas.

    Raises:
        InputError: question or answer is missing, or the answer does not end with a number.
    """
    answer = text_of(record.value, "answer").rstrip()
    final = FINAL.search(answer)
    if final is None:
        raise InputError("the answer must end with #### and a number")
    row = {
        "id": id_of(record),
        "input": text_of(record.value, "question"),
        "target": final[1].replace(",", ""),
    }
    return row, NUMBERS


def from_ifeval(record: Record) -> Row:
    """Return the sample of a prompt with instructions that a program can check; it has no target.

    Raises:
        InputError: the instructions and their arguments don't go together.
    """
    ids = json_cell(record.value.get("instruction_id_list"))
    kwargs = json_cell(record.value.get("kwargs"))
    if not isinstance(ids, list) or not ids or not all(isinstance(each, str) for each in ids):
        raise InputError("instruction_id_list must be a list of at least one name")
    if not isinstance(kwargs, list) or len(kwargs) != len(ids):
        raise InputError("kwargs must be a list as long as instruction_id_list")
    arguments = [_given(json_cell(each)) for each in kwargs]
    row = {
        "id": id_of(record, "key"),
        "input": text_of(record.value, "prompt"),
        "target": None,
        "details": {"instruction_id_list": ids, "kwargs": arguments},
    }
    return row, INSTRUCTIONS


def _given(arguments: object) -> dict[str, object]:
    """Return the arguments that are not null: the Hub's copy has every key in every row."""
    if not isinstance(arguments, Mapping):
        raise InputError("each of kwargs must be an object")
    return {key: value for key, value in arguments.items() if value is not None}
