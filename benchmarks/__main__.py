"""`make bench`: measures on a fresh embedded server and writes benchmarks/README.md. Takes minutes and leaves nothing behind.

Alternatives are measured in the same run, alternating with ours, so that a noisy machine disturbs both.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from benchmarks.databases import FULL_LOGS, Databases
from benchmarks.report import Section, disk, machine
from orchestration.local.server import ensure_server, stop_server

# Modules with run(databases) -> list[Section], in the report's order.
PARTS = (
    "recompute",
    "reads",
    "lists",
    "reader",
    "storage",
    "folds",
    "capture",
    "writers",
    "wal",
    "loads",
    "scaling",
    "rebuilds",
    "workers",
    "existing_data",
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only these: {', '.join(PARTS)}")
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="share of a campaign's rows; below 1 it shows that it runs, no more",
    )
    found = parser.parse_args()
    if unknown := set(found.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    return found


def main() -> None:
    chosen = arguments()
    home = Path(tempfile.mkdtemp(prefix="hr-bench-", dir="/tmp"))
    home.chmod(0o755)
    sections: list[Section] = []
    began = time.monotonic()
    try:
        databases = Databases(ensure_server(home), chosen.scale)
        with psycopg.connect(databases.server.url("postgres")) as connection:
            where = f"{machine(connection.info.server_version)}; {disk(home)}"
        print(where, flush=True)
        for part in chosen.parts or PARTS:
            part_began = time.monotonic()
            for section in importlib.import_module(f"benchmarks.{part}").run(databases):
                sections.append(section)
                print(f"\n{section.markdown()}", flush=True)
            print(f"\n({part}: {time.monotonic() - part_began:.0f} s)", flush=True)
    finally:
        stop_server(home)
        shutil.rmtree(home, ignore_errors=True)
    if chosen.parts or chosen.scale != 1:
        print("\nOnly a full run writes benchmarks/README.md.")
        return
    head = (
        "# Benchmarks\n\n"
        "Written by `make bench` (`python -m benchmarks`), which makes a server of its own and removes it again; "
        f"`make bench ARGS='capture writers'` runs parts and writes nothing.\n"
        f"A campaign has the seed's size: 50,857 queue rows, {FULL_LOGS:,} logs, 49,694 messages. "
        "A ratio is ours divided by the other's, taken in the same run, in turn.\n"
        "Machines are shared and noisy: trust the ratios more than the absolute times.\n\n"
        f"{datetime.now(UTC):%Y-%m-%d}: {where}. The run took {(time.monotonic() - began) / 60:.0f} minutes.\n"
    )
    report = "\n\n".join([head.rstrip(), *(section.markdown() for section in sections)]) + "\n"
    Path(__file__).with_name("README.md").write_text(report, encoding="utf-8")


if __name__ == "__main__":
    main()
