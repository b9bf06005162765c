"""Types for fields of run configs: a value is taken as it is, and never looked up in the environment.

In a `dg.Config`, Dagster lets fields of type `str`, `int` and `bool` also take {"env": "NAME"}. It then reads that variable in
the process that has the code, and quotes its value if it is not valid. So anyone who may launch a run could read every
password in the environment. All our configs use these types instead; a test looks through all jobs. `float` takes no
variable.
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
        """Dagster sees its own plain type. Pydantic, which validates the value and the constraints in Field(), sees Python's."""
        schema = GetPydanticSchema(lambda _, handler: handler(kind))
        return Annotated[dg.Field(kind).config_type, schema]

    Text, Whole, Flag = _plain(str), _plain(int), _plain(bool)
