"""Whether the bytes of a run add up: what the clients received, what the mirror says it sent and read, and what the
origin says it sent. Pure.

An exchange that was cut short may differ by what was in the kernels' buffers at that moment; for each of them the sums
have that much slack, and no more.
"""

from __future__ import annotations

from typing import Final

from .load.tally import Totals
from .meter import Reading
from .record import Conservation, Sum

SENT_UNSEEN: Final = 1 << 20
"""Most bytes that the mirror hands to its kernel for a client that is gone: twice its send buffer (256 KiB, which Linux
doubles), because a piece may be on its way when the reset arrives."""
READ_UNSEEN: Final = 16 << 20
"""Likewise between the origin and the mirror, where nobody bounds the buffers: what Linux lets them grow to (4 MiB to
send, 6 MiB to receive), and a piece."""
EXCUSE: Final = 1024
"""Most bytes of an answer in which a node tells a peer that it has not got what it asks for; only who sends them counts
them."""


def conservation(totals: Totals, reading: Reading, *, is_mirror_known: bool) -> Conservation:
    """`is_mirror_known`: its counters are whole (ours, and it lived through the run); else nothing about it is
    judged."""
    mirror, origin = reading.mirror, reading.origin
    sums = [
        Sum(
            "received by the clients = sent by the mirror",
            totals.received + totals.unread,
            mirror.all_delivered,
            totals.cuts * SENT_UNSEEN,
        ),
        Sum(
            "read by the mirror = sent by the origin",
            mirror.from_origin,
            origin.sent,
            (mirror.cut_fills + origin.cuts) * READ_UNSEEN,
        ),
    ]
    if mirror.from_peers or mirror.to_peers:
        slack = mirror.cut_peer_reads * READ_UNSEEN + mirror.declined_peer_reads * EXCUSE
        sums.append(Sum("read from peers = sent to peers", mirror.from_peers, mirror.to_peers, slack))
    return Conservation(
        client_bytes=totals.received,
        proxy_bytes=dict(mirror.delivered),
        proxy_origin_bytes=mirror.from_origin,
        origin_bytes=origin.sent,
        unique_bytes=totals.unique_bytes(),
        sums=tuple(sums) if is_mirror_known else (),
    )
