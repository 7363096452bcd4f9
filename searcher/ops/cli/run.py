"""`searcher run`: the daemon."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter


def run(
    *,
    config: Annotated[
        str | None, Parameter(help="Folder of the configuration, or its main file.")
    ] = None,
    mode: Annotated[
        str | None, Parameter(help="observe, simulate or live; wins over the configuration.")
    ] = None,
    live: Annotated[
        bool, Parameter(help="Second switch of mode live: plans are really sent.", negative="")
    ] = False,
    set_: Annotated[
        tuple[str, ...],
        Parameter(name="--set", help="KEY=VALUE that wins over files and variables.", negative=""),
    ] = (),
) -> int:
    """Follow the configured chains until SIGINT or SIGTERM, and end with nothing unrecorded."""
    import uvloop

    from searcher.ops.config.model import load_config
    from searcher.ops.logging import configure
    from searcher.ops.process import follow, require_second_switch

    flags = (*set_, *((f"mode={mode}",) if mode else ()))
    loaded = load_config(config, flags=flags)
    require_second_switch(loaded.config.main.mode, live=live)
    configure(loaded.config.main.log, secrets=loaded.secrets)
    return uvloop.run(follow(loaded))
