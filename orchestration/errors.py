"""The one error that is shown to users as a sentence, without a traceback."""

from __future__ import annotations


class HeadraceError(Exception):
    """What is wrong and what to do about it, in words for the user."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
