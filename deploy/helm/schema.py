"""values.schema.json of the chart: `python -m deploy.helm.schema > deploy/helm/penstock/values.schema.json`.

What stands beside `config` has the types of its defaults in values.yaml; `config` is made of the mirror's own schema,
so that a wrong name of a setting fails at `helm install`, not in the pod.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import yaml

from proxy.config.knobs import MOUNTED, Knob, knobs, mounted_knobs, sections

CHART: Final = Path(__file__).parent / "penstock"
_FREE: Final = ("resources", "nodeSelector", "podAnnotations", "labels", "monitoring")
"""Tables of Kubernetes, or of people: any keys."""


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 7) of the chart's values."""
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    found = {name: _config() if name == "config" else _of(name, value) for name, value in values.items()}
    # Helm itself sets `global` for charts of charts.
    found["global"] = {"type": "object"}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart penstock",
        **_table(found),
    }


def _config() -> dict[str, Any]:
    found = {section: {"description": meaning, **_section(section)} for section, meaning in sections().items()}
    # One table, or a list of them: of the one at the root (without a name), and of those mounted beside it.
    mounted = {**_table({knob.key: _knob(knob) for knob in mounted_knobs("any").values()}), "required": ["name", "url"]}
    listed = {"type": "array", "items": {"anyOf": [_section(MOUNTED), mounted]}}
    return _table(found | {MOUNTED: {"anyOf": [found[MOUNTED], listed]}})


def _section(section: str) -> dict[str, Any]:
    return _table({knob.key: _knob(knob) for knob in knobs().values() if knob.section == section})


def _knob(knob: Knob) -> dict[str, Any]:
    return {"description": knob.description, "type": sorted(_types(knob))}


def _types(knob: Knob) -> set[str]:
    """Sizes and durations are written as texts or as numbers."""
    found = {"null"} if knob.nullable else set()
    if knob.many:
        return found | {"array", "string"}
    if isinstance(knob.default, bool):
        return found | {"boolean"}
    if isinstance(knob.default, int | float):
        return found | {"number"}
    return found | {"string", "number"}


def _of(name: str, value: Any) -> dict[str, Any]:
    if name in _FREE:
        return {"type": "object"}
    if isinstance(value, dict):
        return _table({key: _of(key, inner) for key, inner in value.items()})
    kinds = {bool: "boolean", int: "integer", str: "string", list: "array"}
    return {"type": kinds[type(value)]}


def _table(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2, ensure_ascii=False))
