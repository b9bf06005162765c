"""Statements that Python runs, kept as SQL files next to the SQL functions of the same room.

Here: reading them. Not here: what `migrate` does with the other files (sql_files.py).
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

FOLDER = "statements"
# A parameter, not a cast or a slice.
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)\b")


@cache
def statement(room: str, name: str) -> str:
    """The text of dbt_like_sql/<room>/statements/<name>.sql, with parameters as the driver wants them: %(name)s.

    Always run it with a mapping of parameters, even an empty one: without a mapping the driver reads %% as two signs.
    """
    text = files("dbt_like_sql").joinpath(room, FOLDER, f"{name}.sql").read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return _PARAMETER.sub(r"%(\1)s", code.replace("%", "%%")).strip()
