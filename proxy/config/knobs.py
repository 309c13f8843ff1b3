"""The knobs as a table: what the schema says, flat, for everything that lists them (reference, flags, messages)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .origins import MountedOrigin
from .schema import Config

PREFIX: Final = "PENSTOCK_"
MOUNTED: Final = "origin"
"""The section that is a list of tables too: those with a name are mounted origins."""


@dataclass(frozen=True, slots=True)
class Knob:
    """One key of one section. `default` is as the schema spells it ("300s", not 300.0)."""

    section: str
    key: str
    description: str
    default: Any
    reload: bool
    many: bool
    nullable: bool

    @property
    def name(self) -> str:
        """`section.key`, the name used in every message and in `Loaded.origins`."""
        return f"{self.section}.{self.key}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it; a dash in the name of a mounted origin is _ there."""
        return f"{PREFIX}{self.name.replace('.', '__').replace('-', '_')}".upper()


@cache
def knobs() -> dict[str, Knob]:
    """Every knob by its name, in the order of the schema."""
    return {knob.name: knob for section, model in _sections() for knob in _of(section, model)}


@cache
def mounted_knobs(name: str) -> dict[str, Knob]:
    """Those of the mounted origin `name`: `origin.NAME.url` and so on."""
    return {knob.name: knob for knob in _of(f"{MOUNTED}.{name}", MountedOrigin)}


def mounted_at(name: str) -> str | None:
    """The mounted origin whose knob, or misspelt knob, `name` is; None when it is of a section."""
    section, *rest = name.split(".")
    return rest[0] if section == MOUNTED and len(rest) > 1 else None


def sections() -> dict[str, str]:
    """Every section with its one-line purpose."""
    return {name: (model.__doc__ or "").strip().splitlines()[0] for name, model in _sections()}


def _sections() -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name, field.annotation


def _of(section: str, model: type[BaseModel]) -> Iterator[Knob]:
    for key, field in model.model_fields.items():
        yield _knob(section, key, field)


def _knob(section: str, key: str, field: FieldInfo) -> Knob:
    extra = field.json_schema_extra
    return Knob(
        section=section,
        key=key,
        description=field.description or "",
        default=None if field.is_required() else field.get_default(call_default_factory=True, validated_data={}),
        reload=isinstance(extra, dict) and extra.get("reload") is True,
        many=str(field.annotation).startswith("tuple["),
        nullable="None" in str(field.annotation),
    )
