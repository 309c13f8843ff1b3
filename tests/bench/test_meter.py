"""Counts of both sides: over restarts, and whether they add up."""

from __future__ import annotations

from bench.conservation import READ_UNSEEN, SENT_UNSEEN, conservation
from bench.load.tally import Totals
from bench.meter import MirrorCounts, OriginCounts, Reading
from bench.node import Page
from bench.record import Source

PAGE = """# HELP penstock_response_bytes_total x
penstock_response_bytes_total{route="resolve",source="disk"} 100.0
penstock_response_bytes_total{route="api",source="disk"} 11.0
penstock_response_bytes_total{route="resolve",source="fill"} 2e+06
penstock_response_bytes_total{route="resolve",source="tape"} 5.0
penstock_response_bytes_total{route="peer",source="disk"} 1000.0
penstock_peer_bytes_total 500.0
penstock_peer_reads_total{result="ok"} 2.0
penstock_peer_reads_total{result="left"} 1.0
penstock_peer_reads_total{result="elsewhere"} 3.0
penstock_event_loop_lag_seconds_count 40.0
penstock_event_loop_lag_seconds_sum 0.5
penstock_upstream_bytes_total{host="hub"} 3.0
penstock_upstream_bytes_total{host="cdn"} 4.0
penstock_fills_total{result="ok"} 7.0
penstock_fills_total{result="aborted"} 2.0
penstock_requests_in_flight 1.0
penstock_fills_in_progress 0.0
"""


def counts(disk: int = 0, origin: int = 0, cuts: int = 0) -> MirrorCounts:
    return MirrorCounts({Source.DISK: disk}, origin, cuts)


def test_a_page_of_metrics_is_read_by_source() -> None:
    found = MirrorCounts.of(Page.parse(PAGE))
    assert found.delivered == {Source.DISK: 111, Source.FILL: 2_000_000}
    assert (found.from_origin, found.cut_fills, found.is_quiet) == (7, 2, False)


def test_what_goes_to_a_peer_is_not_delivered_to_a_client() -> None:
    found = MirrorCounts.of(Page.parse(PAGE))
    assert (found.to_peers, found.from_peers) == (1000, 500)
    assert (found.cut_peer_reads, found.declined_peer_reads) == (1, 3)


def test_what_grew_is_the_difference() -> None:
    assert counts(150, 9).since(counts(100, 4)) == counts(50, 5)


def test_a_mirror_that_was_started_anew_counts_from_nothing() -> None:
    assert counts(30, 1).since(counts(100, 4)) == counts(30, 1)


def test_counts_of_two_mirrors_are_added_and_so_are_two_times_of_one() -> None:
    one, other = MirrorCounts({Source.DISK: 5}, 1, in_flight=2), MirrorCounts({Source.FILL: 7}, 2, in_flight=3)
    assert one.beside(other) == MirrorCounts({Source.DISK: 5, Source.FILL: 7}, 3, in_flight=5)
    assert one.plus(other) == MirrorCounts({Source.DISK: 5, Source.FILL: 7}, 3, in_flight=3)


def test_nodes_of_a_fleet_agree_on_what_they_gave_one_another() -> None:
    def sums(sent: int, cut: int = 0) -> list[bool]:
        mirror = MirrorCounts(from_peers=100, to_peers=sent, cut_peer_reads=cut)
        return [one.holds for one in conservation(Totals(), Reading(mirror), is_mirror_known=True).sums]

    assert sums(100) == [True, True, True]
    assert sums(101) == [True, True, False]
    assert sums(101, cut=1) == [True, True, True]


def judged(received: int, sent: int, read: int, given: int, **cut: int) -> tuple[bool, ...]:
    totals = Totals(received=received, cuts=cut.get("clients", 0), unread=cut.get("unread", 0))
    reading = Reading(counts(sent, read, cut.get("fills", 0)), OriginCounts(sent=given, cuts=cut.get("origin", 0)))
    return tuple(one.holds for one in conservation(totals, reading, is_mirror_known=True).sums)


def test_equal_accounts_hold_and_a_byte_too_many_does_not() -> None:
    assert judged(10, 10, 20, 20) == (True, True)
    assert judged(10, 11, 20, 20) == (False, True)
    assert judged(10, 10, 20, 19) == (True, False)


def test_an_exchange_that_was_cut_may_differ_by_what_the_kernel_held() -> None:
    assert judged(0, SENT_UNSEEN, 0, 0, clients=1) == (True, True)
    assert judged(0, SENT_UNSEEN + 1, 0, 0, clients=1) == (False, True)
    assert judged(0, SENT_UNSEEN + 1, 0, 0, clients=1, unread=1) == (True, True)
    assert judged(0, 0, 0, 2 * READ_UNSEEN, fills=1, origin=1) == (True, True)


def test_a_mirror_that_lost_its_counts_is_not_judged() -> None:
    assert conservation(Totals(received=5), Reading(), is_mirror_known=False).sums == ()


def test_a_byte_that_was_asked_for_twice_is_unique_once() -> None:
    totals = Totals(wanted={"a": [(0, 10)]})
    totals.merge(Totals(wanted={"a": [(5, 20)], "b": [(0, 1)]}))
    assert totals.unique_bytes() == 21
