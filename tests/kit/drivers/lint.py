"""What httplint says of answers as they came, and REDbot of addresses that it asks itself.

Reads a job from standard input: {"exchanges": [{"name", "method", "target", "fields", "at", "answer" (base64)}, ...],
"addresses": [...]}. Writes {"exchanges": {name: findings}, "addresses": {address: findings, "supports": [...]}}, where
a finding is [level, note, what it is about, what it says].
"""

import base64
import json
import sys
from configparser import ConfigParser
from typing import Any

import thor
from httplint import HttpRequestLinter, HttpResponseLinter
from redbot.resource import HttpResource
from thor.http.common import Delimiters, HttpMessageHandler, States
from thor.http.error import HttpError

BROKEN = "bad"
"""The level of what is no HTTP at all."""
BODILESS = (b"204", b"304")


class Heard(HttpMessageHandler):
    """One answer, read by the parser of REDbot's client and linted in the light of what was asked."""

    default_state = States.QUIET
    """What comes behind the answer is too much."""

    def __init__(self, asked: dict[str, Any]) -> None:
        super().__init__()
        self._input_state = States.WAITING
        self.method = asked["method"]
        self.broken: list[list[str]] = []
        self.ended = False
        self.request = HttpRequestLinter(start_time=asked["at"])
        self.request.process_request_topline(asked["method"].encode(), asked["target"].encode(), b"1.1")
        self.request.process_headers([(name.encode(), text.encode()) for name, text in asked["fields"].items()])
        self.response = HttpResponseLinter(start_time=asked["at"], _related=self.request)
        self.response.is_head_response = asked["method"] == "HEAD"

    def findings(self, answer: bytes) -> list[list[str]]:
        self.handle_input(answer)
        if self._input_delimit == Delimiters.CLOSE and not self.ended:
            self.input_end([])
        if not self.ended:
            self._wrong("NO_END", "it does not end")
        return [*self.broken, *told(self.response)]

    def input_start(self, top_line: bytes, hdr_tuples: Any, *_: Any) -> tuple[bool, bool]:
        version, status, phrase = (*top_line.split(b" ", 2), b"", b"")[:3]
        if version not in (b"HTTP/1.0", b"HTTP/1.1"):
            self._wrong("VERSION", f"no HTTP/1: {top_line!r}")
        self.response.process_response_topline(version.removeprefix(b"HTTP/"), status, phrase)
        self.response.process_headers(hdr_tuples)
        return self.method != "HEAD" and status not in BODILESS, True

    def input_body(self, chunk: bytes) -> None:
        self.response.feed_content(chunk)

    def input_end(self, trailers: Any) -> None:
        self.ended = True
        self.response.finish_content(True, trailers)

    def input_error(self, err: HttpError) -> None:
        self._wrong(type(err).__name__, f"{err.desc}: {err.detail}")

    def output(self, data: bytes) -> None:
        """There is nobody to say anything to."""

    def output_done(self) -> None:
        """As above."""

    def _wrong(self, note: str, text: str) -> None:
        self.broken.append([BROKEN, note, "message", text])


def told(response: HttpResponseLinter) -> list[list[str]]:
    notes = [one for note in response.notes for one in (note, *note.subnotes)]
    return [[one.level.value, type(one).__name__, one.subject, one.summary] for one in notes]


def examined(addresses: list[str]) -> dict[str, dict[str, Any]]:
    """Let REDbot ask for each, and again with what it got to know: encoded, in part, with its validators."""
    config = ConfigParser()
    config.read_dict({"redbot": {"enable_local_access": "True"}})
    resources = {address: HttpResource(config["redbot"]) for address in addresses}
    waiting = set(resources)
    for address, resource in resources.items():
        resource.once("check_done", lambda address=address: _ended(waiting, address))
        resource.set_request(address)
        resource.check()
    if waiting:
        thor.run()
    return {address: _found(resource) for address, resource in resources.items()}


def _ended(waiting: set[str], address: str) -> None:
    waiting.discard(address)
    if not waiting:
        thor.stop()


def _found(resource: HttpResource) -> dict[str, Any]:
    everything = [resource, *(one for one in resource.subreqs.values() if one.fetch_started)]
    findings = [finding for one in everything for finding in told(one.response)]
    failed = [[BROKEN, "FAILED", one.check_name, str(one.fetch_error)] for one in everything if one.fetch_error]
    can = {
        "part": resource.partial_support,
        "if-none-match": resource.inm_support,
        "if-modified-since": resource.ims_support,
        "gzip": resource.gzip_support,
    }
    return {"findings": [*failed, *findings], "supports": sorted(name for name, does in can.items() if does)}


def main() -> None:
    job = json.load(sys.stdin)
    heard = {one["name"]: Heard(one).findings(base64.b64decode(one["answer"])) for one in job["exchanges"]}
    json.dump({"exchanges": heard, "addresses": examined(job["addresses"])}, sys.stdout)


if __name__ == "__main__":
    main()
