"""The typed environment: read once, by the code that starts a process, and handed on; never read at import."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from orchestration.errors import HeadraceError
from orchestration.text import clean, cut


class Settings(BaseSettings):
    """Settings from the environment. Field `x` is the variable `HEADRACE_X`, unless it has an alias."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_", env_ignore_empty=True, populate_by_name=True)

    database_url: SecretStr | None = Field(
        None, description="the application's PostgreSQL 15 to 18, postgresql://…; unset: the embedded server"
    )
    source_schema: str = Field("public", min_length=1, description="schema of the application's tables")
    home: Path = Field(Path("var"), description="folder of the embedded server and of Dagster's files")
    dagster_pg_url: SecretStr | None = Field(
        None,
        validation_alias="DAGSTER_PG_URL",
        description="Dagster's own storage; unset: database dagster on the embedded server",
    )
    domains: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        None, description="comma-separated domains to activate; unset: those whose source tables exist"
    )
    partitions_start: date | None = Field(
        None, description="first daily partition in Dagster (UTC day); unset: 30 days before today"
    )
    reply_window: timedelta = Field(
        timedelta(days=7),
        gt=timedelta(0),
        description="a reply counts this long after its message (ISO 8601, P7D)",
    )
    settle_window: timedelta = Field(
        timedelta(days=7),
        ge=timedelta(0),
        # 10,000 years: any timestamp can be added to it (settle_campaigns)
        le=timedelta(days=3_650_000),
        description="a completed campaign is frozen after so long (ISO 8601, P7D)",
    )
    change_retention: timedelta = Field(
        timedelta(days=7), gt=timedelta(0), description="how long the change log is kept (ISO 8601, P7D)"
    )
    stream_lost_after: timedelta = Field(
        timedelta(days=14),
        gt=timedelta(0),
        description="a stream idle this long no longer holds the log (P14D)",
    )

    ui_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="further names of Dagster's UI, comma-separated, as a browser's address has them: name or name:port",
    )

    @field_validator("ui_hosts", mode="before")
    @classmethod
    def _are_hosts(cls, value: object) -> object:
        return read_hosts(value) if isinstance(value, str) else value

    @field_validator("domains", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("database_url", "dagster_pg_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            scheme, separator, rest = value.get_secret_value().partition("://")
            if scheme.split("+")[0] not in ("postgresql", "postgres") or not separator:
                raise ValueError("must start with postgresql://")
            user, at, host = rest.partition("@")
            if "@" in re.split("[/?]", host)[0] or (at and "/" in user and "?" not in user):
                # A client would take part of the password for the host, and show it.
                raise ValueError("@ and / in a user name or password must be written %40 and %2F")
        return value


def with_driver(url: str, driver: str | None) -> str:
    """The same database's URL for another client: `postgresql+psycopg://` for SQLAlchemy, plain for libpq.

    Dagster needs psycopg2: with psycopg 3 its event storage fails on `NOTIFY … $1`.
    """
    rest = url.split("://", 1)[1]
    return f"postgresql+{driver}://{rest}" if driver else f"postgresql://{rest}"


def socket_url(socket_folder: Path, database: str, user: str = "postgres") -> str:
    """URL of a database behind a unix socket; the folder goes into the query string, where all three clients find it."""
    return f"postgresql://{user}@/{database}?host={quote(str(socket_folder), safe='')}"


def read_settings() -> Settings:
    """Reads the environment.

    Raises:
        HeadraceError: a variable has the wrong type; the message names the variable, never its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_input=False, include_url=False):
            name = str(problem["loc"][0])
            variable = name if name.isupper() else f"HEADRACE_{name.upper()}"
            lines.append(f"{variable}: {problem['msg'].removeprefix('Value error, ')}")
        raise HeadraceError("settings: " + "; ".join(lines)) from None


def read_hosts(text: str) -> tuple[str, ...]:
    """Host names from a comma-separated list, as they appear in a browser's address.

    Raises:
        ValueError: an entry is not a host name but an address with a scheme or a path.
    """
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in names:
        if "/" in name or "*" in name or any(not letter.isprintable() or letter == " " for letter in name):
            raise ValueError(
                f"“{cut(clean(name), 100)}” is no name of a host: write name or name:port, as a browser's address has it"
            )
    return names
