"""Personal data in texts, by clear patterns; numbers only where their checksum is right.

Own patterns: presidio brings spaCy and its models. Names and postal addresses are not found.

Sources: ISO/IEC 7812-1 (cards, Luhn), ISO 13616-1 (IBAN), ITU-T E.164 (telephone numbers).
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

PersonalKind = Literal["email", "card", "iban", "ip", "phone"]
KINDS: tuple[PersonalKind, ...] = get_args(PersonalKind)

EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
CARD = re.compile(r"(?<![\d.,-])[2-6]\d{3}(?:[ -]?\d{4,6}){2}(?:[ -]?\d{1,7})?(?![\d.,-]*\d)")
IP4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
IP6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:|:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
PHONE = re.compile(
    r"(?<![\w.+])(?:"
    r"\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,4}"  # +44 20 7946 0018
    r"|\(\d{2,4}\)[ .-]?\d{3,5}[ .-]\d{3,4}"  # (11) 98765-4321, (555) 123-4567
    r"|\d{3}[ .-]\d{3}[ .-]\d{4}"  # 555-123-4567
    r")(?![\w]|[.-]\d)"
)


@dataclass(frozen=True, slots=True)
class Personal:
    """One piece of personal data."""

    kind: PersonalKind
    start: int
    """Its place in the text, in characters."""
    end: int


def personal_data(text: str) -> list[Personal]:
    """Return what was found, in the order of the text; no two pieces overlap."""
    found: list[Personal] = []
    taken = bytearray(len(text))
    for kind, pattern, is_one in RULES:
        for match in pattern.finditer(text):
            start, end = match.span()
            if taken.find(1, start, end) < 0 and is_one(match[0]):
                found.append(Personal(kind, start, end))
                taken[start:end] = b"\1" * (end - start)
    return sorted(found, key=lambda piece: piece.start)


def hidden(text: str) -> str:
    """Return the text with each piece of personal data replaced by its kind: `[email]`."""
    parts, at = [], 0
    for piece in personal_data(text):
        parts += [text[at : piece.start], f"[{piece.kind}]"]
        at = piece.end
    return "".join([*parts, text[at:]])


def is_card(text: str) -> bool:
    """Say whether the digits are a payment card's: 13 to 19 of them, Luhn's sum right."""
    digits = list(_digits(text))
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [d * 2 - 9 * (d > 4) if place % 2 else d for place, d in enumerate(digits[::-1])]
    return sum(doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """Say whether the characters are an IBAN's: 15 to 34, and 1 modulo 97."""
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def is_address(text: str) -> bool:
    """Say whether the text is an IP address of some machine but this one."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


def _is_phone(text: str) -> bool:
    return 8 <= sum(1 for _ in _digits(text)) <= 15


def _digits(text: str) -> Iterator[int]:
    return (int(c) for c in text if c in "0123456789")


def _always(_: str) -> bool:
    return True


RULES: tuple[tuple[PersonalKind, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("email", EMAIL, _always),
    ("iban", IBAN, is_iban),
    ("card", CARD, is_card),
    ("ip", IP4, is_address),
    ("ip", IP6, is_address),
    ("phone", PHONE, _is_phone),
)
"""The surest kind first: what it takes is nobody else's."""
