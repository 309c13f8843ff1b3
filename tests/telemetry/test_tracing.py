"""Off, it is not there."""

from __future__ import annotations

import subprocess
import sys

from proxy.telemetry.tracing import Untraced, asking, current


def test_nobody_who_wants_no_traces_loads_the_library() -> None:
    script = "import sys, proxy.service.assembly, proxy.service.solo; sys.exit('proxy.telemetry.otel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0


def test_questions_of_an_untraced_request_are_no_spans() -> None:
    with Untraced().serving("GET", {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}) as span:
        assert span is None
        assert current.get() is None
        with asking("origin", {}) as question:
            assert question is None
