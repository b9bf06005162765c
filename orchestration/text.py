"""Shows text that somebody else may have written, harmlessly: on a terminal, in a log, in Dagster's UI.

Dagster's UI renders descriptions of check results and markdown metadata as Markdown, including images and bare addresses.
It also turns addresses in logs and errors into links.
"""

from __future__ import annotations

import re
from unicodedata import category

LONGEST_NAME = 60
LONGEST_TEXT = 4_000
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"

# Markdown punctuation within a line, and what begins a heading or a list.
_PUNCTUATION = re.compile(r"([\\`*\[\]<|~]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_]))")
_BEGINS_A_BLOCK = re.compile(r"(#+|[-+=]+|>.*|\d+[.)])$")
# Words that become links by themselves, with no punctuation to escape.
_ADDRESS = re.compile(r"://|www\.|@", re.IGNORECASE)
_SCHEME = re.compile(r"(?<=[a-z]):(?=//)", re.IGNORECASE)


class _Harmless(dict[int, str]):
    """For str.translate: characters that control a terminal or reorder a line become replacement characters, white space blanks."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        if letter.isspace():
            shown = " "
        elif category(letter) in ("Cc", "Cf", "Cs") and letter not in _JOINERS:
            shown = "\N{REPLACEMENT CHARACTER}"
        else:
            shown = letter
        self[code] = shown
        return shown


_HARMLESS = _Harmless()


def clean(text: str) -> str:
    """Text from outside on one line, without characters that control a terminal or change a line's direction."""
    return " ".join(text.translate(_HARMLESS).split())


def clean_lines(text: str) -> str:
    """The same for text of several lines; lines and blanks are kept."""
    return "\n".join(line.translate(_HARMLESS) for line in text.split("\n"))


def name_text(value: str | None) -> str:
    """A name from outside, cleaned; (none) where there is none."""
    return "(none)" if value is None else clean(value)


def cut(text: str, longest: int) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def markdown_text(text: str, longest: int = LONGEST_TEXT) -> str:
    """Markdown that renders exactly this text, on one line, also in a table cell. Addresses appear as code."""
    words = cut(clean(text), longest).split(" ")
    told = [_code(word) if _ADDRESS.search(word) else _escaped(word) for word in words]
    if _BEGINS_A_BLOCK.match(words[0]):
        told[0] = f"{words[0][:-1]}\\{words[0][-1]}" if words[0][0].isdigit() else f"\\{words[0]}"
    return " ".join(told)


def log_text(text: str, longest: int = LONGEST_TEXT) -> str:
    """The text on one line, for logs and errors. Addresses in it are broken up, so that they do not become links."""
    return _SCHEME.sub(": ", cut(clean(text), longest))


def age(seconds: float) -> str:
    """A duration for people: 90 s, 12 min, 5 h, 3 days."""
    for size, unit in ((172_800, "days"), (7_200, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / {'days': 86_400, 'h': 3_600, 'min': 60}[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"


def _escaped(word: str) -> str:
    """Leaves underscores between letters: they mean nothing in Markdown, and occur in every table name."""
    return _PUNCTUATION.sub(r"\\\1", word)


def _code(word: str) -> str:
    """Fenced by one backtick more than the word has in a row.

    A table cell ends at | even in code, so | is escaped. A backslash before it would be lost, so there it becomes ¦.
    """
    fence = "`" * (1 + max(map(len, re.findall("`+", word)), default=0))
    blank = " " if "`" in (word[0], word[-1]) else ""
    inside = word.replace("\\|", "\\¦").replace("|", "\\|")
    return f"{fence}{blank}{inside}{blank}{fence}"
