"""`searcher config`: check, show and explain the configuration."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import App, Parameter

app = App(name="config", help="Check, show and explain the configuration.")

Chain = Annotated[str, Parameter(help="Chains to take instead of those that searcher.toml lists.")]
Location = Annotated[
    str | None, Parameter(name="--config", help="Folder of the configuration, or its main file.")
]
Flags = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set",
        help="KEY=VALUE that wins over files and variables.",
        negative="",
        show_default=False,
    ),
]
AsJson = Annotated[
    bool, Parameter(name="--json", help="One JSON document.", negative="", show_default=False)
]


@app.command
def check(*chains: Chain, config: Location = None, set_: Flags = (), json: AsJson = False) -> None:
    """Say whether the configuration is valid; tell every fault with its place and remedy."""
    from searcher.ops import exact_json
    from searcher.ops.config import model, report

    loaded = model.load_config(config, flags=set_, chains=chains)
    record = report.summary_record(loaded)
    _print(exact_json.dumps(record) if json else report.summary(loaded))


@app.command
def show(
    *chains: Chain,
    config: Location = None,
    set_: Flags = (),
    origin: Annotated[bool, Parameter(help="Say where values are from.", negative="")] = False,
    json: AsJson = False,
) -> None:
    """Show every value in force; what references name is not shown."""
    from searcher.ops import exact_json
    from searcher.ops.config import model, report

    loaded = model.load_config(config, flags=set_, chains=chains)
    if json:
        _print(exact_json.dumps(report.records(loaded), pretty=True))
    else:
        _print(report.listing(loaded, origin=origin))


@app.command
def explain(
    key: Annotated[str, Parameter(help="A key, or the end of one: node.http_url, max_inflight.")],
) -> None:
    """Say what a key means: unit, range, default, and when a change takes effect."""
    from searcher.ops.config import report

    _print(report.explanation(key))


@app.command
def reference() -> None:
    """Print the page of all keys, docs/configuration.md."""
    from searcher.ops.config import report

    sys.stdout.write(report.reference())


@app.command
def template(
    file: Annotated[str, Parameter(help="risk, or strategies.NAME.")],
) -> None:
    """Print a file with every knob, its meaning and its default."""
    from searcher.ops.config import model, pages

    sys.stdout.write(pages.template(file, model.file_settings(file)))


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
