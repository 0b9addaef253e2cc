"""What the store's tests begin with."""

import pytest

from core.store import Conversations, Store


@pytest.fixture
def talk(store: Store) -> Conversations:
    return Conversations(store)
