"""What a form says of each field of a run's settings: the lines that stand under it in `config.py`.

They are read from the source, so that there is one text for the code, the form and the reader.
"""

import ast
import inspect
from collections.abc import Mapping
from functools import cache

from training.config import TrainConfig


@cache
def hints() -> Mapping[str, str]:
    """Return what each field means, with its unit and the source of its default, on one line."""
    (found,) = ast.parse(inspect.getsource(TrainConfig)).body
    assert isinstance(found, ast.ClassDef)
    told = {}
    for field, text in zip(found.body, found.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            assert isinstance(text, ast.Expr)
            told[field.target.id] = " ".join(ast.literal_eval(text.value).split())
    return told
