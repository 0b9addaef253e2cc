import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.providers.stops import StopFilter

letters = st.text("ab\n", max_size=12)


def filtered(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    stopper = StopFilter(stops)
    shown = "".join(stopper.push(piece) for piece in pieces)
    return shown + stopper.flush(), stopper.is_stopped


@given(st.lists(letters, max_size=6), st.lists(letters.filter(bool), max_size=3))
def test_pieces_give_what_the_whole_gives(pieces, stops):
    text = "".join(pieces)
    places = [text.find(stop) for stop in stops if stop in text]
    shown, is_stopped = filtered(list(text), stops)
    assert is_stopped == bool(places)
    # Letter by letter the stop text that is complete first wins, not the one that begins first.
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    assert text.startswith(shown)
    assert shown == text if not places else len(shown) < min(ends)
    assert not any(stop in shown for stop in stops)
    assert filtered(pieces, stops)[1] == is_stopped


def test_nothing_of_a_stop_text_is_shown_before_it_is_known_to_be_none():
    stopper = StopFilter(["END"])
    assert [stopper.push(piece) for piece in ("a E", "N", "x E", "ND b", "c")] == [
        "a ",
        "",
        "ENx ",
        "",
        "",
    ]
    assert stopper.is_stopped
    assert stopper.flush() == ""


@pytest.mark.parametrize("stops", [[], ["END"]])
def test_what_was_held_back_comes_at_the_end(stops):
    assert filtered(["some E", "N"], stops) == ("some EN", False)


def test_without_stops_nothing_is_held_back():
    assert StopFilter([]).push("E") == "E"
