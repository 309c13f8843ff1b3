"""What the suite found is read right."""

from __future__ import annotations

from tests.kit.conformance import judged


def _found(name: str, *, passed: bool, depends_on: tuple[str, ...] = ()) -> dict[str, object]:
    told = {"suite": "s", "name": name, "kind": "required", "why": "" if passed else "Assertion: no"}
    return {"id": name, "passed": passed, "depends_on": list(depends_on), **told}


def test_what_depends_on_a_failure_is_not_judged() -> None:
    verdicts = judged(
        [
            _found("stored", passed=False),
            _found("fresh", passed=False, depends_on=("stored",)),
            _found("plain", passed=True, depends_on=()),
            _found("aged", passed=False, depends_on=("plain",)),
        ]
    )
    assert [(one.id, one.judged) for one in verdicts] == [
        ("stored", True),
        ("fresh", False),
        ("plain", True),
        ("aged", True),
    ]
