"""The daemon as a process: signals, and what it says when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Iterator
from typing import Any, Final, TypeAlias

import structlog

from searcher.domain.clock import SystemClock
from searcher.domain.errors import ExitStatus, Misconfigured
from searcher.domain.plan import Mode
from searcher.ops.config.loader import Loaded
from searcher.ops.config.model import Config
from searcher.ops.daemon import assemble

_log = structlog.get_logger(__name__)

STATUS_OF: Final = {
    signal.SIGINT: ExitStatus.INTERRUPTED,
    signal.SIGTERM: ExitStatus.TERMINATED,
}

Asked: TypeAlias = "asyncio.Future[signal.Signals]"
"""The signal that asks the process to end, once it has come."""


def require_second_switch(mode: Mode, *, live: bool) -> None:
    """Hold mode live to its two switches: the configuration, and the flag of this very start.

    Raises:
        Misconfigured: one of them is missing.
    """
    if mode is Mode.LIVE and not live:
        raise Misconfigured("mode live sends real transactions: add --live if that is meant")
    if live and mode is not Mode.LIVE:
        raise Misconfigured(
            f'--live is given but the mode is {mode.value}: write mode = "live" as well, or '
            "leave the flag out"
        )


@contextlib.contextmanager
def listening() -> Iterator[Asked]:
    """Catch the signals that ask for the end, and give the first of them."""
    loop = asyncio.get_running_loop()
    asked: Asked = loop.create_future()

    def ask(number: signal.Signals) -> None:
        if not asked.done():
            asked.set_result(number)

    for number in STATUS_OF:
        loop.add_signal_handler(number, ask, number)
    try:
        yield asked
    finally:
        for number in STATUS_OF:
            loop.remove_signal_handler(number)


async def run_until(work: Coroutine[Any, Any, None], asked: Asked) -> ExitStatus:
    """Run `work` until it ends by itself or a signal asks for the end.

    Returns:
        OK, INTERRUPTED or TERMINATED.

    Raises:
        SearcherError: what ended it, or what failed while it was stopping.
    """
    serving = asyncio.create_task(work)
    both: tuple[asyncio.Future[Any], ...] = (serving, asked)
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
        return ExitStatus.OK
    _log.info("stopping", signal=asked.result().name)
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    return STATUS_OF[asked.result()]


async def follow(loaded: Loaded[Config]) -> ExitStatus:
    """Run the daemon of a configuration; see `run_until`."""
    with listening() as asked:
        # The start too can take long, with a node that is silent: a signal ends it as well.
        return await run_until(_serve(loaded), asked)


async def _serve(loaded: Loaded[Config]) -> None:
    async with await assemble(loaded, SystemClock()) as daemon:
        await daemon.run()
