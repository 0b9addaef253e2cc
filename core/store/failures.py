"""What a database's failure means, in words that show no password."""

import sqlite3

from sqlalchemy import URL
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from core.errors import StorageError

OUR_BUGS = (IntegrityError, ProgrammingError, DataError)
"""Statements that the code should not have sent: they stay what they are."""

FULL = "the disk of {place} is full; free some space and try again"
BUSY = "{place} stayed locked by another request; try again"
READ_ONLY = "{place} cannot be written; allow this user to write to it"
CORRUPT = "{place} is damaged or not a database; restore it from a copy or move it away"
UNREACHABLE = "{place} cannot be reached; check that it runs and that the address is right"
REFUSED = "{place} refused the user or the password; check UNDERSTUDY_DATABASE_URL"

MEANINGS = {
    "SQLITE_FULL": FULL,
    "SQLITE_BUSY": BUSY,
    "SQLITE_LOCKED": BUSY,
    "SQLITE_READONLY": READ_ONLY,
    "SQLITE_PERM": READ_ONLY,
    "SQLITE_CORRUPT": CORRUPT,
    "SQLITE_NOTADB": CORRUPT,
    "SQLITE_CANTOPEN": "{place} cannot be opened; check its folder and permissions",
    "SQLITE_IOERR": "{place} cannot be read or written; check its disk",
    "53100": FULL,
    "53300": "{place} has no connection left; try again",
    "55P03": BUSY,
    "40": BUSY,
    "25006": READ_ONLY,
    "42501": READ_ONLY,
    "28": REFUSED,
    "3D000": "{place} or its user does not exist; create it first",
    "57P": UNREACHABLE,
    "08": UNREACHABLE,
    "OPTION": "{place} was given an option it lacks; check the end of UNDERSTUDY_DATABASE_URL",
    "XX001": CORRUPT,
    "XX002": CORRUPT,
}
"""By the start of SQLite's error name or PostgreSQL's SQLSTATE.

Source: https://sqlite.org/rescode.html; PostgreSQL 15 manual, appendix A.
"""


def place_of(url: URL) -> str:
    """Name the database without its user and password."""
    if url.get_backend_name() == "sqlite":
        return f"the database {url.database}"
    return f"the database {url.database!r} at {url.host or 'localhost'}:{url.port or 5432}"


def storage_error(error: SQLAlchemyError, url: URL) -> StorageError | None:
    """Say what a failure means; None when it is a bug of ours and should stay one."""
    if isinstance(error, PoolTimeoutError):
        return StorageError(f"{place_of(url)} has too many requests at once; try again")
    if not isinstance(error, DBAPIError):
        return None
    code = _code(error)
    meanings = (text for start, text in MEANINGS.items() if code.startswith(start))
    meaning = next(meanings, None)
    if meaning is None and (isinstance(error, OUR_BUGS) or code == "SQLITE_ERROR"):
        return None
    sentence = meaning or f"{{place}} reported {code}; see its log"
    return StorageError(sentence.format(place=place_of(url)))


def _code(error: DBAPIError) -> str:
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorname", "")
    state: str | None = getattr(error.orig, "sqlstate", None)
    if state:
        return state
    if isinstance(error, OUR_BUGS):
        return "OPTION" if error.statement is None else ""
    # libpq hands on no state when a connection fails, only the server's words.
    text = str(error.orig)
    if "authentication failed" in text or "no password supplied" in text:
        return "28000"
    return "3D000" if "does not exist" in text else "08000"
