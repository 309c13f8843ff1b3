"""What a worker runs: a node, put together by `assembly`. The processes know it by this Protocol alone."""

from __future__ import annotations

import socket
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from proxy.config.schema import Config
from proxy.core.blob import BlobKey
from proxy.telemetry.telemetry import Telemetry

from .operations.shape import Reply

BACKLOG: Final = 4096
"""What `assemble` passes to listen(2): connections that wait while the loop is busy."""


class Node(Protocol):
    """One process' whole of the proxy."""

    def ready(self) -> list[str]:
        """Why this node should get no traffic now, one reason each ("disk /a is read-only"); empty when it is ready.

        An origin that is away is no reason: hits still work."""
        ...

    def retire(self) -> None:
        """Be unready from now on, and go on serving: load balancers need a moment to notice. Idempotent."""
        ...

    async def drain(self, *, gently: bool = False) -> None:
        """Close the listening socket, let what is under way finish, return when nothing is. May be cancelled: then the
        node is left at once and what is still under way is cut.

        `gently`: another process of the node has the place. Connections that wait for a request may ask it still, and
        the fleet is told nothing."""
        ...

    def hand_over(self) -> None:
        """Own no slice of the fleet any more, and go on serving. Idempotent; nothing without a fleet."""
        ...

    def purge(self, key: BlobKey) -> None:
        """Drop the blob from the disks of this node, and of all others of its fleet when they hear of it. Returns at
        once."""
        ...

    async def operate(self, verb: str, arguments: dict[str, Any]) -> Reply:
        """Carry out an operation of `operations.table`. Never raises: what is wrong is in the reply."""
        ...

    def reload(self, config: Config) -> None:
        """Take over the knobs marked `reload`; the others are as they were."""
        ...

    def status(self) -> dict[str, Any]:
        """What the node holds and does, as JSON, for `/-/status` (disks, fills under way, connections); under
        `cluster` its part in the fleet (`cluster_api.cluster_status`), or None."""
        ...


class Assemble(Protocol):
    """Makes a node of a configuration: `proxy.service.assembly.assemble` in production.

    `listen_socket` is bound and does not listen yet: entering the context starts to (with BACKLOG), as its last step.
    Entering raises PenstockError or OSError when the node cannot be."""

    def __call__(
        self, config: Config, worker_index: int, listen_socket: socket.socket, telemetry: Telemetry
    ) -> AbstractAsyncContextManager[Node]: ...
