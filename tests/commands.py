"""The command `headrace` in tests: running it in this process, and recognising a refusal."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result

from orchestration.cli import main

REPOSITORY = Path(__file__).resolve().parents[1]
Headrace = Callable[..., Result]


def run(*arguments: str, **environment: str | None) -> Result:
    """Runs the command in this process, with this environment and no other variables of ours."""
    others = {name: None for name in os.environ if name.startswith(("HEADRACE_", "DAGSTER_"))}
    return CliRunner(env={**others, "COLUMNS": "200", **environment}).invoke(main, list(arguments))


def a_sentence(result: Result, exit_code: int | None = None) -> str:
    """The message of a command that was refused: one line on stderr, no traceback."""
    assert result.exit_code != 0
    assert exit_code in (None, result.exit_code), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.stdout == ""
    assert result.stderr.startswith("headrace: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.strip()


def subprocess_environment(**environment: str) -> dict[str, str]:
    """For a separate Python process that runs this clone's code, with these variables of ours and no others."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "DAGSTER_"))
    }
    return {**kept, "PYTHONPATH": str(REPOSITORY), **environment}
