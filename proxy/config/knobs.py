"""The knobs as a table: what the schema says, flat, for everything that lists them (reference, flags, messages)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .schema import Config

PREFIX: Final = "PENSTOCK_"


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
        """The environment variable that sets it."""
        return f"{PREFIX}{self.section}__{self.key}".upper()


@cache
def knobs() -> dict[str, Knob]:
    """Every knob by its name, in the order of the schema."""
    return {knob.name: knob for knob in _walk()}


def sections() -> dict[str, str]:
    """Every section with its one-line purpose."""
    return {name: (_model(field).__doc__ or "").strip().splitlines()[0] for name, field in Config.model_fields.items()}


def _walk() -> Iterator[Knob]:
    for section, field in Config.model_fields.items():
        for key, inner in _model(field).model_fields.items():
            yield _knob(section, key, inner)


def _model(field: FieldInfo) -> type[BaseModel]:
    model = field.annotation
    assert isinstance(model, type), "every field of Config is a section"
    assert issubclass(model, BaseModel), "every field of Config is a section"
    return model


def _knob(section: str, key: str, field: FieldInfo) -> Knob:
    extra = field.json_schema_extra
    return Knob(
        section=section,
        key=key,
        description=field.description or "",
        default=field.get_default(call_default_factory=True, validated_data={}),
        reload=isinstance(extra, dict) and extra.get("reload") is True,
        many=str(field.annotation).startswith("tuple["),
        nullable="None" in str(field.annotation),
    )
