"""What the house promises of the whole code: nothing undocumented, unused, unsafe or too early."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("core", "evals", "training", "tabs")
SOURCES = [
    *sorted(ROOT.glob("app.py")),
    *(path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))),
]
LIBRARIES = ("core", "evals", "training")
HEAVY = ("torch", "transformers", "gradio")
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
UNSAFE_CALLS = {"torch.load", "os.system", "os.popen", "yaml.full_load", "yaml.unsafe_load"}
UNSAFE_BUILTINS = {"eval", "exec"}
NOT_RAISED: Mapping[str, str] = {
    "AppError": "the base; only its subclasses say what is wrong",
}
"""Errors that no code raises, each with the reason."""
WIDER_NAMES: Mapping[str, str] = {
    "PIL": "pillow",
    "dateutil": "python-dateutil",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}
"""Distributions whose import name is another."""
FROM_OUTSIDE: Mapping[str, str] = {
    "gguf": "requirements-llama.txt, an optional extra; MissingExtraError without it",
    "ray": "an executor for who has a cluster; MissingExtraError without it",
    "spaces": "installed by ZeroGPU Spaces and of no use elsewhere",
    "xllamacpp": "requirements-llama.txt, an optional extra; MissingExtraError without it",
}
"""Imports that requirements.txt leaves out, each with the reason."""


def name_of(path: Path) -> str:
    """Return a file's name as the reader knows it."""
    return path.relative_to(ROOT).as_posix()


def parse(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def dotted(node: ast.expr) -> str:
    """Return `a.b.c` for such an expression, else an empty text."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def classes() -> Iterator[tuple[Path, ast.ClassDef]]:
    """Yield every class of the project with its file."""
    for path in SOURCES:
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ClassDef):
                yield path, node


def imported(path: Path) -> Iterator[str]:
    """Yield the top-level name of everything a file imports, wherever it does."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def is_config(node: ast.ClassDef) -> bool:
    """Return whether a class is a dataclass that configures an operation."""
    decorators = [dotted(d.func) if isinstance(d, ast.Call) else "" for d in node.decorator_list]
    is_named = re.search(r"(Config|Params|Limits|Settings)$", node.name) is not None
    return is_named and "dataclass" in decorators


def undocumented_fields(node: ast.ClassDef) -> list[str]:
    """Return the fields of a dataclass without a docstring line right under them."""
    missing = []
    for field, below in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        text = below.value if isinstance(below, ast.Expr) else None
        if not (isinstance(text, ast.Constant) and isinstance(text.value, str)):
            missing.append(field.target.id)
    return missing


def test_every_config_field_says_what_it_means() -> None:
    found = {f"{name_of(path)} {node.name}": node for path, node in classes() if is_config(node)}
    assert found
    missing = {name: undocumented_fields(node) for name, node in found.items()}
    assert {name: fields for name, fields in missing.items() if fields} == {}


def test_a_missing_field_docstring_is_noticed() -> None:
    code = '@dataclass(frozen=True)\nclass AConfig:\n    a: int\n    """Steps."""\n    b: int\n'
    node = ast.parse(code).body[0]
    assert isinstance(node, ast.ClassDef)
    assert is_config(node)
    assert undocumented_fields(node) == ["b"]


def app_errors() -> set[str]:
    """Return the names of AppError and of all that derive from it."""
    bases = {node.name: {dotted(b).split(".")[-1] for b in node.bases} for _, node in classes()}
    found = {"AppError"}
    while grown := {name for name, above in bases.items() if above & found} - found:
        found |= grown
    return found


def made_names(path: Path) -> Iterator[str]:
    """Yield what a file constructs or raises."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Call):
            yield dotted(node.func).split(".")[-1]
        elif isinstance(node, ast.Raise) and node.exc is not None:
            yield dotted(node.exc).split(".")[-1]


def test_every_error_is_raised() -> None:
    made = {name for path in SOURCES for name in made_names(path)}
    assert app_errors() - made - NOT_RAISED.keys() == set()
    assert NOT_RAISED.keys() & made == set(), "listed as not raised, but it is"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_unsafe(path: Path) -> None:
    assert set(imported(path)) & UNSAFE_MODULES == set()
    for node in ast.walk(parse(path)):
        if not isinstance(node, ast.Call):
            continue
        called = dotted(node.func)
        assert called not in UNSAFE_CALLS | UNSAFE_BUILTINS, f"line {node.lineno}: {called}"
        for keyword in node.keywords:
            is_on = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
            forbidden = is_on and keyword.arg in {"trust_remote_code", "shell"}
            assert not forbidden, f"line {node.lineno}: {keyword.arg}=True"
    remote = re.search(r"[\"']trust_remote_code[\"']\s*:\s*True", path.read_text(encoding="utf-8"))
    assert remote is None


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_the_page_imports_gradio(path: Path) -> None:
    is_page = path.name == "app.py" or name_of(path).startswith("tabs/")
    assert is_page or "gradio" not in set(imported(path))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_what_is_left_to_do_carries_a_link(path: Path) -> None:
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    marked = [text for text in comments if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)]
    assert [text for text in marked if "https://" not in text] == []


def requirements() -> dict[str, str]:
    """Return requirements.txt as distribution in lower case → version."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pins = re.findall(r"^([\w.-]+)(?:\[\w+\])?==([\w.+]+)", text, re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in pins}


def test_every_import_is_a_pinned_requirement() -> None:
    ours = {*PACKAGES, "app", *sys.stdlib_module_names, *FROM_OUTSIDE}
    names = {name for path in SOURCES for name in imported(path)} - ours
    wanted = {WIDER_NAMES.get(name, name).lower().replace("_", "-") for name in names}
    assert wanted - requirements().keys() == set()


LIST_IMPORTS = """
import importlib, pathlib, sys
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.py")):
    module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    if module.startswith(("evals.hf_metric", "evals.metrics.")):
        continue  # Only `evaluate` itself loads them, which imports all of that.
    importlib.import_module(module)
print(*sorted(sys.modules))
"""


@pytest.mark.parametrize("package", LIBRARIES)
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    command = [sys.executable, "-c", LIST_IMPORTS, package]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert f"{package}.__init__" in output.split() or package in output.split()
    assert set(output.split()) & set(HEAVY) == set()


def test_the_page_is_up_before_any_model_library() -> None:
    command = [sys.executable, "-c", "import app, sys; print(*sorted(sys.modules))"]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert set(output.split()) & {"torch", "transformers", "trl"} == set()


def readme() -> str:
    """Return the README."""
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_names_every_tab() -> None:
    paths = sorted((ROOT / "tabs").glob("*.py"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    tabs = [name.capitalize() for name in re.findall(r"^def build_(\w+)_tab\(", text, re.MULTILINE)]
    assert tabs
    assert [name for name in tabs if not re.search(rf"\b{name}\b", readme())] == []


def test_readme_tells_every_task_with_its_size_and_primary_metric() -> None:
    found = {}
    for path in (ROOT / "assets" / "tasks").glob("*.yaml"):
        task = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows = (path.parent / task.get("dataset", f"{path.stem}.jsonl")).read_text("utf-8")
        found[path.stem] = (rows.count("\n"), task["metrics"][0])
    row = re.compile(r"^\| `(\w+)` \| (\d+) \|.*\| `(\w+)` \|$", re.MULTILINE)
    assert {name: (int(count), metric) for name, count, metric in row.findall(readme())} == found


def test_readme_names_every_make_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE)
    assert {"run", "test", "check"} <= set(targets)
    assert [name for name in targets if f"make {name}" not in readme()] == []


def test_readme_begins_with_what_a_space_reads() -> None:
    header = readme().split("---\n")[1]
    fields = dict(line.split(": ", 1) for line in header.splitlines() if ": " in line)
    assert readme().startswith("---\n")
    assert fields["sdk"] == "gradio"
    assert fields["sdk_version"] == requirements()["gradio"]
    assert (ROOT / fields["app_file"]).is_file()
    assert re.match(r"3\.1[123]", fields["python_version"].strip("'\""))
    assert 0 < len(fields["short_description"]) <= 60
