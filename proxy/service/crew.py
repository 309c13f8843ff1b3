"""Who works on a node: the workers of this program, those of the one before it, and the sockets they listen on.

    serving   the worker of each slot
    formers   workers of the program before this one; they serve until all slots do
    leaving   formers that were told to leave; they finish what they have open

Each slot has a *door*, a listening socket of its own on the node's port (SO_REUSEPORT). The supervisor keeps a copy of
it, so that the worker that follows takes over its queue of connections too. When a worker dies without a successor on
the door, the copy is shut at once: the kernel then gives the share of that slot to the others.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

from proxy.config.schema import Address

from .child import Worker
from .control import Order
from .sockets import sibling


class Crew:
    """See the head of the file. `doors` are those of the program before."""

    def __init__(self, listen: Address, doors: Mapping[int, socket.socket]) -> None:
        self._listen = listen
        self._doors = dict(doors)
        self._taken: set[int] = set()
        self.serving: dict[int, Worker] = {}
        self.formers: list[Worker] = []
        self.leaving: list[Worker] = []
        self.served = False
        """Whether all slots have served at some time, or formers did."""
        self.handed_over = False
        """Whether the node owns no slice of its fleet any more."""

    @property
    def everybody(self) -> list[Worker]:
        """All that live, those of the slots first and in their order."""
        return [*(self.serving[slot] for slot in sorted(self.serving)), *self.formers, *self.leaving]

    @property
    def at_work(self) -> list[Worker]:
        """Those who take connections."""
        return [*self.serving.values(), *self.formers]

    @property
    def doors(self) -> tuple[tuple[int, int], ...]:
        """Slots and the descriptors of their doors."""
        return tuple((slot, door.fileno()) for slot, door in sorted(self._doors.items()))

    def tell(self, order: Order) -> None:
        """Tell everybody."""
        for worker in self.everybody:
            worker.tell(order)

    def take_number(self, number: int | None = None) -> int:
        """The lowest number that no living worker has, or that one. Locks and metrics of a worker go by it."""
        found = number if number is not None else next(n for n in range(len(self._taken) + 1) if n not in self._taken)
        self._taken.add(found)
        return found

    def give_back(self, number: int) -> None:
        self._taken.discard(number)

    def door(self, slot: int) -> socket.socket:
        """The listening socket of the slot; made when it has none. Raises PortTaken, PortRefused."""
        if slot not in self._doors:
            self._doors[slot] = sibling(self._listen)
        return self._doors[slot]

    def died(self, slot: int) -> None:
        """The worker of the slot is no more. A former may still listen on its door."""
        self.serving.pop(slot, None)
        if not self.formers and slot in self._doors:
            self._doors.pop(slot).close()

    def shut(self) -> None:
        """Let the port close with the workers."""
        for door in self._doors.values():
            door.close()
        self._doors.clear()
