"""Which faults happen when: decided before the run, from its seed alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

SECONDS_BETWEEN_KILLS = 15.0


@dataclass(frozen=True)
class Fault:
    """At `at` seconds worker number `worker` gets kill -9 and restarts `pause` seconds later; or the server stops."""

    at: float
    kind: Literal["worker killed", "server restarted", "server killed"]
    worker: int = 0
    pause: float = 0.0


def plan(seconds: float, workers: int, seed: int) -> list[Fault]:
    """Kills any worker but number 0 at the times of a Poisson process; stops the server after one and two thirds of the time.

    Worker 0 is never killed, so that its memory can be compared over the whole run.
    """
    rng = random.Random(seed)
    faults = [
        Fault(seconds / 3 * rng.uniform(0.8, 1.2), "server restarted"),
        Fault(seconds * 2 / 3 * rng.uniform(0.9, 1.1), "server killed"),
    ]
    between = min(SECONDS_BETWEEN_KILLS, seconds / 4)
    at = rng.expovariate(1 / between)
    while workers > 1 and at < seconds:
        faults.append(Fault(at, "worker killed", rng.randrange(1, workers), rng.uniform(0.2, 3.0)))
        at += rng.expovariate(1 / between)
    return sorted(faults, key=lambda fault: fault.at)
