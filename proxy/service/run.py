"""A run of the node: what it is started with, and what SIGHUP makes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import proxy
from proxy.config.load import Loaded
from proxy.config.reload import Reload, reloaded
from proxy.config.schema import Config
from proxy.core.clock import Clock
from proxy.core.errors import ConfigError
from proxy.telemetry.metrics import Metrics

from .ready import Standing

log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run is made of. `reread` loads the configuration anew (SIGHUP; raises ConfigError), `announce` tells the
    one who started us that it serves, `words` are the command that starts this very node."""

    config: Config
    reread: Callable[[], Loaded]
    announce: Callable[[Standing], None]
    clock: Clock
    words: tuple[str, ...] = ()


def planned_reload(run: Run, running: Config) -> Reload:
    """What SIGHUP would do now. Raises ConfigError when the configuration is wrong."""
    return reloaded(running, run.reread().config)


def config_after_hangup(run: Run, running: Config) -> Config | None:
    """The configuration to go on with after SIGHUP, told in the log; None when the new one is wrong (the old holds)."""
    try:
        plan = planned_reload(run, running)
    except ConfigError as error:
        log.error("reload refused, the running configuration stays", extra={"mistakes": "; ".join(error.mistakes)})
        return None
    for change in plan.taken:
        log.info("reloaded", extra={"change": str(change)})
    for change in plan.waiting:
        log.warning("needs a restart", extra={"change": str(change)})
    if not plan.taken and not plan.waiting:
        log.info("reloaded, nothing changed")
    return plan.config


def note_start(metrics: Metrics, clock: Clock) -> None:
    metrics.gauge("build_info").labels(proxy.__version__).set(1)
    note_reload(metrics, clock)


def note_reload(metrics: Metrics, clock: Clock) -> None:
    metrics.gauge("config_last_reload_success_timestamp_seconds").set(clock.wall())
    metrics.gauge("config_last_reload_successful").set(1)


def note_refusal(metrics: Metrics) -> None:
    metrics.gauge("config_last_reload_successful").set(0)
