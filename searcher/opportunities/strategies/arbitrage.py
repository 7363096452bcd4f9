"""Arbitrage on the state that a new block leaves behind."""

from __future__ import annotations

from collections.abc import Sequence

from searcher.opportunities.choice import Option, choose
from searcher.opportunities.strategy import Candidate, Confirm, Route, Strategy, Trigger


class Arbitrage(Strategy):
    """Takes the cycles that together leave most on the last block's state, none sharing a pool.

    Cycles that share a pool exclude each other: the first to land changes what the second was
    proven on.
    """

    trigger = Trigger.BLOCK

    def choose(self, candidates: Sequence[Candidate], confirm: Confirm) -> list[Route]:
        """Choose the best set, again without what integers refuse; the greatest net first."""
        left = list(candidates)
        routes: dict[Candidate, Route] = {}
        while left:
            places = choose([Option(c.worth_wei, 0, c.rows) for c in left]).places
            places = places[: self.config.max_opportunities]
            refused = set()
            for place in places:
                route = routes.get(left[place]) or confirm(left[place])
                if route is None:
                    refused.add(place)
                else:
                    routes[left[place]] = route
            if not refused:
                return _apart([routes[left[place]] for place in places])
            left = [candidate for place, candidate in enumerate(left) if place not in refused]
        return []


def _apart(routes: Sequence[Route]) -> list[Route]:
    """Leave out what shares a pool after all, by its conversion or by another pair of a pool."""
    chosen = choose([Option(float(route.net_wei), 0, route.rows) for route in routes])
    return [routes[place] for place in chosen.places]


PLUGIN = Arbitrage
