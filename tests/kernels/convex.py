"""The best joint trade by a general convex solver: a cone for each segment of each curve."""

from __future__ import annotations

import math

import clarabel
import numpy as np
from scipy import sparse

from tests.kernels.markets import segments


def best_value(market, rows, worth_wei, basket=None, *, scale):
    """What the best joint trade over some rows is worth, in wei, and what the solver says of it.

    Within a segment the output is `m x - d`, where the loss `d` against the first unit's rate obeys
    `d (1 + n x) >= m n x^2`: a rotated cone, whose figures are of the trade's size and not of the
    pool's. Both directions of a row may be used, and every token must balance.

    Args:
        market: a RandomMarket.
        rows: which.
        worth_wei: by token that may be kept, wei per unit.
        basket: by token, units that are there to be sold.
        scale: wei, of about what pools trade.
    """
    basket = basket or {}
    price = np.exp(market.log_value)
    kept = list(worth_wei)
    cones = []
    for row in rows:
        for side in range(2):
            token_in, token_out = market.tokens[row][side], market.tokens[row][1 - side]
            keep, parts = segments(market, 2 * row + side)
            for length, has, pays in parts:
                worth_in = has / keep * price[token_in] / scale
                first = pays * price[token_out] / scale / worth_in
                most = length / keep * price[token_in] / scale
                cones.append((token_in, token_out, first, 1 / worth_in, most))
    number = len(cones)
    columns = 2 * number + len(kept)
    balance = sparse.lil_matrix((len(price), columns))
    cone = sparse.lil_matrix((3 * number, columns))
    right = np.zeros(3 * number)
    for k, (token_in, token_out, first, bend, _) in enumerate(cones):
        balance[token_in, 2 * k] -= 1.0
        balance[token_out, 2 * k] += first
        balance[token_out, 2 * k + 1] -= 1.0
        # (1 + n x + d, 1 + n x - d, 2 sqrt(m n) x) in the second-order cone.
        cone[3 * k, 2 * k], cone[3 * k, 2 * k + 1], right[3 * k] = -bend, -1.0, 1.0
        cone[3 * k + 1, 2 * k], cone[3 * k + 1, 2 * k + 1], right[3 * k + 1] = -bend, 1.0, 1.0
        cone[3 * k + 2, 2 * k] = -2.0 * math.sqrt(first * bend)
    for k, token in enumerate(kept):
        balance[token, 2 * number + k] = -1.0
    limited = [k for k in range(number) if math.isfinite(cones[k][4])]
    upper = sparse.csr_matrix(
        (np.ones(len(limited)), (range(len(limited)), [2 * k for k in limited])),
        (len(limited), columns),
    )
    there = np.array([basket.get(t, 0) * price[t] / scale for t in range(len(price))])
    objective = np.zeros(columns)
    for k, token in enumerate(kept):
        objective[2 * number + k] = -worth_wei[token] / price[token]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-10
    settings.max_iter = 200
    # What the cones hold is the right side less the matrix: balances, bounds, then cones.
    solution = clarabel.DefaultSolver(
        sparse.csc_matrix((columns, columns)),
        objective,
        sparse.vstack((-balance, -sparse.identity(columns), upper, cone)).tocsc(),
        np.concatenate((there, np.zeros(columns), np.array([cones[k][4] for k in limited]), right)),
        [
            clarabel.NonnegativeConeT(len(price) + columns + len(limited)),
            *(clarabel.SecondOrderConeT(3) for _ in range(number)),
        ],
        settings,
    ).solve()
    return -solution.obj_val * scale, str(solution.status)
