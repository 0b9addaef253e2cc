"""Personal data: what is found, and what only looks like it."""

import pytest

from training.datasets.pii import hidden, personal_data


def kinds(text):
    return [piece.kind for piece in personal_data(text)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to ada.lovelace+x@mail.example.co.uk.", "email"),
        ("Ada <ada@example.org>", "email"),
        ("4111 1111 1111 1111", "card"),
        ("card 5500-0000-0000-0004,", "card"),
        ("378282246310005", "card"),
        ("3782 822463 10005", "card"),
        ("GB82 WEST 1234 5698 7654 32", "iban"),
        ("pay DE89370400440532013000 today", "iban"),
        ("from 192.168.3.7.", "ip"),
        ("at 2001:db8::8a2e:370:7334", "ip"),
        ("+44 20 7946 0018", "phone"),
        ("call +351 912 345 678", "phone"),
        ("(11) 98765-4321", "phone"),
        ("555-123-4567", "phone"),
    ],
)
def test_personal_data_is_found(text, kind):
    assert kinds(text) == [kind]


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",
        "1234567890123456",
        "0000 0000 0000 0000",
        "GB82 WEST 1234 5698 7654 33",
        "version 1.2.3.4.5",
        "256.1.1.1",
        "127.0.0.1",
        "12:30:45",
        "std::vector",
        "1,234,567.89",
        "3.14159265358979",
        "1990-2020",
        "2026-11-21",
        "a@b",
        "@handle",
        "[0, 1, 2, 3]",
        "5 + 3 = 8, 100 200 300",
        "+1",
        "id 20261121123456",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text):
    assert kinds(text) == []


def test_each_piece_is_found_once_and_can_be_hidden():
    text = "Ada (ada@example.org, +44 20 7946 0018) paid with 4111 1111 1111 1111."
    assert kinds(text) == ["email", "phone", "card"]
    assert hidden(text) == "Ada ([email], [phone]) paid with [card]."
    assert hidden("nothing here") == "nothing here"


def test_a_long_text_full_of_it_takes_no_time_out_of_proportion():
    text = "ada@example.org, " * 50_000
    assert len(personal_data(text)) == 50_000
    assert kinds("a" * 200_000 + "@" * 200_000 + "1" * 200_000) == []
