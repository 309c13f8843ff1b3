"""Ports: taken once per node, shared by its workers, refused to a second node.

SO_REUSEPORT lets every worker bind the same port, and a second supervisor of the same user too, which would silently
take half of the connections. Hence two guards before the port is bound: a name that the kernel keeps for one process
(it dies with its holder), which tells two of us apart even while neither listens yet; and a plain bind without
SO_REUSEPORT, which fails when anybody else listens.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from proxy.config.schema import Address
from proxy.core.errors import PenstockError


class PortTaken(PenstockError):
    """Somebody else has the port. `address` is the one that was asked for, `flag` the option that chooses another."""

    def __init__(self, address: Address, flag: str) -> None:
        super().__init__(f"port {address.port} on {address.host} is in use by another program")
        self.address = address
        self.flag = flag


class PortRefused(PenstockError):
    """The address cannot be bound, for another reason than being in use."""

    def __init__(self, address: Address, flag: str, why: OSError) -> None:
        super().__init__(f"cannot listen on {address}: {why.strerror or why}")
        self.address = address
        self.flag = flag


@dataclass(frozen=True, slots=True)
class HeldPort:
    """A port that is this node's. `bound` is a socket on it, `claim` the name that says so to other nodes (none is
    needed where the kernel chose the port)."""

    bound: socket.socket
    claim: socket.socket | None

    @property
    def address(self) -> Address:
        """Where it really is, its port known."""
        return address_of(self.bound)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What `inherited_port` wants to see in the program that takes our place."""
        return tuple(one.fileno() for one in (self.bound, self.claim) if one is not None)


@contextmanager
def held_port(address: Address, flag: str, *, shared: bool) -> Iterator[HeldPort]:
    """The port at `address` (0: the kernel's choice), bound and not listened on; `shared` with further binds of
    `sibling`. Raises PortTaken, PortRefused."""
    with ExitStack() as stack:
        claim = None
        if address.port:
            claim = stack.enter_context(_claimed(address, flag))
            _bound(address, flag, shared=False).close()
        yield HeldPort(stack.enter_context(_bound(address, flag, shared=shared)), claim)


@contextmanager
def inherited_port(descriptors: Sequence[int]) -> Iterator[HeldPort]:
    """A port that the program before us held (`HeldPort.descriptors`)."""
    with ExitStack() as stack:
        bound, *claim = [stack.enter_context(socket.socket(fileno=number)) for number in descriptors]
        bound.setblocking(False)
        yield HeldPort(bound, claim[0] if claim else None)


def sibling(address: Address) -> socket.socket:
    """Another socket on a port that this node holds with `held_port(shared=True)`; for a slot of workers."""
    return _bound(address, "--listen", shared=True)


def address_of(bound: socket.socket) -> Address:
    """Where `bound` really is, its port known."""
    host, port = bound.getsockname()[:2]
    return Address(host=host, port=port)


def _bound(address: Address, flag: str, *, shared: bool) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortRefused(address, flag, error) from error
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(where)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(address, flag) from error
        raise PortRefused(address, flag, error) from error
    return sock


@contextmanager
def _claimed(address: Address, flag: str) -> Iterator[socket.socket]:
    """Hold the name of `address` in the kernel's abstract namespace, so that no other node starts on it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        try:
            lock.bind(f"\0penstock/{address}")
        except OSError as error:
            raise PortTaken(address, flag) from error
        yield lock
