"""Arbitrage on the state that a new block leaves behind."""

from __future__ import annotations

from collections.abc import Sequence

from searcher.opportunities.strategy import Candidate, Confirm, Route, Strategy, Trigger


class Arbitrage(Strategy):
    """Takes the cycles that pay on the last block's state, the best first, none sharing a pool.

    Cycles that share a pool exclude each other: the first to land changes what the second was
    proven on.
    """

    trigger = Trigger.BLOCK

    def choose(self, candidates: Sequence[Candidate], confirm: Confirm) -> list[Route]:
        """Choose greedily by value; routes come back with the greatest net first."""
        chosen: list[Route] = []
        taken: set[int] = set()
        for candidate in candidates:
            if len(chosen) == self.config.max_opportunities:
                break
            if not taken.isdisjoint(candidate.rows):
                continue
            route = confirm(candidate)
            if route is not None and taken.isdisjoint(route.rows):
                chosen.append(route)
                taken |= route.rows
        return sorted(chosen, key=lambda route: -route.net_wei)


PLUGIN = Arbitrage
