"""What the SQL files of this version say, in fingerprints: whether what is installed was made, and counted, by the same.

Each definition of a domain (staging, definitions, models) has a fingerprint of its own, kept in headrace.installation by domain. Only
those are compared that were there before: a new one says nothing of numbers that were counted without it.

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
    """One for all of them, by every letter."""
    digest = hashlib.sha256()
    for item in objects:
        digest.update(f"{item.domain}/{item.kind}/{item.name}\0{item.sql}\0".encode())
    return digest.hexdigest()


def key(domain: str) -> str:
    """Under which name headrace.installation has a domain's definitions."""
    return f"definition {domain}"


def of_definitions(objects: Iterable[SqlObject], domain: str) -> dict[str, str]:
    """A domain's definitions by name; comments and layout say nothing."""
    return {
        item.name: hashlib.sha256(_meaning(item.sql).encode()).hexdigest()[:16]
        for item in objects
        if item.domain == domain and item.kind in _DEFINING
    }


def _meaning(sql: str) -> str:
    return " ".join(re.sub(r"^\s*--.*$", "", sql, flags=re.MULTILINE).split())


class Definitions:
    """The definitions of the domains that are installed, as they were before anything was made anew.

    Before each domain had its own, an older version kept one fingerprint of all domains' files, comments included. It cannot be
    compared with anything: there the functions and views themselves are, as they are now and as they will be.
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
        """The domains that define something otherwise than before. To be asked when everything is made."""
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
