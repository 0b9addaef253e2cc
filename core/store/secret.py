"""Random secrets that must stay the same between restarts, such as the key that signs cookies."""

import secrets as random_source

from sqlalchemy import select, text

from core.store.database import Store
from core.store.tables import secrets

SECRET_BYTES = 32


def store_secret(store: Store, name: str) -> bytes:
    """Return the 32 bytes stored under a name, drawing them the first time.

    Processes that ask at once get the same bytes.
    """
    with store.write() as connection:
        connection.execute(
            text("INSERT INTO secrets (name, value) VALUES (:name, :value) ON CONFLICT DO NOTHING"),
            {"name": name, "value": random_source.token_bytes(SECRET_BYTES)},
        )
        return bytes(connection.execute(select(secrets.c.value).filter_by(name=name)).scalar_one())
