"""What runs need of a running Understudy: where they are kept, and a way to the models."""

from dataclasses import dataclass, replace
from pathlib import Path

from core.catalog import Catalog
from core.gateway.allow import RateLimiter
from core.gateway.gateway import Gateway
from core.services import Services

UNLIMITED = 10**9


@dataclass(frozen=True, slots=True)
class Bench:
    """What runs need: where they are kept, and a way to the models."""

    home: Path
    gateway: Gateway

    @staticmethod
    def of(services: Services) -> "Bench":
        """Return the bench of a running Understudy; its requests are no visitor's."""
        limits = services.catalog.limits
        free = replace(limits, requests_per_minute=UNLIMITED, concurrent_requests=UNLIMITED)
        return Bench(services.settings.home, services.gateway.with_limiter(RateLimiter(free)))

    @property
    def catalog(self) -> Catalog:
        """Return the models that may be asked."""
        return self.gateway.traffic.catalog
