"""Which user the embedded server runs as: its cluster's owner, or for root a system user."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
from dataclasses import dataclass

from orchestration.errors import HeadraceError
from orchestration.local.place import Place
from orchestration.local.wheel import wheel

_SYSTEM_USER = "pgserver"


@dataclass(frozen=True)
class Account:
    """The user the server runs as; `switch` says whether that is a different user from ours."""

    uid: int
    gid: int
    switch: bool


def account_of(place: Place) -> Account:
    """The owner of the cluster; for root's first start the system user, created if it is missing."""
    owner = place.data.stat().st_uid if place.data.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner != os.geteuid():
            raise HeadraceError(
                f"The embedded PostgreSQL in {place.data} belongs to another user ({_name(owner)}): "
                "run as that user, or name another folder in HEADRACE_HOME."
            )
        return Account(os.geteuid(), os.getegid(), switch=False)
    if owner:
        return Account(owner, place.data.stat().st_gid, switch=True)
    entry = _system_user()
    return Account(entry.pw_uid, entry.pw_gid, switch=True)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _system_user() -> pwd.struct_passwd:
    try:
        wheel().ensure_user_exists(_SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError) as error:
        # Another home may have created the user at the same moment: what counts is whether it exists now.
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(_SYSTEM_USER)
        raise HeadraceError(
            f"PostgreSQL does not run as root, and the user {_SYSTEM_USER} could not be made ({error}): "
            f"run `useradd {_SYSTEM_USER}`, or run Headrace as an ordinary user."
        ) from None
    return pwd.getpwnam(_SYSTEM_USER)
