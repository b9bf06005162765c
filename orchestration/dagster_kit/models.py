"""What a domain says about its tables (dbt_like_sql/<domain>/models.yml): columns, their types and their meaning.

Here: reading it. Not here: how Dagster shows it (assets.py), and what the application's tables must have (sources.yml).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestration.database.sql_files import SQL_ROOT, YAML_LOADER
from orchestration.errors import HeadraceError


class Column(BaseModel):
    """type: as PostgreSQL names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = Field(min_length=1)
    description: str = Field(min_length=1)
    nullable: bool = False


class Models(BaseModel):
    """tables: those in schema headrace, by name, with their columns in order. sources: the application's tables, described."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tables: Mapping[str, Mapping[str, Column]]
    sources: Mapping[str, str] = {}


@cache
def read_models(domain: str) -> Models:
    """The models of a domain.

    Raises:
        HeadraceError: the file is not valid; the message names the file, and the place in it.
    """
    return parse_models(
        SQL_ROOT.joinpath(domain, "models.yml").read_text(encoding="utf-8"),
        f"dbt_like_sql/{domain}/models.yml",
    )


def parse_models(text: str, file: str) -> Models:
    """Like `read_models`, from text. file: its name in errors."""
    try:
        return Models.model_validate(yaml.load(text, Loader=YAML_LOADER))
    except yaml.YAMLError as error:
        raise HeadraceError(f"{file}: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise HeadraceError(
            f"{file}: {'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
        ) from None
