"""Random secrets that must stay the same between restarts, such as the key that signs cookies."""

import secrets as random_source

from sqlalchemy import Connection, delete, select, text

from core.store.database import Store
from core.store.tables import secrets

SECRET_BYTES = 32


def store_secret(store: Store, name: str) -> bytes:
    """Return the 32 bytes stored under a name, drawing them the first time.

    Processes that ask at once get the same bytes.
    """
    with store.write() as connection:
        return _drawn(connection, name)


def rotating_secret(store: Store, name: str, period: int) -> tuple[bytes, bytes | None]:
    """Return the 32 bytes of a period, drawn the first time, and those of the one before.

    The previous ones are None when nobody asked in that period. Those of older periods are
    forgotten for good: what was made with them can't be made again.
    """
    with store.write() as connection:
        now = _drawn(connection, f"{name} {period}")
        stored = connection.execute(
            select(secrets).where(secrets.c.name.startswith(f"{name} ", autoescape=True))
        ).mappings()
        held = {int(row["name"].removeprefix(name)): row for row in stored}
        old = [row["name"] for number, row in held.items() if number < period - 1]
        connection.execute(delete(secrets).where(secrets.c.name.in_(old)))
        before = held.get(period - 1)
        return now, None if before is None else bytes(before["value"])


def _drawn(connection: Connection, name: str) -> bytes:
    connection.execute(
        text("INSERT INTO secrets (name, value) VALUES (:name, :value) ON CONFLICT DO NOTHING"),
        {"name": name, "value": random_source.token_bytes(SECRET_BYTES)},
    )
    return bytes(connection.execute(select(secrets.c.value).filter_by(name=name)).scalar_one())
