"""The picture, measured in its pixels; and the same counters as text."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from itertools import groupby, pairwise
from operator import mul
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from orchestration.campaign_stats.assets import picture_metadata
from orchestration.campaign_stats.counters import ASIDE, STEPS, Counters, bar_text, count_text
from orchestration.campaign_stats.funnel import BAR_WIDTH, COLORS, MOST_PARTS, WIDTH, draw
from orchestration.campaign_stats.summaries import TEMPLATE_STATS, Line, Summary, funnel_markdown
from tests.commands import subprocess_environment

SIX = (*STEPS, *ASIDE)
WHITE = (255, 255, 255)
LARGEST = 2**63 - 1
# A picture takes a third of a second.
fewer = settings(max_examples=settings.default.max_examples // 3)


def decoded(png: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(png))
    picture.load()
    return picture


def longest_runs(png: bytes) -> dict[str, int]:
    """Per counter, the longest horizontal stretch of its colour, in pixels."""
    picture = decoded(png).convert("RGB")
    names = {color: name for name, color in COLORS.items()}
    found = dict.fromkeys(COLORS, 0)
    for y in range(0, picture.height, 5):  # a bar is 22 high
        for color, run in groupby(picture.crop((0, y, picture.width, y + 1)).get_flattened_data()):
            if color in names:
                found[names[color]] = max(found[names[color]], len(list(run)))  # type: ignore[index]
    return found


def funnel(total: int = 1000, sent: int = 900, delivered: int = 800, read: int = 500) -> Counters:
    return Counters(total, sent, delivered, read, replied=120, failed=130, failed_queue=30)


def test_bars_are_as_long_as_their_counters_on_one_scale() -> None:
    assert longest_runs(draw("t", "s", funnel())) == {
        "total": 400,
        "sent": 360,
        "delivered": 320,
        "read": 200,
        "replied": 48,
        "failed": 52,
    }


@fewer
@given(
    st.lists(st.integers(0, LARGEST), min_size=4, max_size=4).map(lambda four: sorted(four, reverse=True)),
    st.integers(0, LARGEST),
    st.integers(0, LARGEST),
)
def test_any_counters_are_drawn_within_a_pixel_and_what_is_not_nothing_is_seen(
    steps: list[int], replied: int, failed: int
) -> None:
    counters = Counters(*steps, min(replied, steps[2]), min(failed, steps[0]))
    found = longest_runs(draw("t", "s", counters))
    for name in SIX:
        value = counters.of(name)
        exact = BAR_WIDTH * value / counters.total if counters.total else 0
        assert abs(found[name] - exact) <= 1
        assert bool(found[name]) == bool(value)


@fewer
@given(
    st.lists(st.tuples(st.none() | st.text(), st.integers(0, LARGEST)), max_size=5),
    st.text(),
    st.text(),
)
def test_any_names_are_drawn_without_a_warning(
    parts: list[tuple[str | None, int]], title: str, subtitle: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = draw(title, subtitle, funnel(), [(name, Counters(value)) for name, value in parts])
    assert decoded(picture).width == WIDTH


@pytest.mark.parametrize(
    "name",
    [
        "$x^{",
        r"\frac{a}{b} %",
        "",
        " \t\n ",
        "\x1b[31m\x07\x7f",
        "x" * 1_000_000,
        "日本語 مرحبا 🎉",
        "\ud800",
    ],
    ids=["formula", "tex", "empty", "space", "control", "long", "other scripts", "surrogate"],
)
def test_names_stay_in_their_place(name: str) -> None:
    """They move no bar, and nothing is written beside them or past the margin."""
    plain = decoded(draw("t", "s", funnel(), [("n", funnel())])).convert("RGB")
    odd = decoded(draw(name, name, funnel(), [(name, funnel())])).convert("RGB")
    assert odd.size == plain.size
    columns = [
        x
        for x in range(WIDTH)
        for y in range(odd.height)
        if odd.getpixel((x, y)) != plain.getpixel((x, y)) and y > 80
    ]
    assert not columns or max(columns) < 212, "beyond its column, where the bars begin"
    edge = odd.crop((WIDTH - 24, 0, WIDTH, odd.height)).getcolors()
    assert edge == [(24 * odd.height, WHITE)]


def test_nothing_to_count_is_drawn_without_bars() -> None:
    for parts in ([], [("a", Counters()), (None, Counters())]):
        assert set(longest_runs(draw("t", "s", Counters(), parts)).values()) == {0}


def test_parts_have_a_line_each_and_those_beyond_are_numbered() -> None:
    heights = [decoded(draw("t", "s", funnel(), [("n", funnel())] * number)).height for number in range(5)]
    assert len({after - before for before, after in pairwise(heights[1:])}) == 1
    assert heights[0] < heights[1]
    full = draw("t", "s", funnel(), [("n", funnel())] * MOST_PARTS)
    more = draw("t", "s", funnel(), [("n", funnel())] * (MOST_PARTS + 5))
    assert decoded(more).height > decoded(full).height
    assert draw("t", "s", funnel(), [("n", funnel())] * MOST_PARTS, all_parts=MOST_PARTS + 5) == more


def test_a_parts_bar_shows_what_was_read_within_what_was_delivered_within_what_was_sent() -> None:
    part = funnel(total=1080, sent=810, delivered=540, read=270)
    picture = decoded(draw("t", "s", Counters(), [("n", part), ("m", Counters(540))])).convert("RGB")
    names = {color: name for name, color in COLORS.items()}
    rows = {
        tuple(
            (names[color], len(list(run)))  # type: ignore[index]
            for color, run in groupby(picture.getpixel((x, y)) for x in range(WIDTH))
            if color in names
        )
        for y in range(picture.height)
    }
    assert rows == {
        (),
        (("read", 54), ("delivered", 54), ("sent", 54), ("total", 54)),
        (("total", 108),),
    }


def linear(color: tuple[int, int, int]) -> list[float]:
    return [(c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """Contrast ratio as WCAG defines it."""
    dark, light = sorted(
        0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in map(linear, (one, other))
    )
    return (light + 0.05) / (dark + 0.05)


def test_steps_are_told_apart_by_lightness_alone() -> None:
    for before, after in pairwise((WHITE, *(COLORS[step] for step in STEPS))):
        assert contrast(before, after) > 1.4


# What one sees without red or without green receptors (Machado, Oliveira, Fernandes 2009; on linear RGB).
PROTANOPIA = (
    (0.152286, 1.052583, -0.204868),
    (0.114503, 0.786281, 0.099216),
    (-0.003882, -0.048116, 1.051998),
)
DEUTERANOPIA = (
    (0.367322, 0.860646, -0.227968),
    (0.280085, 0.672501, 0.047413),
    (-0.011820, 0.042940, 0.968881),
)


@pytest.mark.parametrize("seen", [PROTANOPIA, DEUTERANOPIA], ids=["protanopia", "deuteranopia"])
def test_replied_and_failed_are_told_apart_without_red_or_green(seen: tuple[tuple[float, ...], ...]) -> None:
    def perceived(name: str) -> list[float]:
        return [sum(map(mul, row, linear(COLORS[name]))) for row in seen]

    apart = [abs(one - other) for one, other in zip(perceived("replied"), perceived("failed"), strict=True)]
    assert max(apart) > 0.15


def test_the_picture_is_on_white_and_of_few_colours() -> None:
    picture = decoded(draw("t", "s", funnel(), [("n", funnel())]))
    assert picture.mode == "P"
    assert "transparency" not in picture.info
    colors = picture.convert("RGB").getcolors()
    assert colors is not None
    assert len(colors) <= 16
    assert max(colors)[1] == WHITE
    assert picture.convert("RGB").getpixel((0, 0)) == WHITE


def test_an_events_picture_is_small_and_a_commands_not_large() -> None:
    names = [f"{'a long template name of digits '[number % 7 :]}{number}" for number in range(40)]
    lines = tuple(
        Line({"template": name}, funnel(9_876_543 - n, 8_765_432 - n, 7_654_321 - n, 6_543_210 - n))
        for n, name in enumerate(names)
    )
    summary = Summary(1234, 40, funnel(), lines, all_lines=40)
    told = picture_metadata(TEMPLATE_STATS, "2026-03-05 to 2026-03-13", summary)["funnel_picture"].value
    assert told.startswith("![funnel](data:image/png;base64,iVBOR")
    assert len(told) < 16_000
    assert picture_metadata(TEMPLATE_STATS, "2026-03-05", Summary()) == {}
    assert len(draw("t", "s", funnel(), [(line.name, line.counters) for line in lines])) < 32_000


def test_the_same_counters_give_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text(
        "font.size: 40\nfont.family: monospace\ntext.usetex: True\ntext.color: red\ntext.antialiased: False\n"
        "figure.facecolor: black\nfigure.dpi: 300\nfigure.autolayout: True\npatch.edgecolor: red\n"
        "patch.antialiased: True\nsavefig.dpi: 300\nbackend: pdf\n"
    )
    script = (
        "import sys\n"
        "from orchestration.campaign_stats.counters import Counters\n"
        "from orchestration.campaign_stats.funnel import draw\n"
        "import matplotlib\n"
        "# To ask for the backend is to load pyplot.\n"
        "settings = lambda: {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != 'backend'}\n"
        "before = settings()\n"
        "picture = draw('t', 's', Counters(1000, 900, 800, 500, 120, 130), [('n', Counters(5, 4, 3)), (None, Counters())])\n"
        "assert settings() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "sys.stdout.buffer.write(picture)\n"
    )
    here = draw(
        "t", "s", Counters(1000, 900, 800, 500, 120, 130), [("n", Counters(5, 4, 3)), (None, Counters())]
    )
    there = subprocess.run(
        [sys.executable, "-c", script],
        env=subprocess_environment(PYTHONHASHSEED="1"),
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert there.returncode == 0, there.stderr.decode()
    assert there.stdout == here


# --- as text --------------------------------------------------------------------------------------------------------


def test_the_funnel_as_text_is_shown_at_once_with_counts_shares_and_bars() -> None:
    text = funnel_markdown(funnel())
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines()]
    assert rows[2:] == [
        ["total", "1,000", "", "█" * 12],
        ["sent", "900", "90.0\N{NO-BREAK SPACE}%", "█" * 10 + "▊"],
        ["delivered", "800", "88.9\N{NO-BREAK SPACE}%", "█" * 9 + "▋"],
        ["read", "500", "62.5\N{NO-BREAK SPACE}%", "█" * 6],
        ["replied", "120", "15.0\N{NO-BREAK SPACE}%", "█▌"],
        ["failed", "130", "13.0\N{NO-BREAK SPACE}%", "█▌"],
    ]
    largest = funnel_markdown(Counters(*[LARGEST] * 7))
    # Dagster's UI puts what has 1,000 characters behind a click.
    assert len(largest) < 1000
    assert "%" not in funnel_markdown(Counters())


@given(st.integers(0, LARGEST), st.integers(1, LARGEST), st.integers(8, 100), st.booleans())
def test_a_bar_of_text_is_never_longer_than_its_scale(
    value: int, scale: int, letters: int, blocks: bool
) -> None:
    value = min(value, scale)
    text = bar_text(value, scale, letters, blocks=blocks)
    assert bool(text) == bool(value)
    assert abs(len(text) - letters * value / scale) <= 1
    assert len(text) <= letters
    if not blocks:
        assert text.isascii()


def test_numbers_fit_a_column() -> None:
    assert [count_text(value) for value in (0, 1234, 999_999_999, 10**9, LARGEST)] == [
        "0",
        "1,234",
        "999,999,999",
        "1.000e+09",
        "9.223e+18",
    ]
