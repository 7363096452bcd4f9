"""Random histories of pools: logs as contracts emit them, and some that no contract would.

What is true of a pool is what its protocol's own `apply` makes of the logs, one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from searcher.domain.events import Log
from searcher.kernels.reference.uniswap_v3 import MAX_TICK, sqrt_at_tick
from searcher.market.concentrated_pools import BURN, INITIALIZE, MINT
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import PROTOCOLS
from searcher.market.protocols.uniswap_v2 import SYNC

OWNER = "0x" + "11" * 32
MODULUS = 2**256


def word(value):
    return f"{(int(value, 16) if isinstance(value, str) else value) % MODULUS:064x}"


def data(*values):
    return "0x" + "".join(map(word, values))


def topics(signature, *values):
    return (signature, *("0x" + word(value) for value in values))


def protocol_of(name):
    kind = PROTOCOLS.load(name)
    return kind(kind.Config())


@dataclass
class Writer:
    """Writes the events of one pool, given what it holds."""

    protocol: Any
    address: str

    def write(self, rng, state):
        """Return an event that fits the state."""
        if self.protocol.hot.get(SYNC):
            return self._log((SYNC,), rng.randrange(1, 2**112), rng.randrange(1, 2**112))
        if not state.sqrt_price_x96:
            tick = rng.randrange(-600, 600)
            return self._log((INITIALIZE,), self._price(rng, tick), tick)
        kind = rng.random()
        if kind < 0.4 or not state.ticks:
            return self._mint(rng, state)
        if kind < 0.6:
            return self._burn(rng, state)
        return self._swap(rng, state)

    def spoil(self, rng, state):
        """Return an event that most likely does not fit, of one of many kinds."""
        log = self.write(rng, state)
        place = rng.randrange(0, (len(log.data) - 2) // 64)
        kinds = [
            (log.topics, log.data[:-2]),
            (log.topics, log.data + "00"),
            ((*log.topics, OWNER), log.data),
            (log.topics[:-1] or log.topics * 2, log.data),
            (log.topics, self._with_word(log.data, place, "zz" * 32)),
            (log.topics, self._with_word(log.data, place, "+" + "0" * 63)),
            (log.topics, self._with_word(log.data, place, "é" * 64)),
            (log.topics, self._with_word(log.data, place, word(-1))),
            (log.topics, self._with_word(log.data, place, word(2**112))),
            (log.topics, self._with_word(log.data, place, word(2**128))),
            (log.topics, self._with_word(log.data, place, word(rng.randrange(MODULUS)))),
            (log.topics, self._with_word(log.data, place, word(0))),
            (log.topics, self._with_word(log.data, place, word(1))),
        ]
        if len(log.topics) == 4:
            lower, upper = (int(topic, 16) for topic in log.topics[2:])
            pairs = (
                (upper, lower),
                (lower, lower),
                (lower + 1, upper),
                (2**23, upper),
                (MAX_TICK + 1, MAX_TICK + 2),
                (-MAX_TICK - 1, upper),
                (lower, 2**255),
            )
            kinds += [(topics(log.topics[0], OWNER, *pair), log.data) for pair in pairs]
            kinds += [
                ((*log.topics[:2], log.topics[2][:-1], log.topics[3]), log.data),
                ((*log.topics[:3], "0x" + "gg" * 32), log.data),
                ((BURN, *log.topics[1:]), data(2**127, 1, 1)),
                ((MINT, *log.topics[1:]), data(OWNER, 2**128 - 1, 1, 1)),
            ]
        else:
            kinds += [((INITIALIZE,), data(2**96, 0)), ((INITIALIZE,), data(0, 0))]
        return Log(self.address, *rng.choice(kinds))

    def _log(self, of, *values):
        return Log(self.address, topics(*of), data(*values))

    def _mint(self, rng, state):
        lower, upper = self._range(rng, state)
        amount = rng.choice((0, 1, rng.randrange(1, 10**6), rng.randrange(1, 2**100)))
        return self._log((MINT, OWNER, lower, upper), OWNER, amount, 1, 1)

    def _burn(self, rng, state):
        """Take liquidity from between two ticks, as much as both hold, or less."""
        ticks = state.ticks
        low = rng.randrange(len(ticks))
        high = rng.randrange(len(ticks))
        if low == high:
            return self._log((BURN, OWNER, *self._range(rng, state)), 0, 1, 1)
        low, high = sorted((low, high))
        most = min(ticks[low].liquidity_gross, ticks[high].liquidity_gross)
        amount = rng.choice((most, rng.randrange(0, most + 1)))
        return self._log((BURN, OWNER, ticks[low].index, ticks[high].index), amount, 1, 1)

    def _swap(self, rng, state):
        near = [tick.index for tick in state.ticks] or [0]
        tick = rng.choice((*near, rng.choice(near) - 1, rng.randrange(-2000, 2000)))
        price = self._price(rng, tick)
        liquidity = state.ticks.depth_at(tick)
        more = [0] * (self.protocol.swap_words - 5)
        return self._log(
            (self.protocol.swap_topic, OWNER, OWNER), 1, -1, price, liquidity, tick, *more
        )

    def _range(self, rng, state):
        spacing = state.tick_spacing
        lower, upper = sorted(rng.sample(range(-12, 13), 2))
        return lower * spacing, upper * spacing

    def _price(self, rng, tick):
        low, high = sqrt_at_tick(tick), sqrt_at_tick(tick + 1)
        return rng.choice((low, high, rng.randrange(low, high)))

    def _with_word(self, text, place, digits):
        begin = 2 + 64 * place
        return text[:begin] + digits + text[begin + 64 :]


def followed(protocol, state, log):
    """Return the state behind a log, and why it does not fit, if it does not."""
    try:
        return protocol.apply(state, log), ""
    except MalformedLog as error:
        return state, str(error)
