"""Whether a run is good, and why not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.record import Check, ErrorClass, Mark, Promise, Run, Sum
from bench.verdict import Weight, findings, headline, weight
from bench.words import NOTHING
from tests.kit.runs import sampled_run


@pytest.fixture(scope="module")
def run() -> Run:
    return sampled_run(seconds=12)


def worst(run: Run) -> str:
    found = findings(run)
    return f"{found[0].weight.name}: {found[0].text}"


def test_a_good_run_says_what_was_proved(run: Run) -> None:
    found = findings(run)
    assert weight(found) is Weight.GOOD
    assert headline(weight(found)) == "Good"
    assert any("every byte right" in finding.text for finding in found)
    assert any("agree on every byte" in finding.text for finding in found)


def changed(run: Run, part: str, **fields: Any) -> Run:
    return replace(run, **{part: replace(getattr(run, part), **fields)})


def test_a_wrong_byte_fails_the_run(run: Run) -> None:
    assert worst(changed(run, "verification", wrong=2)) == "FAULT: wrong bytes at 2 places"


def test_accounts_that_do_not_add_up_fail_the_run(run: Run) -> None:
    told = worst(changed(run, "conservation", sums=(Sum("client = proxy", 10**9, 10**9 - 5000, 100),)))
    assert told.startswith("FAULT: the accounts do not add up: client = proxy")
    assert "5.00 kB apart" in told


def test_an_error_nobody_asked_for_fails_the_run_with_its_example(run: Run) -> None:
    assert worst(replace(run, errors=(ErrorClass("502", 3, "GET /x"),))) == "FAULT: 502, 3 times; for example: GET /x"


def test_an_expected_error_does_not(run: Run) -> None:
    assert weight(findings(replace(run, errors=(ErrorClass("429", 3, "GET /x", expected=True),)))) is Weight.GOOD


def test_a_broken_promise_fails_the_run(run: Run) -> None:
    told = worst(replace(run, promises=(Promise("origin bytes ≤ 1.02 ×", kept=False, found="1.40 ×"),)))
    assert told == "FAULT: the scenario demands origin bytes ≤ 1.02 ×; found: 1.40 ×"


def test_a_run_that_delivered_nothing_has_failed(run: Run) -> None:
    assert worst(changed(run, "conservation", client_bytes=0)) == "FAULT: not one byte was delivered"


@pytest.mark.parametrize(
    ("part", "fields", "doubt"),
    [
        ("generator", {"saturated": "97 % of a core"}, "the load generator was the bottleneck: 97 % of a core"),
        ("generator", {"dropped": 500}, "the load came late: 9 late and 500 dropped"),
        ("verification", {"mode": Check.NONE}, "no byte was compared"),
        ("verification", {"bytes_checked": 0}, "no byte was compared, although verification was full"),
        ("conservation", {"sums": ()}, "nobody compared the accounts"),
    ],
)
def test_what_makes_the_numbers_doubtful_is_said(run: Run, part: str, fields: dict[str, Any], doubt: str) -> None:
    assert worst(changed(run, part, **fields)).startswith(f"DOUBT: {doubt}")


def test_a_short_run_is_no_measurement(run: Run) -> None:
    assert worst(replace(run, seconds=2.0)).startswith("DOUBT: only 2.0 s")


def test_what_a_short_run_cannot_tell_is_a_doubt_and_no_fault() -> None:
    promise = Promise("memory_growth<=5%", kept=False, found=NOTHING)
    found = findings(replace(sampled_run(), promises=(promise,)))
    assert [one.weight for one in found if "memory_growth" in one.text] == [Weight.DOUBT]


def test_a_killed_mirror_is_why_the_accounts_were_not_compared() -> None:
    run = sampled_run()
    lost = replace(run, conservation=replace(run.conservation, sums=()), marks=(Mark(1.0, "node-kill n1"),))
    assert any("a mirror that was killed" in one.text for one in findings(lost))


def test_two_late_sessions_of_sixty_are_no_doubt() -> None:
    run = sampled_run()
    few = replace(run, generator=replace(run.generator, planned=60, sent=60, late=2, dropped=0))
    assert not any("came late" in one.text for one in findings(few))
