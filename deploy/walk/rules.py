"""The rules that are shipped, made quick: what takes hours takes seconds. Pure.

Only lengths of time over which something is looked at change (`for`, `[1h]`, `offset 1h`): every other number is a
condition, and stays.
"""

from __future__ import annotations

import re
from typing import Any, Final

QUICKER: Final = 600
"""An hour becomes so much less, but no window is shorter than SHORTEST."""
SHORTEST: Final = 10
"""Seconds: as many readings, of one a second, as a rate needs to be steady."""
STEP: Final = 1
"""Seconds between two readings, and between two looks at the rules."""
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_WINDOW: Final = re.compile(r"\[(\d+[smhd])(:\d+[smhd])?\]")
_OFFSET: Final = re.compile(r"\boffset (\d+[smhd])\b")


def quick(document: dict[str, Any]) -> dict[str, Any]:
    """A file of rules, as YAML reads it, with every window and every `for` made quick."""
    return {
        "groups": [
            {**group, "interval": f"{STEP}s", "rules": [_quick_rule(rule) for rule in group["rules"]]}
            for group in document["groups"]
        ]
    }


def quick_expression(expression: str) -> str:
    """PromQL with its windows and offsets made quick."""
    expression = _WINDOW.sub(lambda found: f"[{_quick(found[1])}s{f':{STEP}s' if found[2] else ''}]", expression)
    return _OFFSET.sub(lambda found: f"offset {_quick(found[1])}s", expression)


def _quick_rule(rule: dict[str, Any]) -> dict[str, Any]:
    changed = {**rule, "expr": quick_expression(rule["expr"])}
    return {**changed, "for": f"{STEP}s"} if "for" in rule else changed


def _quick(duration: str) -> int:
    """Seconds."""
    return max(SHORTEST, int(duration[:-1]) * _SECONDS[duration[-1]] // QUICKER)
