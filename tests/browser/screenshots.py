"""Takes the pictures in docs/pictures again: make pictures.

They show a real `headrace up` with two full-size campaigns, in the browser that the test uses. Look at each picture before
you commit it.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, FloatRect, Locator, expect
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from orchestration.campaign_stats.summaries import TEMPLATE_STATS
from tests.browser.live import Live, browser, find_chromium, headrace_up
from tests.browser.ui import Ui
from tests.commands import subprocess_environment

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "pictures"
COLUMNS = 100


def take() -> None:
    executable = find_chromium()
    if executable is None:
        sys.exit("There is no Chromium on the PATH. Debian, Ubuntu: apt install chromium")
    FOLDER.mkdir(exist_ok=True)
    with headrace_up(scale=1) as live, browser(executable) as opened:
        ((campaign, day),) = live.rows(
            "SELECT id::text, (created_at AT TIME ZONE 'UTC')::date::text FROM campaigns ORDER BY created_at LIMIT 1"
        )
        ui = Ui(opened, live.ui.link)
        ui.open_graph()
        ui.materialize_all(day)
        if (outcome := ui.wait_for_run()) != "Success":
            sys.exit(f"The run ended with {outcome}:\n{live.log.read_text()[-3000:]}")
        graph(ui)
        ui.page.set_viewport_size({"width": 1680, "height": 1000})
        partition(ui, day)
        ui.page.set_viewport_size({"width": 1200, "height": 800})
        picture(ui)
        checks(ui)
        terminal(opened, live, campaign)


def graph(ui: Ui) -> None:
    ui.page.get_by_text("Hide navigation").click()
    ui.page.set_viewport_size({"width": 1440, "height": 1150})
    ui.open_graph()
    expect(ui.graph_nodes().get_by_text("Loading")).to_have_count(0)
    save("graph", ui.page.screenshot(clip=around(ui.graph_nodes())))


def partition(ui: Ui, day: str) -> None:
    ui.open_partition(TEMPLATE_STATS, day)
    rows = ui.page.get_by_role("row").filter(
        has=ui.page.get_by_text(re.compile("^(funnel|per_template|funnel_picture)$"))
    )
    rows.last.scroll_into_view_if_needed()
    save("partition", ui.page.screenshot(clip=around(rows)))


def picture(ui: Ui) -> None:
    ui.open_picture()
    save("picture", ui.page.screenshot(clip=around(ui.page.get_by_role("dialog"))))


def checks(ui: Ui) -> None:
    ui.open_checks(TEMPLATE_STATS)
    expect(ui.page.get_by_text("Passed", exact=True)).to_be_visible()
    save("checks", ui.page.screenshot())


def around(shown: Locator, margin: int = 12) -> FloatRect:
    """The rectangle around all of these."""
    boxes = [box for box in (found.bounding_box() for found in shown.all()) if box]
    left, top = (min(box[side] for box in boxes) - margin for side in ("x", "y"))
    return {
        "x": left,
        "y": top,
        "width": max(box["x"] + box["width"] for box in boxes) + margin - left,
        "height": max(box["y"] + box["height"] for box in boxes) + margin - top,
    }


def terminal(opened: Browser, live: Live, campaign: str) -> None:
    """The output of the command, drawn by the browser."""
    printed = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "stats", campaign],
        env=subprocess_environment(
            HEADRACE_DATABASE_URL=live.database, FORCE_COLOR="1", COLUMNS=str(COLUMNS), TERM="xterm-256color"
        ),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(f"$ headrace stats {campaign}\n{printed}"))
    page = opened.new_page()
    page.set_content(console.export_html(theme=MONOKAI, inline_styles=True))
    page.add_style_tag(content="body { margin: 0 } pre { margin: 0; padding: 16px; width: max-content }")
    save("terminal", page.locator("pre").screenshot())


def save(name: str, png: bytes) -> None:
    """Saves it with few colours, which are enough for a screen and take a quarter of the bytes."""
    file = FOLDER / f"{name}.png"
    with Image.open(io.BytesIO(png)) as shot:
        shot.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file.relative_to(FOLDER.parents[1])}: {file.stat().st_size:,} bytes")  # noqa: T201


if __name__ == "__main__":
    take()
