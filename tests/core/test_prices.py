"""Figures here are worked by hand from the prices that providers published, as of 2026-11-10."""

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import genai_prices
import pytest
from genai_prices import data
from genai_prices.types import ClauseEquals, ClauseOr, ModelInfo, Provider
from hypothesis import given
from hypothesis import strategies as st

from core import prices
from core.catalog import ModelEntry, Price, Target
from core.catalog_files import load_catalog
from core.messages import Usage
from core.prices import Cost, cost_usd, price_of, table_version

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
GROQ = "https://api.groq.com/openai/v1"
OPENAI = "https://api.openai.com/v1"
TABLE = "genai-prices 0.2.3"


def target(base_url: str, name: str, **fields: object) -> Target:
    entry = ModelEntry("endpoint", 8192, base_url=base_url, served_model=name, **fields)
    return Target("m", "m", entry)


def usd(base_url: str, name: str, usage: Usage, at: datetime = NOW) -> float | None:
    cost = cost_usd(target(base_url, name), usage, at)
    return None if cost is None else cost.usd


def test_a_listed_model_costs_what_was_published() -> None:
    # 1,200 * $0.59 + 300 * $0.79, each per million.
    cost = cost_usd(target(GROQ, "llama-3.3-70b-versatile"), Usage(1200, 300), NOW)
    assert cost == Cost(0.000945, TABLE, "2026-11-10")


def test_a_greeting_costs_its_tokens_to_the_last_digit() -> None:
    # 10 * $0.15 + 3 * $0.60 = $3.3 per million; binary fractions would lose the last digit.
    assert usd(OPENAI, "gpt-4o-mini", Usage(10, 3)) == 0.0000033


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        (GROQ, "llama-3.3-70b-versatil"),
        (GROQ, "llama-3.3-70b"),
        (GROQ, "llama-3.3-70b-versatile-2"),
        (GROQ, "gpt-4o-mini"),
        (GROQ, ""),
        (OPENAI, "gpt-4o-mini-2099-01-01"),
        (OPENAI, "gpt-5-nano-2099-01-01"),
        (OPENAI, "gpt-5.6-luna-2099-01-01"),
        (OPENAI, "gpt-4o-audio-preview-mine"),
        (OPENAI, "openai/gpt-4o-mini"),
        (OPENAI, "llama-3.3-70b-versatile"),
    ],
)
def test_an_id_that_the_table_lacks_has_no_price(base_url: str, name: str) -> None:
    assert usd(base_url, name, Usage(1000, 100)) is None
    assert price_of(target(base_url, name)) is None


@pytest.mark.parametrize(
    "base_url",
    [
        "http://api.openai.com/v1",
        "https://api.openai.com.example/v1",
        "https://example.com/api.openai.com",
        "https://api.openai.com:8443/v1",
        "https://api.openai.com@example.com/v1",
        "https://api.openai.com:99999999/v1",
        "https://xapi.openai.com/v1",
        "http://127.0.0.1:11434/v1",
        "",
    ],
)
def test_another_server_does_not_take_openai_s_prices(base_url: str) -> None:
    assert usd(base_url, "gpt-4o-mini", Usage(1000, 100)) is None


def test_a_path_that_only_ends_like_a_provider_has_no_price() -> None:
    name = "gemini-2.0-flash"
    assert usd("https://generativelanguage.googleapis.com/v1beta/openai", name, Usage(9, 9))
    assert usd("https://example.com/x.googleapis.com/v1", name, Usage(9, 9)) is None


def test_a_router_is_priced_by_the_path_that_names_the_seller() -> None:
    name = "meta-llama/Llama-3.3-70B-Instruct"
    assert usd("https://router.huggingface.co/together/v1", name, Usage(1000, 0)) is not None
    assert usd("https://router.huggingface.co/togetherness/v1", name, Usage(1000, 0)) is None
    assert usd("https://router.huggingface.co/v1", name, Usage(1000, 0)) is None


def test_letter_case_port_and_a_final_slash_change_nothing() -> None:
    for base_url in ("https://API.openai.com/v1/", "https://api.openai.com:443/v1"):
        assert usd(base_url, "GPT-4o-mini", Usage(1_000_000, 0)) == 0.15


def test_a_deployment_on_azure_has_a_name_and_no_price() -> None:
    azure = "https://mine.openai.azure.com"
    usage = Usage(1000, 100)
    assert cost_usd(target(azure, "gpt-4o-mini", api_version="2024-10-21"), usage, NOW) is None
    assert usd(f"{azure}/openai/v1", "gpt-4o-mini", usage) is None
    behind = target("https://api.openai.com", "gpt-4o-mini", api_version="2024-10-21")
    assert cost_usd(behind, usage, NOW) is None


def test_a_tuned_model_costs_what_tunes_cost_and_not_what_its_base_costs() -> None:
    # Tunes of GPT-4o mini: $0.30 in, $1.20 out; the base itself: $0.15, $0.60.
    usage = Usage(1_000_000, 100_000)
    assert usd(OPENAI, "ft:gpt-4o-mini-2024-07-18:acme::AbC123", usage) == 0.42
    assert usd(OPENAI, "gpt-4o-mini-2024-07-18", usage) == 0.21


@pytest.mark.parametrize(
    "name",
    [
        "ft:gpt-4o-mini:acme::AbC123",
        "ft:gpt-4o-mini-2024-07-19:acme::AbC123",
        "ft:gpt-4o-mini-2024-07-18",
        "ft:gpt-4.1-mini-2025-04-14:acme::AbC123",
        "ft:gpt-3.5-turbo-",
        "ft::acme::AbC123",
    ],
)
def test_a_tune_that_the_table_does_not_sell_has_no_price(name: str) -> None:
    assert usd(OPENAI, name, Usage(1000, 100)) is None


@pytest.mark.parametrize("provider", ["local", "ollama", "replay"])
def test_what_runs_at_home_has_a_price_only_in_the_catalog(provider: str) -> None:
    fields = {"base_url": OPENAI, "served_model": "gpt-4o-mini"}
    entry = ModelEntry(provider, 8192, **fields)
    assert cost_usd(Target("m", "m", entry), Usage(1000, 100), NOW) is None
    assert price_of(Target("m", "m", entry)) is None
    own = ModelEntry(provider, 8192, price=Price(1.0, 2.0, "2026-01-02"), **fields)
    cost = cost_usd(Target("m", "m", own), Usage(1000, 100), NOW)
    assert cost == Cost(0.0012, "catalog", "2026-01-02")


def test_the_catalog_s_own_price_wins() -> None:
    own = target(OPENAI, "gpt-4o-mini", price=Price(10.0, 20.0, "2026-05-04"))
    # Its one input price holds for all input: 1,000 * $10 + 100 * $20.
    cost = cost_usd(own, Usage(1000, 100, cached_tokens=400), NOW)
    assert cost == Cost(0.012, "catalog", "2026-05-04")
    view = price_of(own)
    assert view is not None
    assert (view.input_per_million, view.output_per_million) == (10.0, 20.0)
    assert (view.source, view.as_of) == ("catalog", "2026-05-04")


def test_cached_input_costs_its_own_price() -> None:
    # 600,000 * $0.15 + 400,000 * $0.075 + 100,000 * $0.60.
    assert usd(OPENAI, "gpt-4o-mini", Usage(1_000_000, 100_000, 400_000)) == 0.18
    assert usd(OPENAI, "gpt-4o-mini", Usage(1_000_000, 100_000, 0)) == 0.21


def test_cached_input_without_a_published_price_makes_the_cost_unknown() -> None:
    name = "llama-3.3-70b-versatile"
    assert usd(GROQ, name, Usage(1000, 100, cached_tokens=1)) is None
    assert usd(GROQ, name, Usage(1000, 100, cached_tokens=0)) == 0.000669


def test_writing_to_the_cache_costs_extra_where_that_is_published() -> None:
    # 500,000 * $0.20 + 300,000 * $0.02 + 200,000 * $0.25 are below a tier only apart; as one
    # prompt of 1,000,000 tokens each doubles, and output rises by half: 100,000 * $1.80.
    usage = Usage(1_000_000, 100_000, cached_tokens=300_000, cache_write_tokens=200_000)
    assert usd(OPENAI, "gpt-5.6-luna", usage) == 0.492
    # 100 * $0.20 + 60 * $0.02 + 40 * $0.25 + 10 * $1.20.
    assert usd(OPENAI, "gpt-5.6-luna", Usage(200, 10, 60, 40)) == 0.0000432
    assert usd(OPENAI, "gpt-4o-mini", Usage(200, 10, 60, 40)) is None


def test_one_token_over_the_border_moves_all_tokens_to_the_next_tier() -> None:
    # GPT-5.4: $2.50 and $15.00 up to 272,000 tokens of prompt; above, $5.00 and $22.50.
    assert usd(OPENAI, "gpt-5.4", Usage(272_000, 1000)) == 0.695
    assert usd(OPENAI, "gpt-5.4", Usage(272_001, 1000)) == 1.382505
    # The whole prompt decides, cached or not: 172,001 * $5 + 100,000 * $0.50 + 1,000 * $22.50.
    assert usd(OPENAI, "gpt-5.4", Usage(272_001, 1000, 100_000)) == 0.932505


def test_the_price_is_the_one_of_the_day_of_the_answer() -> None:
    # GPT-5.6 Luna fell from $1.00 and $6.00 to $0.20 and $1.20 on 30 July 2026, UTC.
    usage, day = Usage(100_000, 10_000), datetime(2026, 7, 30, tzinfo=UTC)
    assert usd(OPENAI, "gpt-5.6-luna", usage, day - timedelta(seconds=1)) == 0.16
    assert usd(OPENAI, "gpt-5.6-luna", usage, day) == 0.032
    lisbon = timezone(timedelta(hours=1))
    assert usd(OPENAI, "gpt-5.6-luna", usage, datetime(2026, 7, 30, 0, 30, tzinfo=lisbon)) == 0.16


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        ("https://api.perplexity.ai", "sonar"),
        (OPENAI, "gpt-4o-search-preview"),
        (OPENAI, "gpt-4o-mini-search-preview"),
        (GROQ, "whisper-large-v3"),
    ],
)
def test_a_price_by_more_than_text_tokens_is_unknown(base_url: str, name: str) -> None:
    assert usd(base_url, name, Usage(1000, 100)) is None
    assert price_of(target(base_url, name)) is None


@pytest.mark.parametrize(
    "usage",
    [
        Usage(None, None),
        Usage(None, 3),
        Usage(3, None),
        Usage(-1, 3),
        Usage(3, -1),
        Usage(10, 3, cached_tokens=11),
        Usage(10, 3, cached_tokens=-1),
        Usage(10, 3, cached_tokens=6, cache_write_tokens=5),
        Usage(10**400, 3),
    ],
)
def test_usage_that_is_missing_or_absurd_has_no_cost(usage: Usage) -> None:
    assert usd(OPENAI, "gpt-4o-mini", usage) is None
    priced = target(OPENAI, "m", price=Price(1.0, 1.0, "2026-01-02"))
    assert cost_usd(priced, usage, NOW) is None


def test_nothing_used_costs_nothing_and_that_is_known() -> None:
    assert usd(OPENAI, "gpt-4o-mini", Usage(0, 0)) == 0.0


def test_people_see_the_price_with_its_date() -> None:
    view = price_of(target(OPENAI, "gpt-5.4"))
    assert view is not None
    assert (view.input_per_million, view.output_per_million) == (2.5, 15.0)
    assert (view.cached_per_million, view.is_tiered) == (0.25, True)
    assert (view.source, view.as_of) == (TABLE, "2026-11-10")
    flat = price_of(target(GROQ, "llama-3.3-70b-versatile"))
    assert flat is not None
    assert (flat.cached_per_million, flat.is_tiered) == (None, False)


def test_the_shipped_catalog_s_endpoints_are_priced_where_a_price_is_published(settings) -> None:
    catalog = load_catalog(settings)
    views = {name: price_of(catalog.resolve(name)) for name in catalog.models}
    priced = {name for name, view in views.items() if view is not None}
    assert priced == {"groq-llama-3.3-70b", "openai-gpt-4o-mini"}


def test_the_table_is_the_pinned_one_and_its_date_belongs_to_it() -> None:
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pinned = re.search(r"^genai-prices==(\S+)", requirements, re.MULTILINE)
    assert pinned is not None
    assert pinned[1] == prices.RELEASE == genai_prices.__version__
    table = table_version()
    assert (table.name, table.version, table.as_of) == ("genai-prices", pinned[1], prices.RELEASED)
    content = Path(data.__file__).read_bytes()
    assert table.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert set(table.to_dict()) == {"name", "version", "as_of", "digest"}


def test_a_table_of_another_release_does_not_take_the_pinned_one_s_date(monkeypatch) -> None:
    monkeypatch.setattr(genai_prices, "__version__", "99.0.0")
    cost = cost_usd(target(OPENAI, "gpt-4o-mini"), Usage(10, 3), NOW)
    assert cost is not None
    assert (cost.source, cost.as_of) == ("genai-prices 99.0.0", "unknown")


def test_the_table_is_loaded_with_the_first_priced_answer_and_not_before() -> None:
    command = "import sys, core.prices; print('genai_prices' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def listed_names(model: ModelInfo) -> Iterator[str]:
    rules = model.match.or_ if isinstance(model.match, ClauseOr) else [model.match]
    yield from (rule.equals for rule in rules if isinstance(rule, ClauseEquals))


def sold() -> list[tuple[Provider, str, str]]:
    """Return each listed name of the providers whose address is one plain host."""
    hosts = {p.id: p.api_pattern.replace("\\", "") for p in data.providers}
    plain = [p for p in data.providers if re.fullmatch(r"https://[a-z.]+", hosts[p.id])]
    return [(p, hosts[p.id], n) for p in plain for m in p.models for n in listed_names(m)]


SOLD = sold()


@given(
    st.sampled_from(SOLD),
    st.integers(0, 2_000_000),
    st.integers(0, 200_000),
    st.integers(0, 2_000_000),
)
def test_costs_agree_with_the_table_s_own_arithmetic(
    listed: tuple[Provider, str, str], fresh: int, out: int, cached: int
) -> None:
    provider, base_url, name = listed
    ours = usd(base_url, name, Usage(fresh + cached, out, cached))
    if ours is None:
        return
    asked = genai_prices.Usage(
        input_tokens=fresh + cached, output_tokens=out, cache_read_tokens=cached
    )
    theirs = genai_prices.calc_price(
        asked, name, provider_id=provider.id, genai_request_timestamp=NOW
    )
    assert ours == pytest.approx(float(theirs.total_price), rel=1e-12)


def test_most_of_what_is_sold_by_the_token_is_priced() -> None:
    known = [name for _, base_url, name in SOLD if usd(base_url, name, Usage(1000, 0)) is not None]
    assert len(SOLD) > 1000
    assert len(known) / len(SOLD) > 0.9
