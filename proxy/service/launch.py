"""Start a node: as many processes as the configuration says, each on an uvloop of its own."""

from __future__ import annotations

import asyncio

import uvloop

from .named import ASSEMBLY, named_assembly
from .renewal import legacy
from .run import Run
from .solo import run_solo
from .supervisor import supervise
from .system import raise_file_limit


def launch(run: Run, assembly: str = ASSEMBLY) -> None:
    """Serve until told to stop. Raises PenstockError or OSError when the node cannot start."""
    raise_file_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if run.config.server.has_parent:
            runner.run(supervise(run, assembly, legacy()))
        else:
            runner.run(run_solo(run, named_assembly(assembly)))
