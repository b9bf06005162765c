"""`make soak`: what it breaks, what it reports as wrong, and that it leaves nothing behind. The long run is the program itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.soak.faults import plan
from benchmarks.soak.samples import BOUNDED_TABLES, Sample, table, take
from benchmarks.soak.verdict import Findings, find, judge, memory
from orchestration.local.children import MARK
from tests.campaign_stats.oracle import drain
from tests.rows import a_history

ROOT = Path(__file__).parents[2]
GOOD = Findings(
    rows=2,
    wrong={"the stored counters": [], "the documents": [], "the live view": []},
    messages=40,
    outcomes=40,
    dead_letters=0,
    default_partition=0,
    pending=0,
    changes=100,
    change_log=30_000,
    sizes={"campaign": 90_000, "message_outcome": 9_000_000},
    compact={"campaign": 10_000, "message_outcome": 8_000_000},
    memory=(70_000_000, 72_000_000),
)


def seen(at: float, worker_memory: int) -> Sample:
    return Sample(at, 0, 0.0, 0, 0, dict.fromkeys(BOUNDED_TABLES, 0), {}, worker_memory)


@given(seconds=st.floats(5, 2000), workers=st.integers(1, 5), seed=st.integers(0, 10_000))
def test_the_server_goes_twice_and_one_worker_is_left_alone(seconds: float, workers: int, seed: int) -> None:
    faults = plan(seconds, workers, seed)

    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    assert all(0 < fault.at < seconds for fault in faults)
    assert [fault.kind for fault in faults if fault.kind != "worker killed"] == [
        "server restarted",
        "server killed",
    ]
    assert {fault.worker for fault in faults if fault.kind == "worker killed"} <= set(range(1, workers))
    assert faults == plan(seconds, workers, seed)


def test_in_ten_minutes_dozens_of_workers_are_killed() -> None:
    assert 20 <= sum(fault.kind == "worker killed" for fault in plan(600, 3, 1)) <= 60


def test_nothing_is_said_of_a_run_that_went_well() -> None:
    assert judge(GOOD) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rows": 0}, "nothing to count"),
        (
            {"wrong": {"the documents": ["campaign a: read 1; recomputed: read 2", "b"]}},
            "2 of the documents differ",
        ),
        ({"outcomes": 39}, "39 outcomes for 40 messages"),
        ({"dead_letters": 3}, "3 dead letters"),
        ({"default_partition": 5}, "DEFAULT partition of the change log holds 5 rows"),
        ({"pending": 1}, "1 campaigns still wait"),
        ({"change_log": 4_041_000}, "4.0 MB for 100 changes: more than 400 bytes each"),
        ({"sizes": {"message_outcome": 33_000_000}}, "message_outcome has 33.0 MB, written anew 8.0"),
        ({"memory": (70_000_000, 92_000_000)}, "70 MB after its warm-up and 92 MB at the end"),
    ],
)
def test_each_thing_that_is_wrong_is_said_in_a_sentence(wrong: dict[str, Any], said: str) -> None:
    (sentence,) = judge(replace(GOOD, **wrong))

    assert said in sentence


def test_memory_is_compared_from_the_second_tenth_of_the_run_on() -> None:
    samples = [seen(5, 10), seen(15, 50), seen(19, 40), seen(60, 90), seen(100, 60)]

    assert memory(samples) == (50, 60)
    assert memory(samples[-1:]) == (60, 60)


def test_samples_are_thinned_to_a_table_that_ends_with_the_last() -> None:
    lines = table([seen(float(at), at * 1_000_000) for at in range(1, 121)])

    assert 14 <= len(lines) <= 16
    assert lines[-1].startswith("| 120 |")
    assert len({line.count("|") for line in lines}) == 1


def test_a_database_that_is_right_passes_and_one_wrong_number_does_not(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        a_history(connection)
        drain(connection)
        samples = [take(connection, 5.0, os.getpid())]
        assert samples[0].changes_applied > 50
        assert samples[0].tables.keys() == set(BOUNDED_TABLES)

        right = find(connection, samples)
        connection.execute(
            "UPDATE headrace.campaign_template_stats SET replied = replied - 1 WHERE ctid = ("
            "SELECT ctid FROM headrace.campaign_template_stats WHERE replied > 0 ORDER BY campaign_id, template_name LIMIT 1)"
        )
        connection.execute("DELETE FROM headrace.campaign_computed_stats")
        wrong = judge(find(connection, samples))

    assert judge(right) == []
    assert right.messages == right.outcomes == 40
    assert [sentence.split(",")[0] for sentence in wrong] == [
        "1 of the stored counters differ from the recompute",
        "4 of the documents differ from the recompute",
    ]


def left_over(home: str) -> list[str]:
    """Processes of a run that still exist: its children, by their mark, and its server, by its folder."""
    found = []
    for process in psutil.process_iter():
        try:
            named = process.environ().get(MARK) == home or any(home in part for part in process.cmdline())
            if named and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {process.name()}")
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_short_run_passes_and_leaves_nothing_behind_even_if_it_is_interrupted(
    tmp_path: Path, interrupted: bool
) -> None:
    arguments = {"--seconds": "8", "--rate": "100", "--workers": "2", "--campaigns": "1", "--scale": "0.02"}
    elsewhere = {"HEADRACE_DATABASE_URL": "postgresql://127.0.0.1:1/no", "HEADRACE_SOURCE_SCHEMA": "nowhere"}
    output = tmp_path / "output"
    with output.open("w") as sink:
        soak = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.soak", *(part for pair in arguments.items() for part in pair)],
            env=os.environ | elsewhere,
            cwd=ROOT,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        if interrupted:
            deadline = time.monotonic() + 60
            while "events a second" not in output.read_text():
                assert time.monotonic() < deadline, output.read_text()
                time.sleep(0.1)
            time.sleep(2)
            soak.send_signal(signal.SIGINT)
        code = soak.wait(120)
    finally:
        soak.kill()
        soak.wait()
    said = output.read_text()
    home = re.search(r"^Everything is under (/tmp/\S+),", said, re.MULTILINE)
    assert home is not None, said
    assert not Path(home[1]).exists()
    assert left_over(home[1]) == []
    if interrupted:
        assert (code, "everything was taken away" in said) == (130, True), said
    else:
        assert (code, "All is well." in said) == (0, True), said
        assert "0 differences in the stored counters" in said
