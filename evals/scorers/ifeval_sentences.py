"""Sentences and words of English text, counted as IFEval counts them but without NLTK's data.

Sentences follow the decisions of Punkt (Kiss and Strunk, 2006), which IFEval uses, with fixed
lists in place of its trained ones: a line break alone ends no sentence. Words follow NLTK 3.9's
`NLTKWordTokenizer` (Apache-2.0), whose substitutions are repeated here. Linear in the text.
"""

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OPENERS = "\"'([{“‘«*_"
END = re.compile(r"(?<![.!?])([.!?]++)[\"')\]}’”»*_]*+\s++")
"""A run of marks, the quotes and brackets that it closes, and the white space after them."""
LONGEST_WORD = 40
TITLES = _words(
    "mr mrs ms messrs dr drs prof st gen rep sen gov col capt sgt lt hon rev maj adm fig figs nos"
    " vs cf approx"
)
"""Abbreviations that never end a sentence: a name or a number follows them."""
ABBREVIATIONS = _words(
    "e.g i.e etc inc ltd co corp bros jr sr ph.d m.d b.a m.a u.s u.k u.n d.c a.m p.m a.d b.c al"
    " dept est no vol pp ed jan feb mar apr jun jul aug sep sept oct nov dec ave blvd rd mt"
    " ft"
)
STARTERS = _words(
    "a after all also although an and as at because before but by during each even every first"
    " for from he her here his how however i if in it its many most my no not now of on once one"
    " only our she since so some such that the their then there these they this those though to"
    " today we what when where while who why with you your"
)
"""Words that are common in lower case, so that a capital shows that a sentence begins."""
DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
NUMBER = re.compile(r"-?[.,]?\d[\d,.-]*")
NEXT_WORD = re.compile(r"[^\W\d_]+")

SUBSTITUTIONS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        ("([«“‘„]|[`]+)", r" \1 "),
        (r"^\"", r"``"),
        (r"(``)", r" \1 "),
        (r"([ \(\[{<])(\"|\'{2})", r"\1 `` "),
        (r"(?i)(\')(?!re|ve|ll|m|t|s|d|n)(\w)\b", r"\1 \2"),
        (r'([^\.])(\.)([\]\)}>"\' »”’]*+)\s*$', r"\1 \2 \3 "),
        (r"([:,])([^\d])", r" \1 \2"),
        (r"([:,])$", r" \1 "),
        (r"\.{2,}", r" \g<0> "),
        (r"[;@#$%&]", r" \g<0> "),
        (r'([^\.])(\.)([\]\)}>"\']*)\s*$', r"\1 \2\3 "),
        (r"[?!]", r" \g<0> "),
        (r"([^'])' ", r"\1 ' "),
        (r"[*]", r" \g<0> "),
        (r"[\]\[\(\)\{\}\<\>]", r" \g<0> "),
        (r"--", r" -- "),
        (r"\A|\Z", " "),
        (r"([»”’])", r" \1 "),
        (r"''", " '' "),
        (r'"', " '' "),
        (r"\s+", " "),
        (r"([^' ])('[sS]|'[mM]|'[dD]|') ", r"\1 \2 "),
        (r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", r"\1 \2 "),
        (r"(?i)\b(can)(not)\b", r" \1 \2 "),
        (r"(?i)\b(d)('ye)\b", r" \1 \2 "),
        (r"(?i)\b(gim)(me)\b", r" \1 \2 "),
        (r"(?i)\b(gon)(na)\b", r" \1 \2 "),
        (r"(?i)\b(got)(ta)\b", r" \1 \2 "),
        (r"(?i)\b(lem)(me)\b", r" \1 \2 "),
        (r"(?i)\b(more)('n)\b", r" \1 \2 "),
        (r"(?i)\b(wan)(na)(?=\s)", r" \1 \2 "),
        (r"(?i) ('t)(is)\b", r" \1 \2 "),
        (r"(?i) ('t)(was)\b", r" \1 \2 "),
    )
)
"""NLTK's rules in its order: quotes, punctuation, brackets, clitics, contractions."""


def count_sentences(text: str) -> int:
    """Return the number of sentences; 0 for white space."""
    text = text.strip()
    if not text:
        return 0
    return 1 + sum(_breaks(text, found) for found in END.finditer(text))


def words_of(text: str) -> list[str]:
    """Return the words and punctuation marks; `can't` is two, as in the Penn Treebank."""
    for pattern, replacement in SUBSTITUTIONS:
        text = pattern.sub(replacement, text)
    return text.split()


def _breaks(text: str, end: re.Match[str]) -> bool:
    """Say whether a sentence ends at these marks."""
    marks = end[1]
    if marks.strip("."):
        return True
    following = text[end.end() : end.end() + 1]
    if len(marks) > 1:
        return not following.islower()
    before = text[max(0, end.start() - LONGEST_WORD) : end.start()]
    word = before.split()[-1].lstrip(OPENERS).lower() if before[-1:].strip() else ""
    if NUMBER.fullmatch(word):
        return not following.islower()
    if word in TITLES:
        return False
    if word in ABBREVIATIONS or DOTTED.fullmatch(word) or (len(word) == 1 and word.isalpha()):
        return following.isupper() and _next_word(text, end.end()) in STARTERS
    return True


def _next_word(text: str, at: int) -> str:
    found = NEXT_WORD.match(text, at, at + LONGEST_WORD)
    return found[0].lower() if found else ""
