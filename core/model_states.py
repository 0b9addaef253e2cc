"""What the catalog's models are worth right now: ready, cooling, dead, over budget, at what price.

Shown by `python -m core models`, `GET /v1/models` and the Chat tab's model picker.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from core.availability import availability_of
from core.catalog import Target, description_of
from core.gateway.governor import BudgetState
from core.gateway.traffic import Traffic, served_key
from core.messages import JsonValue
from core.prices import price_of
from core.providers.local import LocalProvider


@dataclass(frozen=True, slots=True)
class ModelState:
    """One id of the catalog, as it is now."""

    id: str
    provider: str
    """Where it runs; `chain` or `ensemble` for those."""
    description: str
    is_ready: bool
    reason: str
    """What is missing or waited for; empty when ready."""
    cooling_until: float | None
    """Seconds since 1970 until which no call is sent; None when calls pass or never will."""
    left_today: str
    """What is left of the tightest daily limit, to a tenth of it, in words; empty when there is
    none. A figure to the token, read before and after, would tell how long a model's answer was,
    and so which side of a blind battle it was on."""
    price: str
    """In words; `unknown` when nobody knows it."""
    engine: str = ""
    """What runs a model of this disk, and why; empty for others."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the state as JSON."""
        until = self.cooling_until and datetime.fromtimestamp(self.cooling_until, UTC)
        return {
            "is_ready": self.is_ready,
            "reason": self.reason,
            "cooling_until": until.isoformat() if until else None,
            "left_today": self.left_today or None,
            "price": self.price,
            "engine": self.engine or None,
        }


def model_states(traffic: Traffic) -> list[ModelState]:
    """Return the state of every id, in the catalog's order."""
    return [model_state(traffic, name) for name in traffic.catalog.ids()]


def model_state(traffic: Traffic, name: str) -> ModelState:
    """Return the state of one id.

    Raises:
        ModelNotAllowedError: the catalog has no such id.
    """
    catalog = traffic.catalog
    found, targets = availability_of(catalog, name), catalog.targets(name)
    kind = "chain" if name in catalog.chains else None
    kind = "ensemble" if name in catalog.ensembles else kind
    reason, until, left = found.reason, None, ""
    if kind is None:
        budget = _budget(traffic, targets[0])
        reason, until = _closed(traffic, targets[0], budget) if found.is_ready else (reason, None)
        left = _left_today(budget)
    return ModelState(
        id=name,
        provider=kind or targets[0].model.provider,
        description=description_of(catalog, name),
        is_ready=found.is_ready and not reason,
        reason=reason,
        cooling_until=until,
        left_today=left,
        price="" if kind else price_text(targets[0]),
        engine="" if kind else engine_text(traffic, targets[0]),
    )


def price_text(target: Target) -> str:
    """Return a model's price in words; local models cost what their machine costs."""
    price = price_of(target)
    if price is None:
        return "unknown"
    return (
        f"${price.input_per_million:g} in, ${price.output_per_million:g} out per million tokens "
        f"({price.source}, {price.as_of})"
    )


def engine_text(traffic: Traffic, target: Target) -> str:
    """Return what runs a local model, or would if it were loaded now, and why; empty for others."""
    provider = traffic.providers.get(target.model.provider)
    return provider.engine_text(target) if isinstance(provider, LocalProvider) else ""


def _budget(traffic: Traffic, target: Target) -> BudgetState | None:
    key = served_key(target)
    return None if key is None else traffic.governor.state(key, target.model.quotas)


def _closed(
    traffic: Traffic, target: Target, budget: BudgetState | None
) -> tuple[str, float | None]:
    """Return why no call passes now, and until when; the reason is empty when they do."""
    if budget is not None and (budget.is_dead or budget.closed_until is not None):
        return budget.reason or "its provider asks to wait", budget.closed_until
    state = traffic.breaker.states().get(target.id)
    if state is None or state.is_allowed:
        return "", None
    now = time.time()
    return state.reason, None if state.until is None else now + state.until - time.monotonic()


def _left_today(budget: BudgetState | None) -> str:
    daily = [b for b in budget.buckets if b.period == "day"] if budget else []
    if not daily:
        return ""
    tightest = min(daily, key=lambda bucket: bucket.left / bucket.limit)
    tenths = round(10 * tightest.left / tightest.limit)
    share = f"about {10 * tenths}%" if tenths > 0 else "less than 5%"
    return f"{share} of {tightest.limit:,.0f} {tightest.unit} a day"
