"""Who may have a port."""

from __future__ import annotations

import socket

import pytest

from proxy.config.schema import Address
from proxy.service.sockets import PortRefused, PortTaken, address_of, held_port, sibling


def test_port_zero_becomes_a_port() -> None:
    with held_port(Address(host="127.0.0.1", port=0), "--listen", shared=False) as held:
        assert held.address.port > 0


def test_a_second_node_is_refused_even_while_the_first_does_not_listen_yet() -> None:
    with held_port(Address(host="127.0.0.1", port=0), "--listen", shared=True) as first:
        port = first.address
    with held_port(port, "--listen", shared=True):
        with pytest.raises(PortTaken) as caught, held_port(port, "--listen", shared=True):
            pass
        assert str(port.port) in str(caught.value)


def test_a_port_somebody_else_listens_on_is_refused() -> None:
    with (
        socket.create_server(("127.0.0.1", 0), reuse_port=True) as other,
        pytest.raises(PortTaken),
        held_port(address_of(other), "--listen", shared=True),
    ):
        pass


def test_workers_of_the_node_get_siblings() -> None:
    with (
        held_port(Address(host="127.0.0.1", port=0), "--listen", shared=True) as held,
        sibling(held.address) as one,
        sibling(held.address) as two,
    ):
        assert address_of(one) == address_of(two) == held.address


def test_a_port_is_free_again_when_it_is_left() -> None:
    with held_port(Address(host="127.0.0.1", port=0), "--listen", shared=True) as held:
        port = held.address
    with held_port(port, "--listen", shared=True):
        pass


def test_an_address_of_another_machine_is_refused_with_its_reason() -> None:
    with (
        pytest.raises(PortRefused, match=r"192\.0\.2\.1:80"),
        held_port(Address(host="192.0.2.1", port=80), "--listen", shared=False),
    ):
        pass
