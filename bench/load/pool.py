"""Connections of a client: to which of the mirrors, and which are used again."""

from __future__ import annotations

from collections.abc import Sequence

from .wire import Address, Connection, Surroundings


class Entrances:
    """The addresses of the mirrors, from the one that comes `first` on; where nobody answers, the next is taken."""

    def __init__(self, around: Surroundings, addresses: Sequence[Address], first: int) -> None:
        self._around = around
        self._addresses = addresses
        self._turn = first

    def turn(self) -> None:
        """From now on the next one comes first."""
        self._turn += 1

    async def connected(self, *, receive_buffer: int | None = None) -> Connection:
        """Raises OSError, when none of them takes it."""
        for _ in range(len(self._addresses) - 1):
            try:
                return await Connection.open(self._around, self._first, receive_buffer=receive_buffer)
            except OSError:
                self.turn()
        return await Connection.open(self._around, self._first, receive_buffer=receive_buffer)

    @property
    def _first(self) -> Address:
        return self._addresses[self._turn % len(self._addresses)]


class Pool:
    """Idle connections, used again. At most `most_idle` are kept."""

    def __init__(self, entrances: Entrances, most_idle: int, *, in_turn: bool = False) -> None:
        """`in_turn`: each new connection goes to the next of the addresses."""
        self._entrances = entrances
        self._idle: list[Connection] = []
        self._most_idle = most_idle
        self._in_turn = in_turn

    async def get(self) -> Connection:
        """An idle connection, else a new one. Raises OSError. Give it back with `put`."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        if self._in_turn:
            self._entrances.turn()
        return await self._entrances.connected()

    def put(self, connection: Connection) -> None:
        if connection.usable and len(self._idle) < self._most_idle:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()
