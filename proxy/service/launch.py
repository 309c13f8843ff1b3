"""Start a node: as many processes as the configuration says, each on an uvloop of its own."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any, Final, cast

import uvloop

from .node import Assemble
from .solo import Run, run_solo
from .supervisor import supervise
from .system import raise_file_limit

ASSEMBLY: Final = "proxy.service.assembly:assemble"
"""What makes the nodes, as module:name."""


def launch(run: Run, assembly: str = ASSEMBLY) -> None:
    """Serve until told to stop. Raises PenstockError or OSError when the node cannot start."""
    raise_file_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if run.config.server.workers == 1:
            runner.run(run_solo(run, named_assembly(assembly)))
        else:
            runner.run(supervise(run, assembly))


def named_assembly(assembly: str) -> Assemble:
    """The `assemble` that `module:name` means."""
    module, _, name = assembly.partition(":")
    found: Any = getattr(importlib.import_module(module), name)
    return cast(Assemble, found)
