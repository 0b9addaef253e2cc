"""Providers as a process has them: one of each, closed at the end."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from core.providers.endpoint import EndpointProvider
from core.providers.ollama import OllamaProvider
from tests.core.providers.calls import KEY


@pytest.fixture(scope="session")
def endpoint() -> Iterator[EndpointProvider]:
    with closing(EndpointProvider({"MY_KEY": f" {KEY}\n"})) as provider:
        yield provider


@pytest.fixture(scope="session")
def ollama() -> Iterator[OllamaProvider]:
    with closing(OllamaProvider({"MY_KEY": KEY})) as provider:
        yield provider
