"""The durable store: one SQLite file, or PostgreSQL by URL."""

from core.store.conversations import Conversations
from core.store.database import Store, open_store
from core.store.records import Conversation, ConversationSummary, StoredMessage
from core.store.secret import store_secret
from core.store.text import title_of

__all__ = [
    "Conversation",
    "ConversationSummary",
    "Conversations",
    "Store",
    "StoredMessage",
    "open_store",
    "store_secret",
    "title_of",
]
