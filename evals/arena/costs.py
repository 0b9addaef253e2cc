"""What the arms of an experiment cost and how long they take, from what was measured."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from core.catalog import Catalog
from core.errors import InputError, ModelNotAllowedError
from core.messages import JsonValue, Usage
from core.prices import cost_usd
from core.store.battle_records import Measured
from evals.identity import is_local

HOUR_S = 3600.0
EARLIER = "the prices when it answered, of unknown date"
"""Source of costs that today's prices don't give, for people."""


@dataclass(frozen=True, slots=True)
class LocalRate:
    """What a machine of one's own costs while it answers: by the hour, by its energy, or both."""

    usd_per_hour: float | None = None
    watts: float | None = None
    """Power it draws while it answers."""
    usd_per_kwh: float | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that are no prices, and power without a price or the reverse."""
        given = (self.usd_per_hour, self.watts, self.usd_per_kwh)
        for value in given:
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InputError(f"a rate must be a number of at least 0, got {value!r}")
        if (self.watts is None) != (self.usd_per_kwh is None):
            raise InputError("energy needs both: watts, and US dollars per kilowatt hour")
        if given == (None, None, None):
            raise InputError("a rate needs US dollars per hour, or watts with US dollars per kWh")

    @property
    def usd_per_s(self) -> float:
        """Return US dollars for a second of answering."""
        energy = (self.watts or 0.0) / 1000 * (self.usd_per_kwh or 0.0)
        return ((self.usd_per_hour or 0.0) + energy) / HOUR_S

    def __str__(self) -> str:
        """Say what was entered."""
        parts = []
        if self.usd_per_hour is not None:
            parts.append(f"${self.usd_per_hour:g} an hour")
        if self.watts is not None:
            parts.append(f"{self.watts:g} W at ${self.usd_per_kwh:g} per kWh")
        return " and ".join(parts)


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """One arm in figures; None where nothing is known."""

    model: str
    requests: int
    usd_per_thousand: float | None
    """US dollars for a thousand requests like those that were measured."""
    price_source: str | None
    """`catalog`, the price table with its version, `EARLIER`, or what a person entered."""
    price_as_of: str | None
    """Date of the price list, YYYY-MM-DD; None: not known to be the one that was counted with."""
    unpriced: int
    """Requests whose cost was not counted; they are not in a counted `usd_per_thousand`."""
    input_tokens: float | None
    """Mean of a request."""
    output_tokens: float | None
    tokens_per_s: float | None
    """Median speed of writing."""
    busy_s: float | None
    """Mean seconds that a request kept the model busy, waiting in the queue left out."""
    p50_s: float | None
    """Latency from the request to the end of the answer."""
    p95_s: float | None
    first_token_p50_s: float | None
    first_token_p95_s: float | None
    is_local: bool = False
    """Whether all that may answer for it runs in this process."""

    @property
    def priced(self) -> str:
        """Say of how many requests the cost is; empty where it is all of them, or unknown."""
        if not 0 < self.unpriced < self.requests:
            return ""
        known = self.requests - self.unpriced
        return f"of {known:,} of {self.requests:,} requests, no price is known of the others"

    def with_rate(self, rate: LocalRate | None) -> "ArmFigures":
        """Return the figures with the cost by this machine's rate, where no price is known.

        It is the measured seconds of a request at that rate, as if the machine answered one
        request at a time. An arm that runs elsewhere keeps its unknown cost.
        """
        is_known = self.usd_per_thousand is not None
        if rate is None or not self.is_local or is_known or self.busy_s is None:
            return self
        usd = self.busy_s * rate.usd_per_s * 1000
        return replace(
            self, usd_per_thousand=usd, price_source=f"entered: {rate}", price_as_of=None
        )

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the figures as JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> "ArmFigures":
        """Read what `to_dict` wrote.

        Raises:
            TypeError: a key is missing or unknown.
        """
        return ArmFigures(**value)


def arm_figures(catalog: Catalog, model: str, measured: Sequence[Measured]) -> ArmFigures:
    """Return the figures of an arm from its requests.

    A request costs what was counted when it was answered, from its tokens and the prices of that
    day. Which price list that was is not kept: today's is named where it gives the same costs.
    """
    costs = [each.cost_usd for each in measured if each.cost_usd is not None]
    source, as_of = _price(catalog, model, measured) if costs else (None, None)
    totals = _known(measured, lambda each: each.total_s)
    firsts = _known(measured, lambda each: each.first_token_s)
    return ArmFigures(
        model=model,
        requests=len(measured),
        usd_per_thousand=1000 * sum(costs) / len(costs) if costs else None,
        price_source=source,
        price_as_of=as_of,
        unpriced=len(measured) - len(costs),
        input_tokens=_mean(_known(measured, lambda each: each.input_tokens)),
        output_tokens=_mean(_known(measured, lambda each: each.output_tokens)),
        tokens_per_s=_percentile(_known(measured, lambda each: each.tokens_per_s), 50),
        busy_s=_mean(_known(measured, _busy_s)),
        p50_s=_percentile(totals, 50),
        p95_s=_percentile(totals, 95),
        first_token_p50_s=_percentile(firsts, 50),
        first_token_p95_s=_percentile(firsts, 95),
        is_local=_is_local(catalog, model),
    )


def _busy_s(each: Measured) -> float | None:
    if each.total_s is None or each.queue_s is None:
        return None
    return max(each.total_s - each.queue_s, 0.0)


def _is_local(catalog: Catalog, model: str) -> bool:
    try:
        return is_local(catalog, model)
    except ModelNotAllowedError:  # It has left the catalog since.
        return False


def _price(catalog: Catalog, model: str, measured: Sequence[Measured]) -> tuple[str, str | None]:
    """Return where a model's price is from, and its date, where today's gives the counted costs."""
    if model in catalog.chains or model in catalog.ensembles:
        return "the prices of its models", None
    try:
        target = catalog.resolve(model)
    except ModelNotAllowedError:  # It has left the catalog since.
        return EARLIER, None
    counted = {(each.input_tokens, each.output_tokens, each.cost_usd) for each in measured}
    today, now = None, datetime.now(UTC)
    for input_tokens, output_tokens, usd in counted:
        if usd is None:
            continue
        today = cost_usd(target, Usage(input_tokens, output_tokens), now)
        if today is None or not math.isclose(today.usd, usd, rel_tol=1e-9, abs_tol=1e-12):
            return EARLIER, None
    return (EARLIER, None) if today is None else (today.source, today.as_of)


def _known(measured: Sequence[Measured], field: Callable[[Measured], float | None]) -> list[float]:
    return [value for each in measured if (value := field(each)) is not None]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _percentile(values: Sequence[float], percent: float) -> float | None:
    return float(np.percentile(values, percent)) if values else None
