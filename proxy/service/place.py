"""What a supervisor holds on its machine: the ports, the ready file, the folder of the metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .folder import MetricsFolder, inherited_folder, metrics_folder
from .ready import ReadyFile, ready_file
from .renewal import Legacy
from .run import Run
from .sockets import HeldPort, held_port, inherited_port


@dataclass(frozen=True, slots=True)
class Place:
    """See the head of the file."""

    data: HeldPort
    admin: HeldPort
    folder: MetricsFolder
    file: ReadyFile


@contextmanager
def taken(run: Run) -> Iterator[Place]:
    """The place of a node that starts. Raises PortTaken, PortRefused, OSError."""
    server = run.config.server
    with (
        held_port(server.listen, "--listen", shared=True) as data,
        held_port(server.admin, "--admin", shared=False) as admin,
        ready_file(server.ready_file) as file,
        metrics_folder(run.clock) as folder,
    ):
        yield Place(data, admin, folder, file)


@contextmanager
def inherited(run: Run, legacy: Legacy) -> Iterator[Place]:
    """The place of the program before this one."""
    with (
        inherited_port(legacy.data) as data,
        inherited_port(legacy.admin) as admin,
        ready_file(run.config.server.ready_file, stands=True) as file,
        inherited_folder(Path(legacy.metrics), legacy.metrics_lock) as folder,
    ):
        yield Place(data, admin, folder, file)
