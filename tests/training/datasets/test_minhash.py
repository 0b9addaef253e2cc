"""Similar texts have a key in common, as often as the mathematics says."""

import random

from training.datasets.minhash import BANDS, PIECE, ROWS, MinHash


def pieces(text):
    return {text[i : i + PIECE] for i in range(len(text) - PIECE + 1)}


def jaccard(one, other):
    a, b = pieces(one), pieces(other)
    return len(a & b) / len(a | b)


def test_the_same_text_has_the_same_keys_and_any_text_has_keys():
    for text in ("", "a", "The guests are here.", "é" * 30_000):
        keys = MinHash().keys(text)
        assert keys.shape == (BANDS,)
        assert (keys == MinHash().keys(text)).all()


def test_the_keys_are_these():
    keys = [
        13356406785555952629,
        4636237848314116772,
    ]
    assert [int(key) for key in MinHash().keys("Good evening.")[:2]] == keys


def test_texts_meet_as_often_as_their_similarity_says():
    draw = random.Random(1)
    minhash = MinHash()
    letters = "abcdefghijklmnopqrstuvwxyz"
    close = far = met_close = met_far = 0
    for _ in range(300):
        text = "".join(draw.choices(letters, k=120))
        place = draw.randrange(100)
        near = text[:place] + "".join(draw.choices(letters, k=8)) + text[place + 8 :]
        other = "".join(draw.choices(letters, k=120))
        assert jaccard(text, near) > 0.7
        keys = minhash.keys(text)
        close += 1
        met_close += (keys == minhash.keys(near)).any()
        far += 1
        met_far += (keys == minhash.keys(other)).any()
    assert met_close >= 0.99 * close
    assert met_far <= 0.01 * far
    assert 1 - (1 - 0.7**ROWS) ** BANDS > 0.999
