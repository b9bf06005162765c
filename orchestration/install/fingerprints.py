"""Fingerprints of this version's SQL files: whether the same files made what is installed, and counted its numbers.

Each definition of a domain (staging, definitions, models) has its own fingerprint, kept in headrace.installation by domain.
Only definitions that existed before are compared: a new one does not affect numbers that were counted without it.

Not here: what follows from a difference (migrate.py, stream_requests.py).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping

import sqlalchemy as sa

from orchestration.database.sql_files import SqlObject
from orchestration.database.statements import statement

_DEFINING = ("staging", "definitions", "models")


def of_objects(objects: Iterable[SqlObject]) -> str:
    """One fingerprint of all of them, over every character."""
    digest = hashlib.sha256()
    for item in objects:
        digest.update(f"{item.domain}/{item.kind}/{item.name}\0{item.sql}\0".encode())
    return digest.hexdigest()


def key(domain: str) -> str:
    """The name under which headrace.installation keeps a domain's definitions."""
    return f"definition {domain}"


def of_definitions(objects: Iterable[SqlObject], domain: str) -> dict[str, str]:
    """The fingerprints of a domain's definitions, by name; comments and layout do not count."""
    return {
        item.name: hashlib.sha256(_meaning(item.sql).encode()).hexdigest()[:16]
        for item in objects
        if item.domain == domain and item.kind in _DEFINING
    }


def _meaning(sql: str) -> str:
    return " ".join(re.sub(r"^\s*--.*$", "", sql, flags=re.MULTILINE).split())


class Definitions:
    """The definitions of the installed domains, as they were before migrate replaced anything.

    An older version kept a single fingerprint of all domains' files, comments included. Nothing can be compared with it: in that
    case the functions and views themselves are compared, as they were and as they are made.
    """

    def __init__(
        self,
        connection: sa.Connection,
        before: Mapping[str, str],
        objects: Collection[SqlObject],
        domains: Iterable[str],
    ) -> None:
        self._connection = connection
        self._now = {domain: of_definitions(objects, domain) for domain in domains}
        self._noted = {
            domain: json.loads(before[key(domain)]) for domain in self._now if key(domain) in before
        }
        self._found = {} if self._now.keys() == self._noted.keys() else self._made()

    def _made(self) -> dict[str, str]:
        names = [name for definitions in self._now.values() for name in definitions]
        rows = self._connection.exec_driver_sql(statement("install", "made_objects"), {"names": names})
        return {name: _meaning(made) for name, made in rows}

    def changed(self) -> set[str]:
        """The domains with a definition that differs from before. Ask once everything has been made."""
        made = self._made() if self._found else {}
        return {
            domain
            for domain, now in self._now.items()
            if (
                _differ(self._noted[domain], now)
                if domain in self._noted
                else _differ({n: text for n, text in self._found.items() if n in now}, made)
            )
        }


def _differ(before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    return any(before[name] != now[name] for name in before.keys() & now.keys())
