import time
from contextlib import closing

import pytest

from core.catalog_files import load_catalog
from core.errors import ModelNotAllowedError
from core.gateway.limit_notice import read_notice
from core.gateway.traffic import served_key
from core.model_states import model_state
from core.store import open_store
from tabs.chat_options import model_choices, model_line
from tests.fakes import ScriptedProvider, gateway_of

SERVED = {
    "provider": "endpoint",
    "base_url": "http://127.0.0.1:9/v1",
    "served_model": "far",
    "context": 1000,
    "quotas": ["small"],
    "price": {"input_per_million": 0.5, "output_per_million": 2, "as_of": "2026-11-01"},
}


@pytest.fixture
def traffic(settings, write_catalog):
    """Two entries that are one model on one server, beside the embedded ones."""
    paid = {**SERVED, "served_model": "paid", "quotas": ["paid"]}
    write_catalog(
        models={"far": SERVED, "far-too": SERVED, "paid": paid},
        quotas={"small": {"requests_per_day": 50}, "paid": {"tokens_per_day": 100_000}},
    )
    with closing(open_store(settings.database_url)) as store:
        yield gateway_of(load_catalog(settings), store, {"endpoint": ScriptedProvider()}).traffic


def refuse(traffic, wait_s):
    target = traffic.catalog.resolve("far")
    notice = read_notice(429, {"retry-after": str(wait_s)}, None, time.time())
    traffic.governor.learn(served_key(target), notice)


def test_a_ready_model_shows_what_is_left_today_and_its_price(traffic):
    line = model_line(traffic, "far")
    assert "Ready. Left: about 100% of 50 requests a day." in line
    assert "Price: $0.5 in, $2 out per million tokens (catalog, 2026-11-01)." in line
    assert ("far", "far") in model_choices(traffic)


def test_a_cooling_model_says_when_it_is_free_again(traffic):
    refuse(traffic, 40)
    assert "Free again in 40 s." in model_line(traffic, "far")
    labels = {name: label for label, name in model_choices(traffic)}
    assert labels["far"] == "far (free again in 40 s)"
    assert labels["far-too"] == "far-too (free again in 40 s)"
    assert labels["lead"] == "lead"


def spend(traffic, name, tokens):
    target = traffic.catalog.resolve(name)
    reservation = traffic.governor.reserve(served_key(target), target.model.quotas, tokens)
    traffic.governor.settle(reservation, tokens)


def test_calls_lessen_what_is_left(traffic):
    for _ in range(5):
        spend(traffic, "far", 10)
    assert "Left: about 90% of 50 requests a day." in model_line(traffic, "far")
    spend(traffic, "paid", 97_000)
    assert "Left: less than 5% of 100,000 tokens a day." in model_line(traffic, "paid")


def test_what_is_left_tells_nobody_how_long_one_answer_was(traffic):
    before = model_state(traffic, "paid")
    spend(traffic, "paid", 300)
    assert model_state(traffic, "paid") == before
    assert "Left: about 100% of 100,000 tokens a day." in model_line(traffic, "paid")


def test_names_that_the_catalog_lacks_are_refused(traffic):
    with pytest.raises(ModelNotAllowedError):
        model_line(traffic, "../etc")


def test_what_servers_say_is_no_markup_on_the_page(traffic):
    for _ in range(9):
        traffic.breaker.failure("far", "overloaded")
    assert "<" not in model_line(traffic, "far")
    assert "tried again" in model_line(traffic, "far")
