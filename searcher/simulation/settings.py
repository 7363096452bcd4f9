"""The knobs of simulation: the `[simulation]` table."""

from __future__ import annotations

from searcher.domain.settings import Settings, knob


class SimulationSettings(Settings):
    """Which backend proves plans and tokens."""

    backend: str = knob("eth_simulate", why="plug-in that executes; eth_simulate asks the node")
