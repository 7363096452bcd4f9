"""`searcher dry-run`: the daemon on a fork of any node, which is read and never written to."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

from cyclopts import ArgumentCollection, Group, Parameter


def _check_one(given: ArgumentCollection) -> None:
    names = [argument.name for argument in given if argument.tokens]
    if len(names) > 1:
        raise ValueError(f"{' and '.join(names)} exclude each other")


_WHICH = Group("Blocks", validator=_check_one)


def _check_blocks(_: Any, value: str | None) -> None:
    if value is not None:
        match = re.fullmatch(r"(\d+):(\d+)", value)
        if match is None or int(match[1]) > int(match[2]):
            raise ValueError("write A:B, the first and the last block")


def dry_run(
    *,
    fork_url: Annotated[str, Parameter(help="A node's address, http:// or https://.")],
    block: Annotated[int | None, Parameter(group=_WHICH, help="Try this block alone.")] = None,
    blocks: Annotated[
        str | None,
        Parameter(group=_WHICH, validator=_check_blocks, help="Try the blocks from A to B: A:B."),
    ] = None,
    follow: Annotated[
        bool,
        Parameter(
            group=_WHICH,
            negative="",
            show_default=False,
            help="Follow the head until Ctrl-C; so it is without any of the three.",
        ),
    ] = False,
    strategy: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            show_default=False,
            help="A strategy file, or the name of a configured one; again for more. Left out: the "
            "configured ones.",
        ),
    ] = (),
    config: Annotated[
        str | None, Parameter(help="Folder of the configuration, or its main file.")
    ] = None,
    chain: Annotated[
        str | None, Parameter(help="Name of the chain file; left out, the one with the chain's id.")
    ] = None,
    set_: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            help="KEY=VALUE that wins over files and variables.",
            negative="",
            show_default=False,
        ),
    ] = (),
    json: Annotated[
        bool, Parameter(help="Print one JSON document.", negative="", show_default=False)
    ] = False,
) -> int:
    """Say what your strategies would have earned, without a key and without sending anything."""
    import uvloop
    from rich.console import Console

    from searcher.ops import dry_run_report, exact_json
    from searcher.ops.dry_run import DryRunRequest, run_dry_run
    from searcher.ops.logging import LogSettings, configure

    configure(LogSettings(level="warning"), secrets={fork_url})
    del follow  # it is what the absence of the two others means
    first, last = (int(each) for each in blocks.split(":")) if blocks else (block, block)
    request = DryRunRequest(
        fork_url=fork_url,
        first=first,
        last=last,
        config=config,
        chain=chain,
        strategies=strategy,
        flags=set_,
    )
    progress = Console(stderr=True)
    report, status = uvloop.run(run_dry_run(request, progress.print))
    if json:
        sys.stdout.write(exact_json.dumps(dry_run_report.record(report), pretty=True) + "\n")
    else:
        dry_run_report.show(report, Console())
    return status
