"""Text that others wrote, as Markdown that shows it: no HTML comes to life, no image is fetched.

Code keeps its look. It is written anew in a form that no Markdown parser reads otherwise, and
outside of it no backtick is left, so that nothing can pass for code here and for HTML there.
"""

import re

FENCE = re.compile(
    r"^ {0,3}(?P<mark>`{3,}|~{3,})(?P<about>[^`\n]*)\n(?P<code>.*?)"
    r"(?:^ {0,3}(?P=mark)[`~]*[ \t]*(?:\n|\Z)|\Z)",
    re.MULTILINE | re.DOTALL,
)
INLINE = re.compile(r"(?<![`\\])(`{1,2})(?!`)([^`\n]+)\1(?!`)")
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "`": "&#96;"}
MARKUP = re.compile(r"[&<>`*_\[\]|!~\\:@]")


def as_text(text: str) -> str:
    """Return Markdown in which HTML is shown as text and no image is fetched."""
    parts, end = [], 0
    for match in FENCE.finditer(text):
        parts.append(_prose(text[end : match.start()]))
        language = re.match(r"[\w+-]*", match["about"].strip())
        block = fenced(match["code"].removesuffix("\n"), language[0] if language else "")
        parts.append(f"\n\n{block}\n\n")
        end = match.end()
    parts.append(_prose(text[end:]))
    return "".join(parts)


def as_code(text: str) -> str:
    """Return the text as inline code that nothing within it can end."""
    escaped = MARKUP.sub(lambda match: f"&#{ord(match[0])};", text)
    return f"<code>{escaped}</code>"


def fenced(text: str, language: str = "") -> str:
    """Return the text as a code block that nothing within it can close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _prose(text: str) -> str:
    """Escape text between fences."""
    parts, end = [], 0
    for match in INLINE.finditer(text):
        parts += [_plain(text[end : match.start()]), as_code(match[2])]
        end = match.end()
    return "".join([*parts, _plain(text[end:])])


def _plain(text: str) -> str:
    """Escape text that holds no code; emphasis, lists, headings and links stay."""
    # A backslash would take the entity after it for a character.
    text = re.sub(r"\\(?=[&<>`!]|\Z)", "&#92;", text.replace("&", "&amp;"))
    text = re.sub("[<>`]", lambda match: ENTITIES[match[0]], text)
    # Quotes keep their mark: "> " at the start of a line means a quotation.
    text = re.sub(r"^&gt; ", "> ", text, flags=re.MULTILINE)
    text = re.sub(r"~(?=~~)", "&#126;", text)
    return text.replace("![", "&#33;&#91;")
