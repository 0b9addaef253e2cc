"""Format `xlam`: rows of `{query, tools, answers}`, and the two prompt/completion tracks of it.

The tracks: `<tool_call name="...">{...}</tool_call>` as completion, or a JSON record of the call.
Rows whose calls go to the same tool were generated together, so the tool of the first call is the
group.
"""

from core.errors import InputError
from core.messages import JsonObject, JsonValue
from core.rows.records import Record, id_of, text_of
from core.rows.xlam import TAGGED, xlam_calls, xlam_tools
from evals.importers.items import Row
from evals.importers.recipes import RECORDS, TOOLS
from evals.importers.targets import check_calls, json_object


def from_xlam(record: Record) -> Row:
    """Return the sample of a row in one of the three shapes.

    Raises:
        InputError: a part is missing, or the calls do not fit the tools that are offered.
    """
    if "completion" in record.value:
        return _from_track(record)
    query = text_of(record.value, "query")
    offered = xlam_tools(record.value.get("tools"))
    calls = xlam_calls(record.value.get("answers"))
    check_calls(calls, offered)
    row: dict[str, JsonValue] = {"id": id_of(record), "input": query}
    row.update(target={"calls": calls}, group=_group(calls), tools=offered)
    return row, TOOLS


def _from_track(record: Record) -> Row:
    prompt, completion = text_of(record.value, "prompt"), text_of(record.value, "completion")
    row: dict[str, JsonValue] = {"id": id_of(record), "input": prompt}
    if match := TAGGED.fullmatch(completion):
        arguments = json_object(match[2])
        if arguments is None:
            raise InputError("the arguments in the completion are no JSON object")
        calls = [{"name": match[1], "arguments": arguments}]
        return {**row, "target": {"calls": calls}, "group": match[1]}, TOOLS
    target = json_object(completion)
    if target is None:
        raise InputError('the completion must be a JSON object or <tool_call name="...">{...}')
    name = target.get("tool_name")
    return {**row, "target": target, "group": name or id_of(record)}, RECORDS


def _group(calls: list[JsonObject]) -> JsonValue:
    return calls[0]["name"] if calls else None
