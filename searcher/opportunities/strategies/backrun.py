"""Backrun: the cycle that a user's pending swap opens, taken after it in the same bundle."""

from __future__ import annotations

from collections.abc import Sequence

from searcher.opportunities.strategy import Candidate, Confirm, Route, Strategy, Trigger


class Backrun(Strategy):
    """Takes the one best cycle through the pools that a pending transaction changes.

    It runs after the transaction and changes nothing of what that one gets. A cycle that paid
    before is offered too when it pays behind the transaction: the block's arbitrage and this one
    exclude each other, and whichever lands voids the other.
    """

    trigger = Trigger.PENDING

    def choose(self, candidates: Sequence[Candidate], confirm: Confirm) -> list[Route]:
        """Choose the route with the greatest net among the most valuable candidates."""
        routes: list[Route] = []
        for candidate in candidates:
            # What is confirmed differs from the float by wei: nothing further down can be better.
            if routes and candidate.worth_wei < max(route.net_wei for route in routes):
                break
            route = confirm(candidate)
            if route is not None:
                routes.append(route)
        return sorted(routes, key=lambda route: -route.net_wei)[:1]


PLUGIN = Backrun
