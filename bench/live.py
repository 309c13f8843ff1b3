"""What a person sees while a run happens: a picture in a terminal, plain lines elsewhere. It goes to standard error."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .load.tally import Failures, Second
from .meter import Reading
from .record import Mark, Source
from .recording import BUSY
from .standing import Watcher
from .words import Unit, told

_WINDOW: Final = 5
"""Seconds over which percentiles are taken."""
_HISTORY: Final = 60
_BAR: Final = 30
"""Characters of the bar of hits."""
_BARS: Final = " ▁▂▃▄▅▆▇█"
_LINE_EVERY: Final = 0.9
"""Seconds between two lines of a log, at least; a little less than what comes once a second."""
_MOST_LINES: Final = 600
_MOST_ERRORS: Final = 4
_COLOURS: Final = {
    Source.DISK: "green",
    Source.MEMORY: "cyan",
    Source.FILL: "yellow",
    Source.RELAY: "magenta",
    Source.PEER: "blue",
}


class View:
    """The state of a run as it is shown. `picture` draws it; as a `Watcher` it hears what happens."""

    def __init__(self, name: str, duration: float) -> None:
        self._name = name
        self._duration = duration
        self._phase = ""
        self._second = 0
        self._recent: deque[Second] = deque(maxlen=_WINDOW * 64)
        self._readings: deque[Reading] = deque(maxlen=_HISTORY)
        self._throughput: deque[float] = deque(maxlen=_HISTORY)
        self._waits: deque[float] = deque(maxlen=_HISTORY)
        """The p99 of each second, over the window before it."""
        self._failures: dict[str, Failures] = {}
        self._marks: deque[Mark] = deque(maxlen=4)

    # -- as a Watcher -----------------------------------------------------------------------------------------------

    def phase(self, name: str) -> None:
        self._phase = name

    def generated(self, second: Second) -> None:
        self._recent.append(second)
        if second.number > self._second:
            self._second = second.number
            self._waits.append(self._percentile(99) or 0.0)
        for name, failures in second.failures.items():
            self._failures.setdefault(name, Failures(0, failures.example)).count += failures.count

    def sampled(self, number: int, reading: Reading) -> None:
        if self._readings:
            before = self._readings[-1].mirror.all_delivered
            self._throughput.append(max(0, reading.mirror.all_delivered - before))
        self._readings.append(reading)

    def marked(self, mark: Mark) -> None:
        self._marks.append(mark)

    # -- how it looks -----------------------------------------------------------------------------------------------

    def picture(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", justify="right", no_wrap=True)
        table.add_column(overflow="fold")
        head = f"{self._name}  {self._phase}  {min(self._second, self._duration):.0f} of {self._duration:.0f} s"
        table.add_row("throughput", self._throughput_text())
        table.add_row("first byte", Text(f"{self._percentiles()}  ").append(_bars(self._waits), "cyan"))
        table.add_row("hits", self._hits())
        table.add_row("answered", Text(self._answers()))
        for mark in self._marks:
            table.add_row("fault", Text(f"{mark.second:5.1f} s  {mark.name}", style="yellow"))
        for name, failures in sorted(self._failures.items(), key=lambda one: -one[1].count)[:_MOST_ERRORS]:
            table.add_row("errors", Text(f"{failures.count} x {name}: {failures.example}", style="red"))
        return Group(Text(head, style="bold green"), table)

    def line(self) -> str:
        """The same in one line."""
        total = self._throughput[-1] if self._throughput else 0
        errors = sum(failures.count for failures in self._failures.values())
        parts = [f"{self._second:4d} s", _rate(total), self._percentiles(), self._answers(), f"{errors} errors"]
        return "  ".join(parts)

    def _throughput_text(self) -> Text:
        text = Text(f"{_rate(self._throughput[-1] if self._throughput else 0)}  ")
        text.append(_bars(self._throughput), "green")
        if len(self._readings) >= 2:
            before, now = self._readings[-2].mirror.delivered, self._readings[-1].mirror.delivered
            for source in Source:
                if grown := now.get(source, 0) - before.get(source, 0):
                    text.append(f"  {source} {_rate(grown)}", _COLOURS[source])
        return text

    def _percentiles(self) -> str:
        found = [(percent, self._percentile(percent)) for percent in (50, 90, 99)]
        return "  ".join(f"p{percent} {told(wait, Unit.SECONDS)}" for percent, wait in found)

    def _percentile(self, percent: int) -> float | None:
        """Of the waits in the window; None if nobody has waited."""
        seconds = [one for one in self._recent if one.number >= self._second - _WINDOW]
        waits = sorted(wait for one in seconds for three in one.measures.values() for wait in three[0])
        return waits[min(len(waits) - 1, int(len(waits) * percent / 100))] if waits else None

    def _hits(self) -> Text:
        """Of the window, as a bar."""
        seconds = [one for one in self._recent if one.number >= self._second - _WINDOW]
        requests, hits = sum(one.requests for one in seconds), sum(one.hits for one in seconds)
        share = hits / requests if requests else 0.0
        full = round(share * _BAR)
        return (
            Text("█" * full, "green").append("░" * (_BAR - full), "dim").append(f"  {_share(hits, requests)}", "none")
        )

    def _answers(self) -> str:
        last = self._last_whole()
        requests = sum(one.requests for one in last)
        in_flight = sum(one.in_flight for one in last)
        cpu = max((one.cpu_share for one in last), default=0.0)
        filling = self._readings[-1].mirror.filling if self._readings else 0
        hits = _share(sum(one.hits for one in last), requests)
        busy = " (the generator is the bottleneck)" if cpu > BUSY else ""
        parts = [f"{requests} requests/s", f"{hits} hits", f"{in_flight} in flight", f"{filling} fills"]
        return "  ".join([*parts, f"generator {cpu * 100:.0f} %{busy}"])

    def _last_whole(self) -> list[Second]:
        """The newest second that all processes have told of."""
        told_of = Counter(one.number for one in self._recent)
        all_of_them = max(told_of.values(), default=0)
        newest = max((number for number, count in told_of.items() if count == all_of_them), default=0)
        return [one for one in self._recent if one.number == newest]


class _Lines(View):
    """Tells the phases and one line a second, for a log."""

    def __init__(self, name: str, duration: float, console: Console) -> None:
        super().__init__(name, duration)
        self._console = console
        self._every = max(_LINE_EVERY, duration / _MOST_LINES)
        self._last = 0.0

    def phase(self, name: str) -> None:
        super().phase(name)
        self._say(f"{self._name}: {name}")

    def generated(self, second: Second) -> None:
        super().generated(second)
        if time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            self._say(self.line())

    def marked(self, mark: Mark) -> None:
        super().marked(mark)
        self._say(f"{mark.second:6.1f} s  {mark.name}")

    def _say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


class Silent:
    """A watcher that looks away."""

    def phase(self, name: str) -> None: ...

    def generated(self, second: Second) -> None: ...

    def sampled(self, number: int, reading: Reading) -> None: ...

    def marked(self, mark: Mark) -> None: ...


@contextlib.contextmanager
def watching(name: str, duration: float, console: Console) -> Iterator[Watcher]:
    """A picture that changes, if `console` is a terminal; else lines."""
    if not console.is_terminal:
        yield _Lines(name, duration, console)
        return
    view = View(name, duration)
    with Live(console=console, get_renderable=view.picture, refresh_per_second=4, transient=True):
        yield view


def _bars(values: Collection[float]) -> str:
    """A curve, one character a value, the greatest of them to the top."""
    top = max(values, default=0.0) or 1.0
    return "".join(_BARS[round(value / top * (len(_BARS) - 1))] for value in values)


def _share(part: int, whole: int) -> str:
    return f"{part / whole * 100:.0f} %" if whole else "-"


def _rate(count: float) -> str:
    return told(count, Unit.BYTES_PER_SECOND)
