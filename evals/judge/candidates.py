"""Who may not judge: a model of the candidate's weights, or one served from the same place."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from core.catalog import Catalog, Target
from core.errors import InputError, ModelNotAllowedError
from core.gateway.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model whose answers are judged, as its run recorded it."""

    model: str
    """`MODEL` or `MODEL@VERSION`; also a chain or an ensemble."""
    digests: tuple[str, ...] = ()
    """Of its weights and adapters, as far as the runtime told."""


def refuse_candidates(traffic: Traffic, judge: str, candidates: Sequence[Candidate]) -> None:
    """Refuse a judge that would judge its own answers, or those of other adapters on its weights.

    Of a chain or an ensemble every member counts, on either side.

    Raises:
        ModelNotAllowedError: the catalog has no such judge.
        InputError: the judge is a candidate.
    """
    for target in traffic.catalog.targets(judge):
        for candidate in candidates:
            if reason := _same(traffic, target, candidate):
                raise InputError(
                    f"{judge!r} can't judge the answers of {candidate.model!r}: {target.id!r} "
                    f"{reason}; choose a judge of other weights"
                )


def _same(traffic: Traffic, judge: Target, candidate: Candidate) -> str:
    """Return why a judge is the candidate; empty when it is not."""
    identity = _identity(traffic, judge)
    if any(digest and digest in identity for digest in candidate.digests):
        return "has the same weights"
    if candidate.model.partition("@")[0] == judge.model_id:
        return "is the same model"
    others = _targets(traffic.catalog, candidate.model)
    if any(_source(judge) == _source(other) for other in others):
        return "is served from the same place"
    if any(_identity(traffic, other) == identity for other in others):
        return "has the same weights"
    return ""


def _identity(traffic: Traffic, target: Target) -> str:
    """Return what the cache knows a model by, or its entry where the weights are not here yet."""
    known = traffic.provider(target).identity(target)
    return known if known is not None else "\n".join((target.id, *_source(target)))


def _source(target: Target) -> tuple[str, str]:
    """Return where a model's weights come from, or which server has them under which name."""
    model = target.model
    if model.base_url:
        return urlsplit(model.base_url).netloc.lower(), str(model.served_model)
    return str(model.path or model.hub), str(model.revision or "")


def _targets(catalog: Catalog, name: str) -> tuple[Target, ...]:
    """Return a candidate's models; none where the catalog has changed since."""
    try:
        return catalog.targets(name)
    except ModelNotAllowedError:
        return ()
