"""Dagster's UI as a person uses it: pages, buttons, and what is on them."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import quote, urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, ViewportSize, expect

from orchestration.campaign_stats.summaries import ASSETS

SENSOR = "stream_backlog"
GROUPS = ("app", "campaign_stats")
SOURCES = ("campaigns", "send_queue", "message_status_logs", "messages", "campaign_contacts")
# The machine may be busy; no step that succeeds takes this long.
STEP_SECONDS = 60
RUN_SECONDS = 180
# In smaller windows the graph abbreviates names.
_WINDOW: ViewportSize = {"width": 1440, "height": 900}


class Ui:
    """One browser window with the UI.

    Attributes:
        problems: errors in the console and in scripts, and requests that left this machine.
    """

    def __init__(self, browser: Browser, link: str) -> None:
        """Opens the link that `headrace up` printed; from then on the browser has the cookie."""
        self.url = link.partition("/?")[0]
        self.problems: list[str] = []
        self.page: Page = browser.new_page(viewport=_WINDOW)
        self.page.set_default_timeout(STEP_SECONDS * 1000)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("request", self._on_request)
        expect.set_options(timeout=STEP_SECONDS * 1000)
        self.page.goto(link)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.problems.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.hostname != "127.0.0.1":
            self.problems.append(f"request: {request.url}")

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def open_graph(self) -> None:
        """Opens the drawn graph of all assets and their sources."""
        groups = ",".join(f"global@global:{group}" for group in GROUPS)
        self.open(f"/asset-groups?expanded={quote(groups, safe='')}")
        for asset in (*SOURCES, *ASSETS):
            expect(self.graph_nodes().get_by_text(asset, exact=True)).to_be_visible()

    def graph_nodes(self) -> Locator:
        return self.page.locator("svg foreignObject")

    def materialize_all(self, day: str) -> None:
        """Clicks through the open page's dialog, for one partition; leaves the run's page open."""
        self.page.get_by_role("button", name="Materialize all").click()
        dialog = self.page.get_by_role("dialog")
        partitions = dialog.locator("input[type=text]").first
        partitions.fill(day)
        partitions.press("Enter")
        dialog.get_by_role("button", name="Launch 1 run").click()
        # It is in a message that slides in and goes away after some seconds: on a busy machine it never stands still.
        self.page.get_by_text("View", exact=True).dispatch_event("click")
        self.page.wait_for_url("**/runs/*")

    def wait_for_run(self) -> str:
        """The outcome of the run whose page is open: Success, or what went wrong."""
        outcome = self.page.get_by_text(re.compile("^(Success|Failure|Canceled)$")).first
        outcome.wait_for(timeout=RUN_SECONDS * 1000)
        return outcome.inner_text()

    def open_partition(self, asset: str, day: str) -> None:
        self.open(f"/assets/{asset}?view=partitions&partition={day}")
        expect(self.page.get_by_text("dagster/partition_row_count")).to_be_visible()

    def metadata(self) -> dict[str, str]:
        """The metadata on the open page, as text by name."""
        table = self.page.locator("table").filter(has_text="dagster/partition_row_count")
        found = {}
        for row in table.locator("> tbody > tr").all():
            name, value = (row.locator("> td").nth(place).inner_text() for place in (0, 1))
            found[name.strip()] = value.strip()
        return found

    def open_picture(self) -> Locator:
        """Opens the funnel of the partition whose page is open; returns the image in its dialog, at its natural size."""
        row = self.page.get_by_role("row").filter(has=self.page.get_by_text("funnel_picture", exact=True))
        row.get_by_text("[Show Markdown]").click()
        picture = self.page.get_by_role("dialog").locator("img")
        # The dialog is still growing for a moment.
        own_size = "image => image.complete && image.getBoundingClientRect().width === image.naturalWidth"
        self.page.wait_for_function(own_size, arg=picture.element_handle())
        return picture

    def open_checks(self, asset: str) -> None:
        self.open(f"/assets/{asset}?view=checks")
        expect(self.page.get_by_role("button", name="Execute all")).to_be_visible()

    def open_sensor(self) -> None:
        self.open("/automation")
        self.page.get_by_text(SENSOR, exact=True).click()
        expect(self.latest_tick()).to_contain_text("requested")

    def latest_tick(self) -> Locator:
        """The line with the time and outcome of the sensor's last tick."""
        return self.page.get_by_role("row").filter(has=self.page.get_by_text("Latest tick", exact=True))

    def close(self) -> None:
        with suppress(Exception):
            self.page.close()
