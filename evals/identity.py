"""Which weights a run is of, and on what they run: read before its first token."""

import hashlib
import json
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from core.catalog import Catalog, Target
from core.errors import InputError
from core.gateway.gateway import Gateway
from core.gateway.traffic import Traffic
from core.messages import GenerationParams, GenerationRequest, Message
from core.settings import VERSION
from evals.generate import whole_answer
from evals.manifest import Identity, Manifest

PACKAGES = ("torch", "transformers", "tokenizers", "peft", "numpy", "openai")
"""What answers may depend on."""


def identify(gateway: Gateway, model: str) -> Identity:
    """Return what is known of a model's weights; those that are not on this disk are fetched.

    Raises:
        AppError: the model is not in the catalog, can't be fetched, or its weights can't be read.
    """
    traffic = gateway.traffic
    targets = traffic.catalog.targets(model)
    known = [_known(gateway, target) for target in targets]
    served = served_digest(known)
    if len(targets) > 1 or model in (*traffic.catalog.chains, *traffic.catalog.ensembles):
        kind = "ensemble" if model in traffic.catalog.ensembles else "chain"
        return Identity(kind, None, None, served, None, None)
    provider = targets[0].model.provider
    if provider == "replay":
        return Identity(provider, known[0], None, served, None, None)
    if provider != "local":
        return Identity(provider, None, None, served, None, None)
    local = weights_of(known[0])
    return Identity(provider, local.digest, local.adapter, served, local.device, local.precision)


class LocalWeights(NamedTuple):
    """What a local model's identity says of its weights."""

    digest: str
    adapter: str | None
    device: str
    precision: str
    """As they run: where the catalog says `auto`, what that is on this device, if it is known."""


def weights_of(identity: str) -> LocalWeights:
    """Read what a local provider says of a model, see `LocalProvider.identity`."""
    facts = json.loads(identity)
    is_plain = facts["precision"] == "auto" and facts["device"] == "cpu"
    precision = "fp32" if is_plain else facts["precision"]
    return LocalWeights(facts["weights"], facts["adapter"], facts["device"], precision)


def served_digest(known: Sequence[str]) -> str:
    """Return `sha256:...` over what providers say that the answers of an id depend on."""
    return f"sha256:{hashlib.sha256(json.dumps(known).encode()).hexdigest()}"


def is_local(catalog: Catalog, model: str) -> bool:
    """Say whether every model that may answer runs in this process."""
    return all(target.model.provider == "local" for target in catalog.targets(model))


def package_versions() -> dict[str, str]:
    """Return the versions of the code and the packages that answers and grades come from."""
    found = {"understudy": VERSION, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def versions(identity: Identity) -> dict[str, str]:
    """Return the versions of what answers depend on; threads too where they run here."""
    found = package_versions()
    if identity.device is not None:
        import torch

        found["threads"] = str(torch.get_num_threads())
        found["machine"] = platform.machine()
    return found


def check_same(manifest: Manifest, now: Identity) -> None:
    """Refuse to go on with other weights than a run began with.

    Raises:
        InputError: weights, adapter, server or the way they run have changed; for planned batches
            also when a version or the number of threads has.
    """
    if now.served != manifest.served:
        raise InputError(
            f"{manifest.model!r} is not what run {manifest.run!r} began with: weights, adapter, "
            "precision, device or server have changed; start a new run"
        )
    if manifest.mode != "deterministic":
        return
    found = versions(now)
    for name in sorted(found.keys() | manifest.versions.keys()):
        was, is_now = manifest.versions.get(name), found.get(name)
        if was != is_now:
            raise InputError(
                f"run {manifest.run!r} was planned with {name} {was}, and now it is {is_now}: its "
                "answers could differ; restore that or start a new run"
            )


def _known(gateway: Gateway, target: Target) -> str:
    found = _identity(gateway.traffic, target)
    if found is None:
        _fetch(gateway, target)
        found = _identity(gateway.traffic, target)
    if found is None:
        raise InputError(f"{target.id!r}: its files can't be read, so a run can't name its weights")
    return found


def _identity(traffic: Traffic, target: Target) -> str | None:
    return traffic.provider(target).identity(target)


def _fetch(gateway: Gateway, target: Target) -> None:
    """Have the weights downloaded and loaded, by a question that belongs to no run."""
    request = GenerationRequest(
        model=target.id,
        messages=(Message("user", "Hello"),),
        params=GenerationParams(max_tokens=1),
        caller="evals",
        is_admin=True,
        cache="off",
    )
    whole_answer(gateway, request)
