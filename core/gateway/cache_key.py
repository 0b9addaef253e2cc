"""Under what an answer is kept: a digest of everything that affects it, and of nothing else.

A model counts by what its weights are or where it is served, never by its name in the catalog.
The order of keys in JSON objects does not count, but in tools, which prompts show as they are.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

import orjson

from core.catalog import Target
from core.errors import InputError
from core.messages import GenerationParams, GenerationRequest, Message, Tool
from core.providers.base import Completion

CODE_VERSION = 1
"""Raise it when this code would answer the same request otherwise."""
WITHOUT_EFFECT = (
    *("model", "caller", "is_admin", "conversation_id", "cache", "cancel"),
    *("together", "together_index"),
)
"""Fields of a request that do not change its answer; the identity stands for the model. Requests
that go together bypass the cache."""
DIGEST_BYTES = 16


def _reader(kind: type[Any], without: Sequence[str] = ()) -> Callable[[Any], tuple[Any, ...]]:
    """Return what reads all fields of a dataclass, those that it will get one day included."""
    return attrgetter(*(field.name for field in fields(kind) if field.name not in without))


_message = _reader(Message)
_params = _reader(GenerationParams)
_tool = _reader(Tool)
_rest = _reader(GenerationRequest, (*WITHOUT_EFFECT, "messages", "params", "tools"))


def _plain(value: object) -> object:
    """Return the JSON value of a mapping that is no dict, or of a dataclass."""
    if isinstance(value, Mapping):
        return dict(value)
    return {field.name: getattr(value, field.name) for field in fields(value)}  # type: ignore[arg-type]  # a TypeError is right for the rest


# Slower than orjson, but it tells NaN from null and takes any integer and half a surrogate pair.
_exact = json.JSONEncoder(sort_keys=True, default=_plain).encode


def cache_key(parts: Mapping[str, Any]) -> str:
    """Return 32 hexadecimal digits: BLAKE2b of the parts as JSON with sorted keys.

    NaN and infinity count as null.

    Raises:
        InputError: the parts nest too deeply.
    """
    try:
        data = orjson.dumps(parts, default=_plain, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        data = b"exact" + _exact_text(parts).encode()
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest()


def request_key(identity: str, request: GenerationRequest, extra: Mapping[str, Any]) -> str:
    """Return the key of a request to the model of this identity.

    `extra` holds what else shapes the answer, such as the settings of the output filter.

    Raises:
        InputError: tools, schema or extra nest too deeply.
    """
    # Templates write tools out in their own order of keys, so here the order counts.
    tools = json.dumps([_tool(tool) for tool in request.tools], default=_plain)
    rest = (_rest(request), tools, extra)
    return cache_key(
        {
            "code": CODE_VERSION,
            "identity": identity,
            "messages": [_message(message) for message in request.messages],
            # Temperature 0 is temperature 0.0.
            "params": [float(v) if type(v) is int else v for v in _params(request.params)],
            "rest": _exact_text(rest),
        }
    )


def endpoint_identity(target: Target) -> str:
    """Return what a remote model is known by: its server and its name there.

    A server that puts other weights under the same name can't be noticed; the cache's time limit
    bounds for how long.
    """
    model = target.model
    served = (model.provider, model.base_url, model.served_model, model.api_version, model.context)
    return _exact_text(served)


def comes_from(identity: str, completion: Completion) -> bool:
    """Say whether a completion was made by the weights that the identity names.

    Files can be replaced after the identity was read, or while older weights stay loaded; such an
    answer must not be kept under this identity.
    """
    refs = (completion.model, completion.adapter)
    return all(ref is None or ref.digest is None or ref.digest in identity for ref in refs)


def _exact_text(value: object) -> str:
    try:
        return _exact(value)
    except RecursionError:
        raise InputError("the request nests too deeply; flatten its tools or schema") from None
