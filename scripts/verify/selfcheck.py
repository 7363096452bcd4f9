"""Our curves against the pools' own bytecode, on random pools, blocks and amounts.

A concentrated pool is asked by swapping from an account whose code, set for the one call, reverts
in the callback with the amounts. A constant-product pair is asked whether it lets our output go
for that input, and refuses one unit more. Neither needs a router or a quoter on the chain.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from verify.curves import MAX_SQRT_PRICE, MIN_SQRT_PRICE, Concentrated, Pool, State
from verify.history import History, richest
from verify.node import NOBODY, Node, NodeFault, calldata, signed, words

# The first word of its input is whom to call, the rest with what; it returns whatever comes back.
# Called back by a pool (selector fa461e33), it reverts with the two amounts that it was given.
ASKER_CODE = (
    "0x"
    "5f3560e01c63fa461e3314602a57"  # a callback? then go to the last line
    "6020360360205f37"  # copy all but the first word to memory
    "5f5f602036035f5f5f355af150"  # call the first word with it
    "3d5f5f3e3d5ff3"  # return what came back
    "5b604060045f3760405ffd"  # revert with the amounts
)


@dataclass(frozen=True)
class Question:
    """One quote to compare: an `amount` that `holder` could pay, on a pool's state at a block."""

    pool: Pool
    state: State
    block: int
    zero_for_one: bool
    amount: int
    holder: str

    @property
    def token(self) -> str:
        """The token that goes in."""
        return self.pool.token0 if self.zero_for_one else self.pool.token1

    @property
    def ours(self) -> int | None:
        """What our curve gives, None for nothing."""
        return self.state.quote(self.pool, self.zero_for_one, self.amount)


def self_check(node: Node, history: History, *, rounds: int, seed: int) -> tuple[int, list[str]]:
    """Compare `rounds` random quotes; returns how many were compared, and what differed."""
    chance = random.Random(seed)  # noqa: S311  (draws samples, guards nothing)
    checked, wrong = 0, []
    for _ in range(rounds):
        question = _drawn(node, history, chance)
        if question is None:
            continue
        asked = _concentrated if isinstance(question.state, Concentrated) else _pair
        fault = asked(node, question)
        checked += 1
        if fault:
            wrong.append(
                f"pool {question.pool.address} ({question.pool.dex}) at the end of block "
                f"{question.block} takes {question.amount} of {question.token} and {fault}, but "
                f"our curve says {question.ours}."
            )
    return checked, wrong


def _drawn(node: Node, history: History, chance: random.Random) -> Question | None:
    """Draw a question; None when the drawn pool is empty or nobody else holds its token."""
    block = chance.choice(sorted(history.at_end_of))
    states = history.at_end_of[block]
    zero_for_one = chance.random() < 0.5
    if not states:
        return None
    pool = history.pools[chance.choice(sorted(states))]
    token = pool.token0 if zero_for_one else pool.token1
    others = [p for p in history.pools.values() if p != pool]
    holder, held = richest(node, others, token, block)
    if held == 0:
        return None
    amount = max(1, int(held ** chance.random()))
    return Question(pool, states[pool.address], block, zero_for_one, amount, holder)


def _concentrated(node: Node, question: Question) -> str | None:
    limit = MIN_SQRT_PRICE + 1 if question.zero_for_one else MAX_SQRT_PRICE - 1
    swap = calldata(
        "swap(address,bool,int256,uint160,bytes)",
        *(int(NOBODY, 16), int(question.zero_for_one), question.amount, limit, 160, 0),
    )
    call = {"to": NOBODY, "data": f"0x{int(question.pool.address, 16):064x}{swap[2:]}"}
    answer = node.call("eth_call", call, hex(question.block), {NOBODY: {"code": ASKER_CODE}})
    amounts = [signed(word) for word in words(answer)]
    if len(amounts) != 2:
        return f"answers {answer}"
    taken, given = max(amounts), -min(amounts)
    theirs = given if taken == question.amount and given > 0 else None
    return None if theirs == question.ours else f"gives {given} for {taken}"


def _pair(node: Node, question: Question) -> str | None:
    ours, pair = question.ours or 0, question.pool.address
    pay = calldata("transfer(address,uint256)", int(pair, 16), question.amount)
    calls: list[dict[str, Any]] = [{"from": question.holder, "to": question.token, "data": pay}]
    for out in (ours + 1, ours)[: 2 if ours else 1]:
        sides = (0, out) if question.zero_for_one else (out, 0)
        taken = calldata("swap(uint256,uint256,address,bytes)", *sides, int(NOBODY, 16), 128, 0)
        calls.append({"from": NOBODY, "to": pair, "data": taken})
    payload = {"blockStateCalls": [{"calls": calls}], "validation": False}
    results = node.call("eth_simulateV1", payload, hex(question.block))[0]["calls"]
    paid, more, *exact = (int(result["status"], 16) == 1 for result in results)
    if not paid:
        raise NodeFault(f"{question.holder} could not pay {question.token} to test {pair}.")
    if more:
        return f"gives {ours + 1}"
    return None if all(exact) else "refuses what we say"
