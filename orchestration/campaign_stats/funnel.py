"""The funnel as a picture: counters in, PNG out.

It is drawn in pixels on its own canvas, without pyplot, so the state of the process does not change. Here: the
drawing. Not here: where counters come from, and where the picture goes.
"""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.patches import Polygon
from matplotlib.transforms import Affine2D
from PIL import Image

from orchestration.campaign_stats.counters import (
    ASIDE,
    SHARE_OF,
    STEPS,
    Counters,
    count_text,
    percent_text,
)
from orchestration.text import name_text

# Pixels. Dagster's UI does not scale a picture; its dialog takes four fifths of the window.
WIDTH = 800
BAR_LEFT, BAR_WIDTH = 116, 400
STEPS_TOP, STEP_HEIGHT, STEP_BAR = 84, 34, 22
MOST_PARTS = 30

_MARGIN = 24
_PART_HEIGHT, _PART_BAR = 22, 12
_PART_BAR_LEFT, _PART_BAR_WIDTH = 212, 216
_PART_COLUMNS = ("total", "delivered", "read", "replied", "failed")
_COLUMN_WIDTH = 66

# Blues of different lightness, green and vermilion: distinct for colour-blind readers too (after Okabe and Ito).
COLORS = {
    "total": (180, 208, 234),
    "sent": (118, 170, 217),
    "delivered": (48, 120, 186),
    "read": (8, 62, 118),
    "replied": (0, 158, 115),
    "failed": (213, 94, 0),
}
_INK = (32, 33, 36)
_FADED = (95, 99, 104)
_RULE = (221, 225, 230)
_FLOW = (241, 245, 249)
_WHITE = (255, 255, 255)
# Sixteen colours take half a byte per pixel. The greys are for the edges of letters.
_EDGES = tuple((grey, grey, grey) for grey in (64, 128, 160, 190, 208))
_PALETTE = (_WHITE, _INK, _FADED, _RULE, _FLOW, *COLORS.values(), *_EDGES)

_FONTS = Path(matplotlib.get_data_path(), "fonts", "ttf")
_PLAIN, _BOLD = _FONTS / "DejaVuSans.ttf", _FONTS / "DejaVuSans-Bold.ttf"


def draw(
    title: str,
    subtitle: str,
    counters: Counters,
    parts: Sequence[tuple[str | None, Counters]] = (),
    *,
    kind: str = "template",
    all_parts: int | None = None,
) -> bytes:
    """A PNG, `WIDTH` pixels wide, on white: the steps of the funnel, replied and failed, then a line for each part.

    The same arguments give the same bytes.

    Args:
        parts: name and counters of the parts that `counters` sums up; at most `MOST_PARTS` are drawn.
        kind: what a part is called.
        all_parts: how many there are, if not all are given.
    """
    shown = parts[:MOST_PARTS]
    more = (len(parts) if all_parts is None else all_parts) - len(shown)
    canvas = _Canvas(_height(len(shown), more))
    canvas.text(_MARGIN, 34, name_text(title), size=17, bold=True, width=WIDTH - 2 * _MARGIN)
    canvas.text(_MARGIN, 58, name_text(subtitle), color=_FADED, width=WIDTH - 2 * _MARGIN)
    bottom = _draw_steps(canvas, counters)
    if shown:
        _draw_parts(canvas, bottom, shown, kind)
    if more > 0:
        canvas.text(_MARGIN, canvas.height - 20, f"… and {count_text(more)} more", color=_FADED)
    return canvas.png()


def _height(shown: int, more: int) -> int:
    height = STEPS_TOP + (len(STEPS) + len(ASIDE)) * STEP_HEIGHT + 28
    if shown:
        height += 42 + shown * _PART_HEIGHT
    return height + (22 if more > 0 else 0)


def _draw_steps(canvas: _Canvas, counters: Counters) -> int:
    """Draws six counters of the total, all bars on one scale, and returns the y where they end."""
    scale = max(counters.of(counter) for counter in (*STEPS, *ASIDE))
    top = STEPS_TOP
    before = 0
    for counter in (*STEPS, *ASIDE):
        if counter == ASIDE[0]:
            canvas.box(_MARGIN, top, WIDTH - 2 * _MARGIN, 1, _RULE)
            top += 12
        long = _length(counters.of(counter), scale, BAR_WIDTH)
        if before and counter in STEPS:
            gap = STEP_HEIGHT - STEP_BAR
            canvas.shape(
                [
                    (BAR_LEFT, top - gap),
                    (BAR_LEFT + before, top - gap),
                    (BAR_LEFT + long, top),
                    (BAR_LEFT, top),
                ],
                _FLOW,
            )
        canvas.box(BAR_LEFT, top, long, STEP_BAR, COLORS[counter])
        middle = top + STEP_BAR // 2 + 5
        canvas.text(_MARGIN, middle, counter)
        canvas.text(622, middle, count_text(counters.of(counter)), bold=True, right=True)
        if (percent := counters.percent(counter)) is not None:
            canvas.text(634, middle, f"{percent_text(percent)} of {SHARE_OF[counter]}", color=_FADED)
        before = long
        top += STEP_HEIGHT
    return top


def _draw_parts(canvas: _Canvas, top: int, parts: Sequence[tuple[str | None, Counters]], kind: str) -> None:
    """One line per part: the bars of total, sent, delivered and read inside one another, then the total and the rates."""
    canvas.box(_MARGIN, top + 4, WIDTH - 2 * _MARGIN, 1, _RULE)
    heading = top + 28
    canvas.text(_MARGIN, heading, kind, size=11, color=_FADED)
    rights = [WIDTH - _MARGIN - _COLUMN_WIDTH * place for place in range(len(_PART_COLUMNS))][::-1]
    for right, counter in zip(rights, _PART_COLUMNS, strict=True):
        canvas.text(right, heading, counter, size=11, color=_FADED, right=True)
    scale = max(counters.of(step) for _, counters in parts for step in STEPS)
    for place, (part, counters) in enumerate(parts):
        line = heading + 8 + place * _PART_HEIGHT
        for step in STEPS:
            long = _length(counters.of(step), scale, _PART_BAR_WIDTH)
            canvas.box(_PART_BAR_LEFT, line + 5, long, _PART_BAR, COLORS[step])
        baseline = line + 15
        canvas.text(_MARGIN, baseline, name_text(part), size=12, width=_PART_BAR_LEFT - _MARGIN - 12)
        for right, counter in zip(rights, _PART_COLUMNS, strict=True):
            said = (
                count_text(counters.total) if counter == "total" else percent_text(counters.percent(counter))
            )
            canvas.text(right, baseline, said, size=12, right=True)


def _length(value: int, scale: int, longest: int) -> int:
    """Pixels; at least one for any value above 0."""
    return max(1, round(longest * value / scale)) if value > 0 else 0


class _Canvas:
    """A canvas measured in pixels from the top left. The y of a text is its baseline."""

    def __init__(self, height: int) -> None:
        self.height = height
        # At 72 dots per inch, a point is a pixel.
        self._figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, facecolor="white")
        self._figure.set_layout_engine("none")
        self._agg: Any = FigureCanvasAgg(self._figure)
        self._downwards = Affine2D().scale(1, -1).translate(0, height)

    def box(self, left: int, top: int, width: int, height: int, color: tuple[int, int, int]) -> None:
        if width > 0:
            right, bottom = left + width, top + height
            self.shape([(left, top), (right, top), (right, bottom), (left, bottom)], color)

    def shape(self, corners: Sequence[tuple[int, int]], color: tuple[int, int, int]) -> None:
        self._figure.add_artist(
            Polygon(
                corners,
                facecolor=_fraction(color),
                linewidth=0,
                antialiased=False,
                snap=False,
                transform=self._downwards,
            )
        )

    def text(
        self,
        left: int,
        y: int,
        said: str,
        *,
        size: int = 13,
        bold: bool = False,
        color: tuple[int, int, int] = _INK,
        right: bool = False,
        width: int | None = None,
    ) -> None:
        """One line of plain text; formulas are not parsed. right: `left` is its right end. width: it is cut to this."""
        font = FontProperties(fname=_BOLD if bold else _PLAIN, size=size)
        # A letter is at least one pixel wide, so there is no need to measure a megabyte of them.
        said = _drawable(said[:width], _BOLD if bold else _PLAIN)
        self._figure.text(
            left,
            y,
            said if width is None else self._cut(said, font, width),
            transform=self._downwards,
            fontproperties=font,
            color=_fraction(color),
            horizontalalignment="right" if right else "left",
            verticalalignment="baseline",
            parse_math=False,
            usetex=False,
            antialiased=True,
        )

    def png(self) -> bytes:
        self._agg.draw()
        drawn = Image.frombuffer("RGBA", self._agg.get_width_height(), self._agg.buffer_rgba()).convert("RGB")
        palette = Image.new("P", (1, 1))
        palette.putpalette(bytes(part for color in _PALETTE for part in color))
        file = io.BytesIO()
        drawn.quantize(palette=palette, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        return file.getvalue()

    def _cut(self, said: str, font: FontProperties, width: int) -> str:
        def fits(text: str) -> bool:
            return bool(self._agg.get_renderer().get_text_width_height_descent(text, font, False)[0] <= width)

        if fits(said):
            return said
        length = bisect_left(range(len(said)), True, key=lambda kept: not fits(said[:kept].rstrip() + "…"))
        return said[: max(0, length - 1)].rstrip() + "…"


def _drawable(said: str, font: Path) -> str:
    """Replaces letters that the font lacks."""
    there = _letters(font)
    return "".join(letter if ord(letter) in there else "\N{REPLACEMENT CHARACTER}" for letter in said)


@cache
def _letters(font: Path) -> frozenset[int]:
    return frozenset(FT2Font(str(font)).get_charmap())


def _fraction(color: tuple[int, int, int]) -> tuple[float, float, float]:
    return color[0] / 255, color[1] / 255, color[2] / 255
