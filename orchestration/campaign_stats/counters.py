"""A set of counters, and how counts and rates are said in tables, pictures and terminals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Each is at most the one before. The other two stand apart: what failed left the funnel, and replies come to what was
# never seen as read.
STEPS = ("total", "sent", "delivered", "read")
ASIDE = ("replied", "failed")
# What the rate of a counter is a share of.
SHARE_OF: Mapping[str, str] = {
    "sent": "total",
    "delivered": "sent",
    "read": "delivered",
    "replied": "delivered",
    "failed": "total",
}
_LONGEST_NUMBER = 10**9


@dataclass(frozen=True)
class Counters:
    """Messages, as design 3.1 defines them."""

    total: int = 0
    sent: int = 0
    delivered: int = 0
    read: int = 0
    replied: int = 0
    failed: int = 0
    failed_queue: int = 0

    def of(self, counter: str) -> int:
        """The counter of that name."""
        return int(getattr(self, counter))

    def percent(self, counter: str) -> float | None:
        """A counter's share of the one it is a part of, in percent; None where that one is 0, and for the total."""
        whole = self.of(SHARE_OF[counter]) if counter in SHARE_OF else 0
        return 100 * self.of(counter) / whole if whole else None


def count_text(value: int) -> str:
    """1,234; from a billion on 1.234e+09, for a column has its width."""
    return f"{value:,}" if abs(value) < _LONGEST_NUMBER else f"{value:.3e}"


def percent_text(value: float | None) -> str:
    """97.2 %; nothing for None."""
    return "" if value is None else f"{value:.1f} %"


def bar_text(value: int, scale: int, letters: int, *, blocks: bool = True) -> str:
    """A bar of text, `letters` long at `scale`; something for all that is not 0.

    Args:
        blocks: with eighths of a letter; or else with # only, for where those letters are not known.
    """
    if value <= 0:
        return ""
    if not blocks:
        return "#" * max(1, round(letters * value / scale))
    whole, eighths = divmod(max(1, round(8 * letters * value / scale)), 8)
    return "█" * whole + " ▏▎▍▌▋▊▉"[eighths].strip()
