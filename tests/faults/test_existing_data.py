"""Headrace is installed in a full and busy database: the small version of what benchmarks/existing_data.py measures."""

from __future__ import annotations

from datetime import UTC, datetime

from benchmarks.existing_data import take_over
from orchestration.demo.campaign_stats.load import load

# The longest that a statement may wait for a lock; generous, for a busy machine. A lock held to the end would take minutes.
LONGEST_WAIT_SECONDS = 5.0


def test_existing_campaigns_are_rebuilt_under_traffic_and_a_killed_worker_is_resumed(
    app_database: str,
) -> None:
    load(app_database, "public", campaigns=16, seed=5, now=datetime.now(UTC), scale=0.02)
    said: list[str] = []
    seen = take_over(app_database, rate=50, quiet_seconds=0.5, say=said.append)
    assert seen.differences == 0
    # The kill came during the rebuilds, and those done before it were not repeated.
    assert 0 < seen.rebuilt_before_kill < seen.campaigns
    assert seen.kept == seen.rebuilt_before_kill
    assert [phase.name for phase in seen.phases] == ["before", "migrate", "rebuild", "after"]
    assert all(phase.statements for phase in seen.phases)
    assert max((wait.seconds for wait in seen.waits), default=0.0) < LONGEST_WAIT_SECONDS
    # A campaign that waits for its rebuild is served live, and what is left is visible.
    assert "live" in seen.sources
    assert "to rebuild; until its turn" in seen.doctor
    assert "to_rebuild" in seen.streams
    left = [line for line in seen.worker_log.splitlines() if '"rebuilding"' in line]
    assert left
    assert '"left": {"campaign_stats": ' in left[0]
    assert '"rebuilt"' in seen.worker_log
