"""Strangers' text in Dagster's UI: Markdown that shows exactly that text, logs without addresses. For the real UI see tests/browser."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.campaign_stats.counters import Counters
from orchestration.campaign_stats.summaries import Line, markdown
from orchestration.dagster_kit.checks import listing_value, result
from orchestration.dagster_kit.findings import LONGEST, Finding, Listing, named
from orchestration.text import LONGEST_NAME, LONGEST_TEXT, log_text, markdown_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Spring offers 1-1", "Spring offers 1-1"),
        ("campaign_template_stats", "campaign_template_stats"),
        ("1e5, 50 % (today): app/messages'", "1e5, 50 % (today): app/messages'"),
        ("_it_ **b** ~~s~~", r"\_it\_ \*\*b\*\* \~\~s\~\~"),
        ("![x](y) <b>", r"!\[x\](y) \<b>"),
        ("&lt;img&#62; & b", r"\&lt;img\&#62; & b"),
        (r"a | \| b\\", r"a \| \\\| b\\\\"),
        ("https://evil.example/a", "`https://evil.example/a`"),
        ("see WWW.evil.example now", "see `WWW.evil.example` now"),
        ("a@b.example", "`a@b.example`"),
        ("`https://`", "`` `https://` ``"),
        ("http://x|y", r"`http://x\|y`"),
        ("# heading", r"\# heading"),
        ("1. one", r"1\. one"),
        ("- one", r"\- one"),
        ("> one > two", r"\> one > two"),
        ("two\n\n| lines |\t\u202ex\x00", "two \\| lines \\| �x�"),
        ("", ""),
    ],
)
def test_markdown_shows_what_was_written(text: str, expected: str) -> None:
    assert markdown_text(text) == expected


def test_logs_show_addresses_that_are_no_links_on_one_line() -> None:
    assert log_text("a\n\thttps://evil.example HTTP://x \u202ey") == "a https: //evil.example HTTP: //x �y"
    assert log_text("GRANT x TO y; 5:00 // **") == "GRANT x TO y; 5:00 // **"


def test_long_texts_are_cut() -> None:
    assert len(log_text("x" * 10**6)) == LONGEST_TEXT
    assert len(markdown_text("x " * 10**6)) <= LONGEST_TEXT
    assert len(markdown_text("x" * 100, LONGEST_NAME)) == LONGEST_NAME
    assert all(len(item) <= LONGEST for item in named(["x" * 10**6] * 9).split("; "))


# Characters that end a code span, a cell or an escape, more often than at random.
TEXTS = st.text(st.one_of(st.sampled_from("`|\\ *_[]<>!&@:/.w~#1-\n"), st.characters()), max_size=40)


@given(TEXTS)
def test_no_text_breaks_out_of_its_cell(text: str) -> None:
    """By the rules of the UI's parser: a backslash escapes the next character, and an unescaped | ends the cell."""
    told = markdown_text(text)
    assert "\n" not in told
    assert "|" not in re.sub(r"\\[\\|]", "", told)


@given(TEXTS)
def test_no_address_stands_outside_of_code(text: str) -> None:
    """Code ends at the same number of backticks as it began with; other backticks are escaped."""
    left = re.sub(r"\\[^\w\s]", "", re.sub(r"(?<![\\`])(`+)(?!`).*?(?<!`)\1(?!`)", "", markdown_text(text)))
    assert not re.search(r"://|www\.|@", left, re.IGNORECASE)
    assert not re.search(r"[`*<\[\]~|]", left)
    assert not re.search("[a-z]://", log_text(text), re.IGNORECASE)


def test_a_table_of_hostile_names_keeps_its_columns() -> None:
    names = ["a | b", "https://x|y", "\\|", "`", "line\nbreak", "x" * 5000, None]
    lines = [Line({"template": name, "campaigns": 1}, Counters(1, 1)) for name in names]
    heading, rule, *rows = markdown(lines, len(lines)).splitlines()
    assert len(rows) == len(names)
    columns = heading.count("|")
    assert rule.count("|") == columns
    for row in rows:
        assert re.sub(r"\\[\\|]", "", row).count("|") == columns
        assert len(row) < 400


def test_a_checks_sentence_and_its_cells_are_shown_as_text() -> None:
    sentence = "no status '![x](https://evil.example/x.png)' in message_status_logs"
    listing = Listing.of(("value", "rows"), [("x\n\x1b[2J" + "y" * 10_000, 5), (None, 1)])
    told = result(Finding(False, sentence, False, {}, {"values": listing}), seconds=1)
    assert told.description == "no status `'![x](https://evil.example/x.png)'` in message_status_logs"
    first, second = (record.data for record in listing_value(listing).records)
    assert str(first["value"]).startswith("x �[2Jy")
    assert len(str(first["value"])) == LONGEST_TEXT
    assert (first["rows"], second["value"]) == (5, None)
