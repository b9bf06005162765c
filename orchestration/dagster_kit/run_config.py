"""Types for fields of run configs: what is written there is taken as it is, never looked up in the environment.

Dagster makes of `str`, `int` and `bool` in a `dg.Config` types that also take {"env": "NAME"}, read that variable of the
process that has the code, and quote its value where it does not do: whoever may launch a run could read every password that
the environment has. Every config of ours is written with these types instead; a test looks
through all jobs. `float` has no such form.
"""

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import dagster as dg
from pydantic import GetPydanticSchema

if TYPE_CHECKING:
    Text: TypeAlias = str
    Whole: TypeAlias = int
    Flag: TypeAlias = bool
else:

    def _plain(kind: type) -> Any:
        """For Dagster the plain type; for Pydantic, which checks the value and what Field() asks of it, Python's."""
        schema = GetPydanticSchema(lambda _, handler: handler(kind))
        return Annotated[dg.Field(kind).config_type, schema]

    Text, Whole, Flag = _plain(str), _plain(int), _plain(bool)
