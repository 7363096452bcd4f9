"""`searcher quote`: a pool from a file, and what its curve says of an amount."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

_OFF = {"negative": "", "show_default": False}
_NONE = {"show_default": False}

_NEEDED = "--protocol, --state, --in, --out and --amount"


@contextmanager
def _without_collections() -> Iterator[None]:
    """Collect no garbage meanwhile, nor at the end of the process.

    Nearly all that a quote allocates are modules, and they live as long as the process. To look
    through them again and again while they are loaded, and once more when the process ends and
    takes all memory with it, is a quarter of its time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_without_collections()
def quote(
    *,
    protocol: Annotated[
        str, Parameter(help="The pool's protocol, such as uniswap_v3.", **_NONE)
    ] = "",
    state: Annotated[Path | None, Parameter(help="JSON file with the pool's state.")] = None,
    token_in: Annotated[
        str, Parameter(name="--in", help="Address of the token given.", **_NONE)
    ] = "",
    token_out: Annotated[
        str, Parameter(name="--out", help="Address of the token got.", **_NONE)
    ] = "",
    amount: Annotated[str, Parameter(help="Smallest units of the token given.", **_NONE)] = "",
    exact_out: Annotated[bool, Parameter(help="Take the amount as what is got.", **_OFF)] = False,
    block: Annotated[int | None, Parameter(help="Number of the block it is for.")] = None,
    timestamp: Annotated[
        int | None, Parameter(help="Time of that block; now if not given.")
    ] = None,
    describe: Annotated[bool, Parameter(help="Say what a state file holds.", **_OFF)] = False,
    json: Annotated[bool, Parameter(name="--json", help="One JSON document.", **_OFF)] = False,
) -> int:
    """Quote an exact amount on a pool whose state lies in a file; no node is asked."""
    from searcher.domain.clock import SystemClock
    from searcher.domain.errors import ExitStatus, Misconfigured
    from searcher.kernels.refusal import SwapRefused
    from searcher.ops import quoting

    if describe:
        said = quoting.description(protocol) + "\n" if protocol else quoting.page()
        sys.stdout.write(said)
        return ExitStatus.OK
    given = {"protocol": protocol, "in": token_in, "out": token_out, "amount": amount}
    if missing := [f"--{name}" for name, value in given.items() if not value]:
        raise Misconfigured(f"{' and '.join(missing)} missing: a quote needs all of {_NEEDED}")
    if state is None:
        raise Misconfigured("no --state: name the JSON file, --describe says what it holds")
    asked = quoting.question(token_in, token_out, amount, exact_out=exact_out)
    pool = quoting.read_pool(protocol, state, SystemClock(), number=block, timestamp=timestamp)
    try:
        answer = quoting.ask(pool, asked)
    except SwapRefused as refusal:
        if json:
            sys.stdout.write(quoting.refused_json(protocol, pool, asked, refusal) + "\n")
        sys.stderr.write(f"refused, as the contract would: {refusal}\n")
        return ExitStatus.REFUSED
    tell = quoting.answer_json if json else quoting.answer_text
    sys.stdout.write(tell(protocol, pool, asked, answer) + "\n")
    return ExitStatus.OK
