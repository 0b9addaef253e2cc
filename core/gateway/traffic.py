"""What the requests of one process share on their way to the models."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from core.catalog import Catalog, Target
from core.gateway.breaker import Breaker
from core.gateway.cache import AnswerCache
from core.gateway.governor import Governor
from core.providers.base import Provider


@dataclass(frozen=True, slots=True)
class Traffic:
    """Providers, and what protects them and the purse."""

    catalog: Catalog
    providers: Mapping[str, Provider]
    cache: AnswerCache
    governor: Governor
    breaker: Breaker

    def close(self) -> None:
        """Write what the cache still holds back, and close connections to servers."""
        self.cache.flush()
        for provider in self.providers.values():
            provider.close()

    def revive(self, target: Target) -> None:
        """Let calls pass again to a model that was closed until a person acts.

        Raises:
            StorageError: the ledger can't be written.
        """
        if (key := served_key(target)) is not None:
            self.governor.revive(key)
        self.breaker.revive(target.id)

    def provider(self, target: Target) -> Provider:
        """Return where the target runs."""
        return self.providers[target.model.provider]


def served_key(target: Target) -> str | None:
    """Return what the server's limits are counted by; None for a model that has none.

    Catalog entries that mean the same model on the same server share it. People see it in texts
    about limits, so the server's address is only a few digits of its digest.
    """
    model = target.model
    if model.provider not in ("endpoint", "ollama"):
        return None
    server = hashlib.blake2b(str(model.base_url).encode(), digest_size=4).hexdigest()
    return f"{model.served_model} ({server})"
