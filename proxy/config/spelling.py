"""How values are spelled: human sizes and durations, addresses, paths; and what every section is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from proxy.core.sizes import parse_duration, parse_size

N = TypeVar("N", int, float)


def _size(value: object) -> int:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return parse_size(value)
    raise ValueError(f"{value!r} is not a size; write it like 500GiB, 1.5TB or 4096")


def _duration(value: object) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return parse_duration(value)
    raise ValueError(f"{value!r} is not a duration; write it like 250ms, 30s, 5m or 1h")


def _or_off(value: object, parse: Callable[[object], N]) -> N | None:
    if value in ("off", None):
        return None
    found = parse(value)
    if found < 0:
        raise ValueError("it cannot be less than 0; write off for none")
    return found


Size = Annotated[int, BeforeValidator(_size), Field(ge=0)]
SizeOrOff = Annotated[int | None, BeforeValidator(lambda value: _or_off(value, _size))]
DurationOrOff = Annotated[float | None, BeforeValidator(lambda value: _or_off(value, _duration))]
Duration = Annotated[float, BeforeValidator(_duration), Field(ge=0)]


def knob(default: Any, description: str, *, reload: bool = False, **constraints: Any) -> Any:
    """A configuration field with its reason; `reload` marks those that SIGHUP takes over."""
    return Field(default, description=description, json_schema_extra={"reload": reload}, **constraints)


class Section(BaseModel):
    """A table of the file. Unknown keys are mistakes, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def http_url(text: str) -> str:
    """`text` without a slash at its end. Raises ValueError when it is no address of a site."""
    parts = urlsplit(text)
    if "?" in text or "#" in text:
        raise ValueError(
            f"{text!r} has a query or a fragment, which no base of an origin can have: every target is put behind it; "
            "leave away what stands behind the path"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or not _has_port_or_none(parts):
        raise ValueError(f"{text!r} is not an http(s) address; write it like https://huggingface.co")
    return text.rstrip("/")


def _has_port_or_none(parts: SplitResult) -> bool:
    """Whether the port, if one is named, can be one."""
    try:
        return parts.port != 0
    except ValueError:
        return False


def _anchored(path: Path) -> Path:
    """`~` resolved, and absolute: workers and messages must not depend on the current folder."""
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"{path}: {error}; write the path out") from error


AnchoredPath = Annotated[Path, AfterValidator(_anchored)]
