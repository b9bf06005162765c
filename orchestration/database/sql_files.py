"""The SQL files: where they are, how they are rendered, in which order they are applied."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import jinja2
import yaml

from orchestration.database.statements import FOLDER

SQL_ROOT: Traversable = files("dbt_like_sql")
# Folders whose files create nothing permanent.
RUN_BY_PYTHON = ("rights", "migrations", FOLDER)
# The parser in C, where there is one: it takes a twentieth of the time.
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ENVIRONMENT = jinja2.Environment(
    undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True
)


def migration_folders(domains: Iterable[str]) -> list[Path]:
    """Where the migrations are: the folder of the first versions, and each domain's own. Some of them may not exist."""
    root = Path(str(SQL_ROOT))
    return [root / "migrations" / "versions", *(root / domain / "migrations" for domain in domains)]


def migration_sql(name: str, domain: str | None = None) -> list[str]:
    """The statements of a migration's SQL file, in order; from the domain's own folder if one is named."""
    (folder,) = migration_folders([domain])[1:] if domain else migration_folders([])
    return split_statements((folder / f"{name}.sql").read_text(encoding="utf-8"))


def split_statements(script: str) -> list[str]:
    """Splits at semicolons that end a line outside dollar quotes; all scripts of this project end statements that way."""
    statements: list[str] = []
    lines: list[str] = []
    quote: str | None = None
    for line in script.splitlines():
        lines.append(line)
        for tag in re.findall(r"\$[a-z_]*\$", line):
            if quote is None:
                quote = tag
            elif quote == tag:
                quote = None
        if quote is None and line.rstrip().endswith(";") and not line.lstrip().startswith("--"):
            statements.append("\n".join(lines).strip())
            lines = []
    rest = "\n".join(lines).strip()
    if any(line.strip() and not line.lstrip().startswith("--") for line in rest.splitlines()):
        statements.append(rest)
    return statements


@dataclass(frozen=True)
class SqlObject:
    """One rendered file. kind: its folder (staging, models, functions, capture…). settings: names of the settings written into it."""

    name: str
    domain: str
    kind: str
    sql: str
    settings: frozenset[str] = frozenset()


def quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def quoted_literal(text: str) -> str:
    """A string literal for a statement that somebody will type."""
    return "'" + text.replace("'", "''") + "'"


def load_objects(
    domain: str, source_schema: str, types: Mapping[str, Mapping[str, str]], seconds: Mapping[str, str]
) -> list[SqlObject]:
    """The SQL files of one domain, rendered for a database.

    Args:
        types: per source table, its existing columns and their SQL types.
        seconds: each duration setting in seconds, by name; a file inserts it with {{ seconds('name') }}.
    """
    used: set[str] = set()

    def seconds_of(setting: str) -> str:
        used.add(setting)
        return seconds[setting]

    def optional(table: str, column: str, present: str, absent: str) -> str:
        return present if column in types.get(table, {}) else absent

    def regclass(table: str) -> str:
        return "'" + f"{quoted(source_schema)}.{quoted(table)}".replace("'", "''") + "'"

    context = {
        "source": quoted(source_schema),
        "optional": optional,
        "regclass": regclass,
        "type": lambda table, column: types[table].get(column, "text"),
        "domain": domain,
        "seconds": seconds_of,
    }
    objects = []
    for path in _sql_files(SQL_ROOT.joinpath(domain)):
        kind = path.parent.name if path.parent.name != domain else "domain"
        if kind in RUN_BY_PYTHON:
            continue
        used.clear()
        rendered = _template(path).render(context)
        objects.append(SqlObject(path.stem, domain, kind, rendered, frozenset(used)))
    return objects


@cache
def _template(path: Path) -> jinja2.Template:
    """Compiled once: that takes as long as everything else that migrate and doctor do with a file."""
    return _ENVIRONMENT.from_string(path.read_text(encoding="utf-8"))


def sql_file_names(domain: str, kind: str) -> list[str]:
    """The names (without extension) of the SQL files in one folder of a domain, sorted; empty if the folder does not exist.

    Args:
        kind: the folder; "": all folders whose files create something.
    """
    found = _sql_files(SQL_ROOT.joinpath(domain, kind))
    return [path.stem for path in found if kind or path.parent.name not in RUN_BY_PYTHON]


def _sql_files(folder: Traversable) -> list[Path]:
    return sorted(Path(str(folder)).rglob("*.sql"))


def in_dependency_order(objects: Sequence[SqlObject]) -> list[SqlObject]:
    """Sorts objects so that each follows those it mentions as `headrace.<name>`; otherwise by name."""
    by_name = {item.name: item for item in objects}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name in sorted(by_name):
        code = re.sub(r"^\s*--.*$", "", by_name[name].sql, flags=re.MULTILINE)
        mentioned = set(re.findall(r"headrace\.([a-z_]+)", code)) & by_name.keys() - {name}
        sorter.add(name, *sorted(mentioned))
    return [by_name[name] for name in sorter.static_order()]
