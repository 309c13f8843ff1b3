"""Every key of a scenario with its default and its meaning, as a scenario that one can start from."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .faults import KINDS
from .scenario import Scenario

_WIDTH: Final = 110


def reference() -> str:
    """TOML that is the same as an empty file."""
    own = [(key, field) for key, field in Scenario.model_fields.items() if not _is_table(field)]
    lines = list(_keys([one for one in own if one[0] != "faults"], Scenario()))
    for key, field in Scenario.model_fields.items():
        if _is_table(field):
            table = getattr(Scenario(), key)
            about = " ".join((type(table).__doc__ or "").split())
            lines += ["", *textwrap.wrap(about, _WIDTH, initial_indent="# ", subsequent_indent="# "), f"[{key}]"]
            lines += _keys(type(table).model_fields.items(), table)
    return "\n".join([*lines, "", *_faults(), ""])


def _is_table(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _keys(fields: Any, table: BaseModel) -> Iterator[str]:
    plain = table.model_dump(mode="json")
    for key, field in fields:
        if field.description:
            about = " ".join(field.description.split())
            yield from textwrap.wrap(about, _WIDTH, initial_indent="# ", subsequent_indent="# ")
        yield f"# {key} is not set" if plain[key] is None else f"{key} = {_value(plain[key])}"


def _value(value: Any) -> str:
    if isinstance(value, dict) and value:
        return "{ " + ", ".join(f"{json.dumps(key)} = {_value(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


def _faults() -> Iterator[str]:
    yield "# What goes wrong, each as a table [[faults]] with `at`, `seconds` (1 s unless it is said) and `do`:"
    for name, kind in KINDS.items():
        keys = [key for key in kind.model_fields if key not in ("do", "at", "seconds")]
        more = f" Also: {', '.join(keys)}." if keys else ""
        about = " ".join((kind.__doc__ or "").split())
        yield from textwrap.wrap(f"{name}: {about}{more}", _WIDTH, initial_indent="#   ", subsequent_indent="#       ")
