from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tabs.escape import as_code, as_text, fenced

HARMLESS = {
    *("p", "code", "pre", "em", "strong", "a", "ul", "ol", "li", "blockquote", "hr", "br"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td", "s"),
}
PIECES = st.sampled_from(
    [
        *("<img src=x onerror=alert(1)>", "<script>", "</script>", "![x](http://e.invalid/x.png)"),
        *("`", "``", "```", "~~~", "\n", "\n\n", "    ", "- ", "> ", "\\", "|", "|--|\n", "&lt;"),
        *("[x]", "(y)", "![", "]", "a", " ", "**", "_", "<", ">", "<!--", "-->", "[a]: ", "&"),
    ]
)


class Tags(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.add(tag)

    def handle_comment(self, data: str) -> None:
        self.found.add("comment")


def tags(markdown: str, preset: str = "commonmark") -> set[str]:
    """Return the tags that another implementation of Markdown makes, HTML let through."""
    parser = Tags()
    parser.feed(MarkdownIt(preset, {"html": True}).render(markdown))
    parser.close()
    return parser.found


@given(st.lists(PIECES, max_size=14).map("".join))
def test_nothing_comes_to_life(text: str) -> None:
    for preset in ("commonmark", "default"):
        assert tags(as_text(text), preset) <= HARMLESS


def test_unescaped_text_would_come_to_life() -> None:
    assert "img" in tags("![x](http://e.invalid/x.png)")
    assert "script" in tags("<script>x</script>")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a < b & c", "a &lt; b &amp; c"),
        ("> quoted\nx > y", "> quoted\nx &gt; y"),
        ("**bold** and *soft*", "**bold** and *soft*"),
        ("use `x<y`", "use <code>x&#60;y</code>"),
        ("an open ` tick", "an open &#96; tick"),
        ("", ""),
        ("\U0001f3ad", "\U0001f3ad"),
    ],
)
def test_text(text: str, shown: str) -> None:
    assert as_text(text) == shown


def test_code_blocks_keep_their_look() -> None:
    assert as_text('a\n```json\n{"x": "<b>"}\n```\nb') == 'a\n\n\n```json\n{"x": "<b>"}\n```\n\nb'
    assert as_text("```\nstill being writ") == "\n\n```\nstill being writ\n```\n\n"
    assert as_text("~~~\n```\n~~~") == "\n\n````\n```\n````\n\n"


def test_nothing_closes_a_fence_or_inline_code() -> None:
    assert fenced("a\n```\nb").startswith("````\n")
    assert tags(fenced("```\n<img src=x>", "json")) == {"pre", "code"}
    assert tags(as_code("</code><img src=x>`")) == {"p", "code"}
