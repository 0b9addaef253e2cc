"""BFCL's own decoder and checker, without the sixty packages that their package asks for."""

import json
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import pytest

PLAIN, UNDERSCORED = "plain", "underscored"
"""Models of the official registry: names with dots, and names with `_` in their place."""

FAULTS = {
    "wrong_count": "wrong_count",
    "wrong_func_name": "wrong_name",
    "missing_required": "missing_required",
    "unexpected_param": "unexpected_parameter",
    "missing_optional": "missing_optional",
    "cannot_find_match": "no_match",
}
"""The official kinds of errors, as ours are named; those of types and values begin so."""
IN_TURN = (
    "tenacity",
    "tree_sitter",
    "tree_sitter_java",
    "tree_sitter_javascript",
    "bfcl_eval.constants.model_config",
    "bfcl_eval.model_handler.parser.java_parser",
    "bfcl_eval.model_handler.parser.js_parser",
)
"""Modules that are not installed, or import what is not; nothing of them is used here."""


class Verdict(NamedTuple):
    """What the official code says of an answer."""

    is_right: bool
    fault: str | None


class Oracle:
    """The official decoders and checker."""

    def __init__(self, folder: Path) -> None:
        """Import them; their configuration makes folders, which go into this one."""
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patch.setenv("BFCL_PROJECT_ROOT", str(folder))
            for name in IN_TURN:
                patch.setitem(sys.modules, name, _Anything(name))
            from bfcl_eval.constants.enums import Language, ReturnFormat
            from bfcl_eval.eval_checker.ast_eval import ast_checker
            from bfcl_eval.model_handler import utils as decoding
            from bfcl_eval.utils import is_empty_output, is_function_calling_format_output
        ast_checker.MODEL_CONFIG_MAPPING = {
            PLAIN: SimpleNamespace(underscore_to_dot=False),
            UNDERSCORED: SimpleNamespace(underscore_to_dot=True),
        }
        self._check, self._language = ast_checker.ast_checker, Language.PYTHON
        self._decode, self._format = decoding.default_decode_ast_prompting, ReturnFormat.PYTHON
        self._is_empty, self._is_calls = is_empty_output, is_function_calling_format_output

    def of_text(self, item, text, model=PLAIN) -> Verdict:
        """Judge a text as the prompt mode does."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._judged(item, lambda: self._decode(text, self._format, False), model)

    def of_calls(self, item, calls, model=PLAIN) -> Verdict:
        """Judge calls, pairs of a name and JSON text, as the function-calling mode does."""
        return self._judged(item, lambda: [{n: json.loads(text)} for n, text in calls], model)

    def _judged(self, item, decode, model) -> Verdict:
        """Follow `_evaluate_single_ast_entry` and `_evaluate_single_relevance_entry`."""
        try:
            decoded = decode()
        except Exception:  # noqa: BLE001  # as the official runner does
            is_right = "irrelevance" in item.category
            return Verdict(is_right, None if is_right else "undecodable")
        if "irrelevance" in item.category:
            is_right = self._is_empty(decoded)
            return Verdict(is_right, None if is_right else "needless_call")
        if not self._is_calls(decoded):
            return Verdict(False, "undecodable")
        arguments = (item.functions, decoded, item.answers, self._language, item.category, model)
        try:
            result = self._check(*arguments)
        except Exception:  # noqa: BLE001  # the official runner ends here
            return Verdict(False, "crash")
        return Verdict(result["valid"], None if result["valid"] else _fault(result["error_type"]))


class _Anything(ModuleType):
    """A module that has every name."""

    def __getattr__(self, name):
        return None if name.startswith("__") else lambda *_, **__: lambda function: function


def _fault(kind):
    family, _, detail = kind.partition(":")
    if family in ("type_error", "value_error"):
        return family
    return FAULTS.get(detail, "value_error")
