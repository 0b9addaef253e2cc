"""What an answer cost: by the catalog's own price, else by a published and dated table.

The table is the data of the `genai-prices` package, which lies in its wheel: nothing is fetched. An
id must stand in it as it is; a price of a family or a default is not a price. Unknown is None.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from core.catalog import Price, Target
from core.messages import JsonValue, Usage

if TYPE_CHECKING:
    from genai_prices.types import MatchLogic, ModelInfo, ModelPrice, Provider, TieredPrices

RELEASE = "0.2.3"
"""Of the table, as pinned in requirements.txt."""
RELEASED = "2026-11-10"
"""Day on which that release was published; a new pin needs a new day."""
CUSTOMERS_NAME_THEM = frozenset({"azure", "modal"})
"""Providers whose served models bear names that customers chose: they say nothing of a price."""
TUNE = "ft:"
"""What the ids of models begin with that OpenAI has tuned."""
SEARCHES = "-search"
"""In the name of a model that searches the web unasked: each search costs, and usage is silent."""
CHARGED = frozenset({"input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok"})
NEVER_SENT = frozenset(
    {
        "cache_write_1h_mtok",
        "web_searches_kcount",
        "storage_searches_kcount",
        "input_audio_mtok",
        "cache_audio_read_mtok",
        "input_image_mtok",
        "cache_image_read_mtok",
        "input_video_mtok",
    }
)
"""Prices of what we never ask for; any other one beside `CHARGED` makes the cost unknown."""
MOST_TOKENS = 10**9
"""A count above it is a fault of the server's."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one answer cost."""

    usd: float
    """US dollars."""
    source: str
    """Where the price is from: `catalog`, or the table with its version."""
    as_of: str
    """Date of the price list, YYYY-MM-DD."""


@dataclass(frozen=True, slots=True)
class PriceView:
    """What a model costs, for people to read."""

    input_per_million: float
    """US dollars per million input tokens; of short prompts when `is_tiered`."""
    output_per_million: float
    """US dollars per million output tokens; of short prompts when `is_tiered`."""
    cached_per_million: float | None
    """US dollars per million input tokens read from the provider's cache; None: not published."""
    is_tiered: bool
    """Whether long prompts cost more."""
    source: str
    """Where the price is from: `catalog`, or the table with its version."""
    as_of: str
    """Date of the price list, YYYY-MM-DD."""


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Which table the prices come from."""

    name: str
    version: str
    as_of: str
    """Day of its release, YYYY-MM-DD; `unknown` for a release that isn't the pinned one."""
    digest: str
    """`sha256:...` of its data."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the table's identity as JSON."""
        return asdict(self)


def cost_usd(target: Target, usage: Usage, at: datetime) -> Cost | None:
    """Return what the answer cost in US dollars; None when the price or the usage is unknown.

    The catalog's own price wins; it holds for cached tokens as for all other input. The table's
    price is the one in force at `at` (UTC when naive). Input that the provider read from its
    cache, or wrote to it, has prices of its own; if the table has none for it, the cost is
    unknown. The length of the whole prompt decides on the tier of all tokens.
    """
    if not _is_plausible(usage):
        return None
    if (own := target.model.price) is not None:
        return Cost(_own_usd(own, usage), "catalog", own.as_of)
    prices = _table_prices(target, at)
    usd = None if prices is None else _table_usd(prices, usage)
    if usd is None:
        return None
    source, as_of = _table_name()
    return Cost(float(usd), source, as_of)


def price_of(target: Target) -> PriceView | None:
    """Return what the model costs today; None when it is unknown."""
    if (own := target.model.price) is not None:
        return PriceView(
            input_per_million=own.input_per_million,
            output_per_million=own.output_per_million,
            cached_per_million=own.input_per_million,
            is_tiered=False,
            source="catalog",
            as_of=own.as_of,
        )
    prices = _table_prices(target, datetime.now(UTC))
    if prices is None or prices.input_mtok is None or prices.output_mtok is None:
        return None
    cached = _rate(prices.cache_read_mtok, 0)
    source, as_of = _table_name()
    return PriceView(
        input_per_million=float(_rate(prices.input_mtok, 0) or 0),
        output_per_million=float(_rate(prices.output_mtok, 0) or 0),
        cached_per_million=None if cached is None else float(cached),
        is_tiered=any(map(_is_tiered, (prices.input_mtok, prices.output_mtok))),
        source=source,
        as_of=as_of,
    )


def table_version() -> PriceTable:
    """Return the table's name, version, date and digest; reads its 1.6 MB from the disk."""
    import genai_prices

    content = (Path(genai_prices.__file__).parent / "data.py").read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return PriceTable("genai-prices", genai_prices.__version__, _table_name()[1], digest)


def _table_name() -> tuple[str, str]:
    """Return the table with its version, and its date."""
    import genai_prices

    version = genai_prices.__version__
    return f"genai-prices {version}", RELEASED if version == RELEASE else "unknown"


def _is_plausible(usage: Usage) -> bool:
    """Say whether both counts are told, and no count contradicts another."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return False
    parts = (usage.cached_tokens or 0, usage.cache_write_tokens or 0)
    counts = (usage.input_tokens, usage.output_tokens, *parts)
    return all(0 <= count <= MOST_TOKENS for count in counts) and sum(parts) <= usage.input_tokens


def _own_usd(price: Price, usage: Usage) -> float:
    spent = (usage.input_tokens or 0) * price.input_per_million
    return (spent + (usage.output_tokens or 0) * price.output_per_million) / 1e6


def _table_usd(prices: "ModelPrice", usage: Usage) -> Decimal | None:
    """Return the sum over all kinds of tokens; None when one that was used has no price."""
    whole, cached = usage.input_tokens or 0, usage.cached_tokens or 0
    written = usage.cache_write_tokens or 0
    charges = (
        (whole - cached - written, prices.input_mtok),
        (cached, prices.cache_read_mtok),
        (written, prices.cache_write_mtok),
        (usage.output_tokens or 0, prices.output_mtok),
    )
    total = Decimal(0)
    for count, price in charges:
        rate = _rate(price, whole)
        if count and rate is None:
            return None
        total += count * (rate or 0)
    return total / 1_000_000


def _rate(price: "Decimal | TieredPrices | None", input_tokens: int) -> Decimal | None:
    """Return the price per million tokens at this length of the whole prompt."""
    if price is None or isinstance(price, Decimal):
        return price
    reached = [tier.price for tier in price.tiers if input_tokens > tier.start]
    return reached[-1] if reached else price.base


def _is_tiered(price: "Decimal | TieredPrices") -> bool:
    return not isinstance(price, Decimal)


def _table_prices(target: Target, at: datetime) -> "ModelPrice | None":
    """Return the table's prices in force; None when it lacks the model or one that we can't count.

    Adapters run in this process, so nobody sells them.
    """
    entry = target.model
    if entry.provider != "endpoint" or entry.api_version is not None:
        return None
    found = _listed(entry.base_url or "", (entry.served_model or "").lower())
    if found is None:
        return None
    prices = found.get_prices(at)
    keys = {key for key, price in vars(prices).items() if price is not None}
    return prices if keys <= CHARGED | NEVER_SENT else None


@lru_cache(maxsize=512)
def _listed(base_url: str, name: str) -> "ModelInfo | None":
    """Return the table's entry for this very name at this address."""
    if not base_url.startswith("https://") or not name or SEARCHES in name:
        return None
    from genai_prices.data import providers

    for provider in providers:
        if provider.id in CUSTOMERS_NAME_THEM or not _is_at(provider, base_url):
            continue
        find = _fine_tune if name.startswith(TUNE) else _exact
        if found := find(provider.models, name):
            return found
    return None


def _is_at(provider: "Provider", base_url: str) -> bool:
    """Say whether the address is the provider's: its host to the last letter, then its path."""
    parts = urlsplit(base_url)
    host = parts.netloc.lower().removesuffix(":443")
    pattern = provider.api_pattern
    has_path = "/" in pattern.partition("://")[2]
    address = f"https://{host}{parts.path if has_path else ''}"
    match = re.match(pattern, address)
    return match is not None and (match[0].endswith("/") or address[match.end() :][:1] in ("", "/"))


def _exact(models: "Sequence[ModelInfo]", name: str) -> "ModelInfo | None":
    for model in models:
        is_own = name == model.id.lower() and model.is_match(name)
        if is_own or name in _names(model.match):
            return model
    return None


def _names(clause: "MatchLogic") -> Iterator[str]:
    """Yield the whole names that a rule lists; beginnings and patterns name families."""
    from genai_prices.types import ClauseEquals, ClauseOr

    if isinstance(clause, ClauseEquals):
        yield clause.equals.lower()
    elif isinstance(clause, ClauseOr):
        for part in clause.or_:
            yield from _names(part)


def _fine_tune(models: "Sequence[ModelInfo]", name: str) -> "ModelInfo | None":
    """Return the price of tunes of a base model, for `ft:BASE:ORGANISATION:NAME:ID`.

    The base must stand in the table as it is; the tune's own part is its owner's and free.
    """
    base, colon, _ = name.removeprefix(TUNE).partition(":")
    if not colon or _exact(models, base) is None:
        return None
    tunes = (model for model in models if model.id.startswith(TUNE))
    return next((model for model in tunes if model.is_match(name)), None)
