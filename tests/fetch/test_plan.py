"""What to fetch next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.sizes import CHUNK, MIB, SLICE
from proxy.core.spans import Span, coalesce, subtract, total
from proxy.fetch.plan import Interest, next_spans

SIZE = 3 * SLICE + 5 * CHUNK + 17


def chunk_spans(limit: int = SIZE) -> st.SearchStrategy[Span]:
    edges = st.integers(0, -(-limit // CHUNK))
    return st.tuples(edges, edges).map(lambda e: Span(min(limit, min(e) * CHUNK), min(limit, max(e) * CHUNK)))


def missing_in(gaps: tuple[Span, ...]):
    return lambda span: coalesce(gap.clip(span) for gap in gaps if gap.overlaps(span))


@given(
    st.lists(st.tuples(chunk_spans(), st.booleans()), max_size=5),
    st.lists(chunk_spans(), max_size=6),
    st.lists(chunk_spans(), max_size=3),
)
def test_next_spans_are_missing_free_bounded_and_apart(
    wants: list[tuple[Span, bool]], gaps: list[Span], running: list[Span]
) -> None:
    missing = coalesce(gaps)
    interests = [Interest(span, waiting) for span, waiting in wants]
    running = list(coalesce(running))
    chosen = next_spans(interests, missing_in(missing), running, span_size=16 * MIB, parallel=4)
    assert total(coalesce(chosen)) == total(chosen), "no byte is fetched twice"
    for span in chosen:
        assert 0 < len(span) <= 16 * MIB
        assert len(span.units(SLICE)) == 1
        assert subtract(span, missing) == ()
        assert not any(span.overlaps(busy) for busy in running)
    assert len(chosen) + len(running) <= max(len(running), 8)


@given(st.lists(chunk_spans(), min_size=1, max_size=4), st.lists(chunk_spans(), max_size=6))
def test_with_room_something_missing_and_wanted_is_always_begun(wants: list[Span], gaps: list[Span]) -> None:
    missing = coalesce(gaps)
    chosen = next_spans([Interest(want, False) for want in wants], missing_in(missing), [], span_size=MIB, parallel=1)
    wanted_and_missing = any(want.overlaps(gap) for want in wants for gap in missing)
    assert bool(chosen) == wanted_and_missing


def test_a_reader_at_the_front_gets_the_first_spans_in_order() -> None:
    everything = Span(0, 64 * MIB)
    chosen = next_spans([Interest(everything, True)], lambda s: (s,), [], span_size=16 * MIB, parallel=2)
    assert chosen == (Span(0, 16 * MIB), Span(16 * MIB, 32 * MIB))


def test_a_reader_deep_in_the_blob_does_not_queue_behind_one_at_its_beginning() -> None:
    front, tail = Interest(Span(0, 3 * SLICE), True), Interest(Span(3 * SLICE, 3 * SLICE + MIB), True)
    running = [Span(i * 16 * MIB, (i + 1) * 16 * MIB) for i in range(4)]
    chosen = next_spans([front, tail], lambda s: (s,), running, span_size=16 * MIB, parallel=4)
    assert chosen == (Span(3 * SLICE, 3 * SLICE + MIB),)


def test_nothing_more_is_begun_when_all_places_are_taken_and_nobody_stands_still() -> None:
    running = [Span(i * 16 * MIB, (i + 1) * 16 * MIB) for i in range(4)]
    chosen = next_spans([Interest(Span(0, 3 * SLICE), True)], lambda s: (s,), running, span_size=16 * MIB, parallel=4)
    assert chosen == ()


# --- one answer that runs through several spans --------------------------------------------------------------------


def test_without_eagerness_a_reader_has_one_span_fetched_at_a_time() -> None:
    wants = [Interest(Span(0, 8 * MIB), waiting=True)]
    spans = next_spans(wants, lambda span: (span,), [], span_size=MIB, parallel=4, eager=False)
    assert spans == (Span(0, MIB),)
    assert next_spans(wants, lambda span: (span,), spans, span_size=MIB, parallel=4, eager=False) == ()


def test_without_eagerness_who_stands_still_elsewhere_is_served_at_once() -> None:
    wants = [Interest(Span(0, 8 * MIB), waiting=True), Interest(Span(5 * MIB, 6 * MIB), waiting=True)]
    running = [Span(0, MIB)]
    spans = next_spans(wants, lambda span: (span,), running, span_size=MIB, parallel=4, eager=False)
    assert spans == (Span(5 * MIB, 6 * MIB),)


def test_without_eagerness_who_was_served_and_does_not_know_it_yet_starts_nothing() -> None:
    """1. a chunk comes   2. its fill ends, and we look what to fetch next   3. its readers learn that it is here"""
    wants = [Interest(Span(at, 8 * MIB), waiting=True) for at in (0, 1, 2)]

    def missing(span: Span) -> tuple[Span, ...]:
        rest = Span(max(span.start, MIB), max(span.stop, MIB))
        return (rest,) if rest else ()

    running = [Span(MIB, 2 * MIB)]
    assert next_spans(wants, missing, running, span_size=MIB, parallel=4, eager=False) == ()
