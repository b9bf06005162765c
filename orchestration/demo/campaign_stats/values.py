"""Values of the example's rows: random times and ids, and how COPY writes them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.object_]

SECOND = 1_000_000  # times are microseconds since 1970, UTC
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
NULL = "\\N"


def some(rng: np.random.Generator, count: int, share: float) -> Bools:
    """A mask that is true for about this share of `count`."""
    return rng.random(count) < share


def exponential(rng: np.random.Generator, count: int, mean: float) -> Ints:
    """`count` durations in microseconds, with that mean."""
    return rng.exponential(mean, size=count).astype(np.int64)


def lognormal(rng: np.random.Generator, count: int, median: float, sigma: float) -> Ints:
    """`count` durations in microseconds, with that median."""
    return rng.lognormal(np.log(median), sigma, size=count).astype(np.int64)


def phones(person: Ints) -> Texts:
    """Numbers under +999, a country code that nobody has."""
    return np.array([f"+999{number:09d}" for number in person.tolist()], dtype=object)


def wamids(rng: np.random.Generator, count: int) -> Texts:
    """Random message ids in the provider's format."""
    text = rng.bytes(16 * count).hex().upper()
    return np.array([f"wamid.{text[at : at + 32]}" for at in range(0, 32 * count, 32)], dtype=object)


def uuids(rng: np.random.Generator, count: int) -> list[str]:
    """Random ids of version 4."""
    raw = np.frombuffer(rng.bytes(16 * count), dtype=np.uint8).reshape(count, 16).copy()
    raw[:, 6] = raw[:, 6] & 0x0F | 0x40
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    text = raw.tobytes().hex()
    return [text[at : at + 32] for at in range(0, 32 * count, 32)]


def stamps(time: Ints) -> list[str]:
    """Microseconds since 1970 as ISO 8601 in UTC."""
    return [f"{stamp}Z" for stamp in np.datetime_as_string(time.astype("datetime64[us]"), unit="ms").tolist()]
