"""Reading the catalog: `assets/catalog.yaml`, with `$UNDERSTUDY_HOME/catalog.yaml` laid over it.

Every key is checked; `${NAME}` is replaced from the environment, but for keys: secrets stay there.
"""

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import TypeAdapter, ValidationError

from core.catalog import (
    AdapterEntry,
    Catalog,
    CatalogFile,
    ChainEntry,
    EnsembleEntry,
    ModelEntry,
    Price,
    Quota,
)
from core.errors import InputError
from core.gateway.allow import Limits
from core.settings import PROJECT, Settings

VARIABLE = re.compile(r"\$\{(\w+)\}")


def load_catalog(settings: Settings) -> Catalog:
    """Read and check the catalog files.

    Raises:
        InputError: a file is not YAML, has an unknown key or a wrong value.
    """
    origins: dict[str, str] = {}
    raw: dict[str, Any] = {}
    for path in (PROJECT / "assets" / "catalog.yaml", settings.home / "catalog.yaml"):
        if path.exists():
            _lay_over(raw, _read(path), origins, ("", str(path)))
    wanted = _expand_models(raw.get("models"), settings.environment)
    checked = _validated(raw)
    missing: dict[str, tuple[str, ...]] = {}
    for model_id, entry in checked.models.items():
        names = dict.fromkeys((*wanted[model_id], *entry.needs))
        missing[model_id] = tuple(n for n in names if not settings.environment.get(n))
        _check_entry(model_id, entry, is_complete=not missing[model_id])
    for model_id in checked.adapters:
        _check_adapters(model_id, checked)
    _check_routes(checked)
    catalog = Catalog(
        models=checked.models,
        adapters=checked.adapters,
        default_model=checked.default_model,
        chains=checked.chains,
        ensembles=checked.ensembles,
        quotas=checked.quotas,
        limits=checked.limits,
        loaded_gb=checked.loaded_gb,
        unload_after_s=checked.unload_after_s,
        missing=missing,
        origins=origins,
    )
    catalog.resolve(catalog.default_model)
    return catalog


def _read(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        where = " ".join(str(error).split())
        raise InputError(f"{path} can't be read as YAML: {where}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} must hold a mapping with the keys of a catalog")
    return value


def _lay_over(
    base: dict[str, Any], over: dict[str, Any], origins: dict[str, str], place: tuple[str, str]
) -> None:
    prefix, source = place
    for key, value in over.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, dict) and isinstance(base.get(key), dict | None):
            base[key] = base.get(key) or {}
            _lay_over(base[key], value, origins, (f"{dotted}.", source))
        else:
            base[key] = value
            origins[dotted] = source


def _expand_models(models: Any, environment: Mapping[str, str]) -> dict[str, list[str]]:
    """Replace `${NAME}` in the models' values in place; return the names that each one wants."""
    wanted: dict[str, list[str]] = {}
    for model_id, entry in models.items() if isinstance(models, dict) else ():
        texts = entry.items() if isinstance(entry, dict) else ()
        found = {
            key: text for key, text in texts if isinstance(text, str) and VARIABLE.search(text)
        }
        wanted[model_id] = [name for text in found.values() for name in VARIABLE.findall(text)]
        for key, text in found.items():
            if key != "key":
                filled = VARIABLE.sub(lambda match: environment.get(match[1], ""), text)
                entry[key] = filled or None
    return wanted


def _validated(raw: dict[str, Any]) -> CatalogFile:
    try:
        return TypeAdapter(CatalogFile).validate_python(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"catalog: {where}: {_reason(first['type'], first['msg'], where)}"
        ) from error


def _reason(kind: str, message: str, where: str) -> str:
    if kind not in ("unexpected_keyword_argument", "extra_forbidden"):
        return message[0].lower() + message[1:]
    owners = (
        *(ModelEntry, CatalogFile, AdapterEntry, Price, Limits),
        *(ChainEntry, EnsembleEntry, Quota),
    )
    known = sorted({name for owner in owners for name in owner.__dataclass_fields__})
    close = difflib.get_close_matches(where.rsplit(".", 1)[-1], known, n=1)
    return "unknown key" + (f"; did you mean {close[0]!r}?" if close else "")


def _check_entry(model_id: str, entry: ModelEntry, *, is_complete: bool) -> None:
    if "@" in model_id or model_id != model_id.strip() or not model_id:
        raise InputError(f"catalog: {model_id!r} can't be a model id; leave out '@' and spaces")
    if entry.context < 2:
        raise InputError(f"catalog: {model_id!r}: context must be at least 2, got {entry.context}")
    if entry.provider == "local":
        _check_local(model_id, entry)
    elif entry.provider == "replay":
        if not entry.path:
            raise InputError(f"catalog: replay {model_id!r} needs a path: the recorded file")
    elif is_complete and not (_is_address(entry.base_url) and entry.served_model):
        raise InputError(
            f"catalog: endpoint {model_id!r} needs base_url, which begins with http:// or "
            "https://, and served_model"
        )
    if entry.key and not VARIABLE.fullmatch(entry.key):
        raise InputError(
            f"catalog: {model_id!r}: write the key as ${{NAME}}; secrets come from the environment"
        )


def _is_address(text: str | None) -> bool:
    try:
        parts = urlsplit(text or "")
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _check_local(model_id: str, entry: ModelEntry) -> None:
    if bool(entry.path) == bool(entry.hub):
        raise InputError(f"catalog: local model {model_id!r} needs either path or hub")
    if entry.hub and not entry.revision:
        raise InputError(f"catalog: {model_id!r} needs a revision: the commit to load from the Hub")
    if entry.path and os.path.isabs(entry.path) and not Path(entry.path).parent.exists():
        raise InputError(f"catalog: {model_id!r}: no folder {entry.path!r}")


def _check_routes(checked: CatalogFile) -> None:
    """Refuse chains and ensembles that lead nowhere, in circles, or under a taken name."""
    for name in (*checked.chains, *checked.ensembles):
        if name in checked.models or (name in checked.chains and name in checked.ensembles):
            raise InputError(f"catalog: {name!r} names two things; rename one of them")
    for name, chain in checked.chains.items():
        _check_names(f"chains.{name}", chain.models, checked, least=1)
        _check_chain(name, checked, ())
    for name, ensemble in checked.ensembles.items():
        _check_ensemble(f"ensembles.{name}", ensemble, checked)
    _check_quotas(checked)


def _check_quotas(checked: CatalogFile) -> None:
    for model_id, entry in checked.models.items():
        for quota in entry.quotas:
            if quota not in checked.quotas:
                raise InputError(f"catalog: models.{model_id}: there is no quota {quota!r}")
    for name, limits in checked.quotas.items():
        if any(value is not None and value < 1 for value in asdict(limits).values()):
            raise InputError(f"catalog: quotas.{name}: every limit must be at least 1")


def _check_ensemble(place: str, ensemble: EnsembleEntry, checked: CatalogFile) -> None:
    _check_names(place, ensemble.models, checked, least=2)
    for member in ensemble.models:
        if member in checked.chains:
            raise InputError(f"catalog: {place}: {member!r} is a chain; name models")
    if not 0.0 <= ensemble.threshold < 1.0 or ensemble.deadline_s <= 0:
        raise InputError(
            f"catalog: {place}: threshold must be 0.0 to below 1.0, and deadline_s above 0"
        )
    for member, weight in ensemble.weights.items():
        if member not in ensemble.models or not 0.0 <= weight <= 1.0:
            raise InputError(
                f"catalog: {place}: weights are accuracies of its models, 0.0 to 1.0; "
                f"got {member!r}: {weight!r}"
            )


def _check_names(place: str, names: tuple[str, ...], checked: CatalogFile, least: int) -> None:
    if len(names) < least or len(set(names)) < len(names):
        raise InputError(f"catalog: {place}: name at least {least}, each once")
    for name in names:
        model_id, _, version = name.partition("@")
        is_model = model_id in checked.models and (
            not version or version in checked.adapters.get(model_id, {})
        )
        if not is_model and name not in checked.chains:
            raise InputError(f"catalog: {place}: there is no model or chain {name!r}")


def _check_chain(name: str, checked: CatalogFile, above: tuple[str, ...]) -> None:
    if name in above:
        raise InputError(f"catalog: chains go in a circle: {' -> '.join((*above, name))}")
    for each in checked.chains[name].models:
        if each in checked.chains:
            _check_chain(each, checked, (*above, name))


def _check_adapters(model_id: str, checked: CatalogFile) -> None:
    entry = checked.models.get(model_id)
    if entry is None:
        raise InputError(f"catalog: adapters.{model_id}: there is no model of this name")
    if entry.provider != "local":
        raise InputError(
            f"catalog: adapters.{model_id}: adapters are loaded into local models only; "
            "a server serves its own under a name for served_model"
        )
