"""The assembly by its name: workers are told it on their command line."""

from __future__ import annotations

import importlib
from typing import Any, Final, cast

from .node import Assemble

ASSEMBLY: Final = "proxy.service.assembly:assemble"
"""What makes the nodes, as module:name."""


def named_assembly(assembly: str) -> Assemble:
    """The `assemble` that `module:name` means."""
    module, _, name = assembly.partition(":")
    found: Any = getattr(importlib.import_module(module), name)
    return cast(Assemble, found)
