"""One campaign computed from its source rows: our live view and rebuild, the seed's function and materialized view."""

from __future__ import annotations

import statistics

from benchmarks.databases import Databases
from benchmarks.report import Section
from benchmarks.timing import times_in_turn
from orchestration.demo.campaign_stats.load import campaign_id


def run(databases: Databases) -> list[Section]:
    campaign = campaign_id(1, 0)
    with databases.database(1) as database:
        database.run_file("seeds/function.sql", "seed")
        database.run_file("seeds/materialized_view.sql", "seed")
        connection = database.connection
        times = times_in_turn(
            9,
            {
                "live": lambda: connection.execute(
                    "SELECT * FROM headrace.campaign_template_stats_live WHERE campaign_id = %s", [campaign]
                ).fetchall(),
                "rebuild": lambda: connection.execute(
                    "SELECT headrace.rebuild_campaign_stats(ARRAY[%s])", [campaign]
                ),
                "function": lambda: connection.execute(
                    "SELECT * FROM seed.get_campaign_template_stats(%s)", [campaign]
                ).fetchall(),
                "view": lambda: connection.execute("REFRESH MATERIALIZED VIEW seed.campaign_template_stats"),
            },
        )
        database.assert_right()
    median = {name: statistics.median(figures) for name, figures in times.items()}

    def row(what: str, ours: str, other: str, name: str, goal: str) -> tuple[str, ...]:
        return (
            what,
            f"{median[ours]:.0f} ms",
            f"{median[other]:.0f} ms, the seed's {name}",
            f"{median[ours] / median[other]:.2f}",
            goal,
        )

    return [
        Section(
            "Recompute of one campaign from its source rows",
            [
                row("live view", "live", "function", "function", "≤ 0.6"),
                row("", "live", "view", "materialized view, REFRESH", ""),
                row(
                    "rebuild: computed and stored (nothing had changed)",
                    "rebuild",
                    "function",
                    "function",
                    "reported",
                ),
                row("", "rebuild", "view", "materialized view, REFRESH", ""),
            ],
        )
    ]
