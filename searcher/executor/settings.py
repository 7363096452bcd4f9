"""Which executor a chain uses."""

from __future__ import annotations

from searcher.domain.settings import AddressSetting, Settings, knob


class ExecutorSettings(Settings):
    """The deployed contract that carries out a chain's plans."""

    address: AddressSetting = knob(
        why="the executor contract on this chain; its code must be the one that this version built"
    )
