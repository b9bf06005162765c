"""Text from outside on a terminal, and tables on narrow terminals: only the functions. For the commands see test_hostile_text.py."""

from __future__ import annotations

import re
import sys
from unicodedata import category

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from orchestration.engine.commands import _configure_logs
from orchestration.terminal import fit, show_table
from orchestration.text import clean, clean_lines, name_text
from tests.commands import run

JOINERS = "\u200c\u200d"  # Persian letters and emojis are joined with them
EVERYTHING = "".join(map(chr, range(sys.maxunicode + 1)))


def test_nothing_that_controls_a_terminal_or_turns_a_line_comes_through() -> None:
    shown = clean(EVERYTHING)
    bad = {letter for letter in shown if category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert bad == set(JOINERS)
    for letter in "\x00\x07\x1b\x7f\x9b\u202e\u2066\u200f\ufeff\ud800":
        assert clean(f"a{letter}b") == "a\N{REPLACEMENT CHARACTER}b"
    for letter in "\n\r\t\v\f\x85\u2028\u2029":
        assert clean(f"a{letter}b") == "a b"


def test_every_letter_that_is_one_comes_through_as_it_is() -> None:
    letters = [letter for letter in EVERYTHING if category(letter)[0] in "LMNPS"]
    assert clean("".join(letters)) == "".join(letters)


def test_lines_stay_lines_and_keep_their_blanks() -> None:
    assert clean_lines("a\n    b\tc\r\n\x1b[1md") == "a\n    b c \n\N{REPLACEMENT CHARACTER}[1md"
    assert name_text(None) == "(none)"


@given(st.lists(st.integers(0, 60), min_size=1, max_size=8), st.integers(1, 200), st.data())
def test_columns_fit_the_room_with_as_little_left_out_and_cut_as_that_takes(
    widths: list[int], room: int, data: st.DataObject
) -> None:
    numbers = st.lists(st.sampled_from(range(len(widths))), unique=True)
    cut = data.draw(numbers)
    drop = data.draw(numbers)
    found = fit(widths, cut, drop, room)
    least = [min(width, 12) if n in cut else width for n, width in enumerate(widths)]

    def taken(columns: set[int]) -> int:
        return sum(least[n] for n in columns) + 2 * (len(columns) - 1)

    everything = set(range(len(widths)))
    if found is None:
        assert taken(everything - set(drop)) > room
        return
    assert sum(found.values()) + 2 * (len(found) - 1) <= room
    left_out = [n for n in range(len(widths)) if n not in found]
    assert set(left_out) == set(drop[: len(left_out)])
    if left_out:
        assert taken(set(found) | {drop[len(left_out) - 1]}) > room
    for n, width in found.items():
        assert least[n] <= width <= widths[n]
    if sum(widths[n] for n in found) + 2 * (len(found) - 1) <= room:
        assert all(found[n] == widths[n] for n in found)


def test_into_a_pipe_rows_are_whole_and_parted_by_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 500
    show_table("Things", ("thing", "what"), [("a\tb\nc", long), (None, 1)], cut=("what",))
    assert capsys.readouterr().out == f"thing\twhat\na b c\t{long}\n\t1\n"


def test_settings_are_told_line_by_line_on_a_terminal() -> None:
    shown = run("settings", FORCE_COLOR="1", HEADRACE_SOURCE_SCHEMA="a\x1b]0;b\x07").output
    assert (
        "HEADRACE_SOURCE_SCHEMA = a\N{REPLACEMENT CHARACTER}]0;b\N{REPLACEMENT CHARACTER}\n"
        "    schema of the application's tables\n"
    ) in shown
    assert "HEADRACE_SOURCE_SCHEMA\ta" in run("settings", HEADRACE_SOURCE_SCHEMA="a").output


@pytest.mark.parametrize("terminal", [True, False])
def test_a_log_line_obeys_nobody(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    _configure_logs()
    structlog.get_logger("headrace.worker").error(
        "stream is blocked", error="\x1b]0;a\x07\n\u202eevil", streams=["\x1b[2J"]
    )
    structlog.reset_defaults()
    shown = capsys.readouterr().err
    if terminal:
        shown = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert "evil" in shown
    assert {category(letter) for letter in shown.replace("\n", "")} & {"Cc", "Cf", "Zl", "Zp"} == set()
