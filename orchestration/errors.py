"""The one error that users see as a sentence, without a traceback."""

from __future__ import annotations

from dataclasses import dataclass


class HeadraceError(Exception):
    """What is wrong and what to do about it, in words for the user."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Problem:
    """Something wrong: what it is, in a sentence, and the statement or command that fixes it."""

    what: str
    remedy: str
