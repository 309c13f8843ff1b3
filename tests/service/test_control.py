"""What goes over the line comes out the same."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.load import load
from proxy.core.blob import BlobKey
from proxy.service.control import (
    Answer,
    Ask,
    Drain,
    Failed,
    HandOver,
    Health,
    Hurry,
    Leave,
    Order,
    Purge,
    Reload,
    Report,
    Start,
    lines,
    read_order,
    read_report,
    written,
)

CONFIG = load(environment={}, flags={"store.disks": ("--disk", ("/a b=1GiB", "/c"))}).config
NUMBERS = st.integers(0, 2**53)


@given(
    st.one_of(
        st.builds(Start, st.just(CONFIG), st.binary()),
        st.just(Reload(CONFIG)),
        st.just(Leave()),
        st.just(Drain()),
        st.just(Hurry()),
        st.just(HandOver()),
        st.just(Purge(BlobKey.sha256("ab" * 32))),
        st.builds(Ask, NUMBERS),
    )
)
def test_orders_survive_the_line(order: Order) -> None:
    line = written(order)
    assert line.count(b"\n") == 1
    assert read_order(line) == order


@given(
    st.one_of(
        st.builds(Health, st.lists(st.text()).map(tuple)),
        st.builds(Answer, NUMBERS, st.dictionaries(st.text(), st.integers(0, 9))),
        st.builds(Failed, st.text()),
    )
)
def test_reports_survive_the_line(report: Report) -> None:
    line = written(report)
    assert line.count(b"\n") == 1
    assert read_report(line) == report


@pytest.mark.parametrize("line", [b"{}", b"[]", b'{"order":"dance"}', b'{"report":"health"}'])
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        read_order(line)
    with pytest.raises(ValueError):
        read_report(line)


async def test_half_a_line_is_the_end() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(b"whole\nhal")
    assert await _all_lines(ours) == [b"whole\n"]


async def test_a_reset_is_the_end() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(b"never read")
    assert await _all_lines(ours) == []


async def _all_lines(ours: socket.socket) -> list[bytes]:
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        return [line async for line in lines(reader)]
    finally:
        writer.close()
