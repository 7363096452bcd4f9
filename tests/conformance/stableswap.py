"""Stableswap contracts of our own, written from the rules of Curve's sources.

Curve publishes no bytecode in a package, so these stand in: the same integer steps in Vyper, whose
checked arithmetic is the originals'. They keep numbers only; no token moves.
"""

from __future__ import annotations

from searcher.kernels.reference.curve_stable import D_EACH_PLUS_ONE, D_PRODUCT, Rules
from tests.conformance.evm import vyper

_HEAD = """
# pragma version 0.4.3
N: constant(uint256) = {n}
PRECISION: constant(uint256) = 10 ** 18
FEE_UNIT: constant(uint256) = 10 ** 10
A_PRECISION: constant(uint256) = {a_precision}

event TokenExchange:
    buyer: indexed(address)
    sold_id: int128
    tokens_sold: uint256
    bought_id: int128
    tokens_bought: uint256

event AddLiquidity:
    provider: indexed(address)
    token_amounts: uint256[N]
    fees: uint256[N]
    invariant: uint256
    token_supply: uint256

event RemoveLiquidityOne:
    provider: indexed(address)
    token_amount: uint256
    coin_amount: uint256
    token_supply: uint256

event RampA:
    old_A: uint256
    new_A: uint256
    initial_time: uint256
    future_time: uint256

balances: public(uint256[N])
rates: uint256[N]
initial_A: public(uint256)
future_A: public(uint256)
initial_A_time: public(uint256)
future_A_time: public(uint256)
fee: public(uint256)
admin_fee: public(uint256)
offpeg_fee_multiplier: public(uint256)
totalSupply: public(uint256)

@external
def put(
    balances: uint256[N], rates: uint256[N], amp: uint256, fee: uint256, admin_fee: uint256,
    offpeg: uint256, supply: uint256
):
    self.balances = balances
    self.rates = rates
    self.initial_A = amp
    self.future_A = amp
    self.initial_A_time = 0
    self.future_A_time = 0
    self.fee = fee
    self.admin_fee = admin_fee
    self.offpeg_fee_multiplier = offpeg
    self.totalSupply = supply

@external
def ramp(amp: uint256, end: uint256):
    self.initial_A = self._A()
    self.future_A = amp
    self.initial_A_time = block.timestamp
    self.future_A_time = end
    log RampA(old_A=self.initial_A, new_A=amp, initial_time=block.timestamp, future_time=end)

@internal
@view
def _A() -> uint256:
    t1: uint256 = self.future_A_time
    a1: uint256 = self.future_A
    if block.timestamp < t1:
        a0: uint256 = self.initial_A
        t0: uint256 = self.initial_A_time
        if a1 > a0:
            return a0 + (a1 - a0) * (block.timestamp - t0) // (t1 - t0)
        return a0 - (a0 - a1) * (block.timestamp - t0) // (t1 - t0)
    return a1

@external
@view
def A_precise() -> uint256:
    return self._A()

@internal
@view
def _xp(balances: uint256[N]) -> uint256[N]:
    xp: uint256[N] = balances
    for k: uint256 in range(N):
        xp[k] = {scale_k}
    return xp

@internal
@pure
def _D(xp: uint256[N], amp: uint256) -> uint256:
    s: uint256 = 0
    for x: uint256 in xp:
        s += x
    if s == 0:
        return 0
    d: uint256 = s
    ann: uint256 = amp * N
    for r: uint256 in range(255):
        d_p: uint256 = d
        for x: uint256 in xp:
            d_p = d_p * d // {d_below}
        {d_after}
        previous: uint256 = d
        d = (ann * s // A_PRECISION + d_p * N) * d // (
            (ann - A_PRECISION) * d // A_PRECISION + (N + 1) * d_p
        )
        if d > previous:
            if d - previous <= 1:
                return d
        elif previous - d <= 1:
            return d
    {unsettled_d}

@internal
@pure
def _y(xp: uint256[N], j: uint256, amp: uint256, d: uint256) -> uint256:
    c: uint256 = d
    s: uint256 = 0
    ann: uint256 = amp * N
    for k: uint256 in range(N):
        if k != j:
            s += xp[k]
            c = c * d // (xp[k] * N)
    c = c * d * A_PRECISION // (ann * N)
    b: uint256 = s + d * A_PRECISION // ann
    y: uint256 = d
    for r: uint256 in range(255):
        previous: uint256 = y
        y = (y * y + c) // (2 * y + b - d)
        if y > previous:
            if y - previous <= 1:
                return y
        elif previous - y <= 1:
            return y
    {unsettled_y}

@internal
@view
def _dynamic(first: uint256, second: uint256, fee: uint256) -> uint256:
    m: uint256 = self.offpeg_fee_multiplier
    if m <= FEE_UNIT:
        return fee
    total: uint256 = first + second
    total *= total
    return m * fee // ((m - FEE_UNIT) * 4 * first * second // total + FEE_UNIT)

@internal
@view
def _unscaled(k: uint256, v: uint256) -> uint256:
    return {unscale}

@internal
@view
def _solved(i: uint256, j: uint256, dx: uint256) -> (uint256, uint256, uint256):
    assert i != j
    xp: uint256[N] = self._xp(self.balances)
    amp: uint256 = self._A()
    d: uint256 = self._D(xp, amp)
    x: uint256 = xp[i] + {scale_dx}
    after: uint256[N] = xp
    after[i] = x
    y: uint256 = self._y(after, j, amp, d)
    fee: uint256 = self.fee
    if self.offpeg_fee_multiplier != 0:
        fee = self._dynamic((xp[i] + x) // 2, (xp[j] + y) // 2, fee)
    return xp[j] - y, fee, x

@external
@view
def get_dy(i: int128, j: int128, dx: uint256) -> uint256:
    p: uint256 = convert(j, uint256)
    room: uint256 = 0
    fee: uint256 = 0
    x: uint256 = 0
    room, fee, x = self._solved(convert(i, uint256), p, dx)
    room -= {quote_less}
    {quote}

@external
def exchange(i: int128, j: int128, dx: uint256, min_dy: uint256) -> uint256:
    q: uint256 = convert(i, uint256)
    p: uint256 = convert(j, uint256)
    room: uint256 = 0
    fee: uint256 = 0
    x: uint256 = 0
    room, fee, x = self._solved(q, p, dx)
    room -= {exchange_less}
    dy_fee: uint256 = room * fee // FEE_UNIT
    dy: uint256 = self._unscaled(p, room - dy_fee)
    admin: uint256 = dy_fee * self.admin_fee // FEE_UNIT
    {store}
    log TokenExchange(
        buyer=msg.sender, sold_id=i, tokens_sold=dx, bought_id=j, tokens_bought=dy
    )
    return dy

@external
@view
def get_virtual_price() -> uint256:
    return self._D(self._xp(self.balances), self._A()) * PRECISION // self.totalSupply

@external
@view
def calc_token_amount(amounts: uint256[N], deposit: bool) -> uint256:
    amp: uint256 = self._A()
    new: uint256[N] = self.balances
    before: uint256 = self._D(self._xp(new), amp)
    for k: uint256 in range(N):
        if deposit:
            new[k] += amounts[k]
        else:
            new[k] -= amounts[k]
    after: uint256 = self._D(self._xp(new), amp)
    diff: uint256 = 0
    if deposit:
        diff = after - before
    else:
        diff = before - after
    return diff * self.totalSupply // before

@external
def add_liquidity(amounts: uint256[N], min_mint: uint256) -> uint256:
    amp: uint256 = self._A()
    old: uint256[N] = self.balances
    new: uint256[N] = old
    before: uint256 = self._D(self._xp(old), amp)
    for k: uint256 in range(N):
        new[k] += amounts[k]
    after: uint256 = self._D(self._xp(new), amp)
    assert after > before
    fees: uint256[N] = empty(uint256[N])
    fee: uint256 = self.fee * N // (4 * (N - 1))
    for k: uint256 in range(N):
        ideal: uint256 = after * old[k] // before
        difference: uint256 = 0
        if ideal > new[k]:
            difference = ideal - new[k]
        else:
            difference = new[k] - ideal
        rate: uint256 = fee
        if self.offpeg_fee_multiplier != 0:
            rate = self._dynamic(old[k] + new[k], (before + after) // N, fee)
        fees[k] = rate * difference // FEE_UNIT
        self.balances[k] = new[k] - fees[k] * self.admin_fee // FEE_UNIT
        new[k] -= fees[k]
    fair: uint256 = self._D(self._xp(new), amp)
    minted: uint256 = self.totalSupply * (fair - before) // before
    self.totalSupply += minted
    log AddLiquidity(
        provider=msg.sender, token_amounts=amounts, fees=fees, invariant=after,
        token_supply=self.totalSupply
    )
    return minted

@internal
@view
def _withdraw(burned: uint256, i: uint256) -> (uint256, uint256):
    amp: uint256 = self._A()
    xp: uint256[N] = self._xp(self.balances)
    before: uint256 = self._D(xp, amp)
    after: uint256 = before - burned * before // self.totalSupply
    left: uint256 = self._y(xp, i, amp, after)
    fee: uint256 = self.fee * N // (4 * (N - 1))
    reduced: uint256[N] = xp
    for k: uint256 in range(N):
        moved: uint256 = 0
        middle: uint256 = xp[k]
        if k == i:
            moved = xp[k] * after // before - left
            if self.offpeg_fee_multiplier != 0:
                middle = (xp[k] + left) // 2
        else:
            moved = xp[k] - xp[k] * after // before
        rate: uint256 = fee
        if self.offpeg_fee_multiplier != 0:
            rate = self._dynamic(middle, (before + after) // (2 * N), fee)
        reduced[k] -= rate * moved // FEE_UNIT
    dy: uint256 = self._unscaled(i, reduced[i] - self._y(reduced, i, amp, after) - 1)
    return dy, self._unscaled(i, xp[i] - left) - dy

@external
@view
def calc_withdraw_one_coin(burned: uint256, i: int128) -> uint256:
    dy: uint256 = 0
    fee: uint256 = 0
    dy, fee = self._withdraw(burned, convert(i, uint256))
    return dy

@external
def remove_liquidity_one_coin(burned: uint256, i: int128, min_dy: uint256) -> uint256:
    p: uint256 = convert(i, uint256)
    dy: uint256 = 0
    fee: uint256 = 0
    dy, fee = self._withdraw(burned, p)
    self.balances[p] -= dy + fee * self.admin_fee // FEE_UNIT
    self.totalSupply -= burned
    log RemoveLiquidityOne(
        provider=msg.sender, token_amount=burned, coin_amount=dy, token_supply=self.totalSupply
    )
    return dy
"""

_META = """
interface Base:
    def get_virtual_price() -> uint256: view
    def calc_token_amount(amounts: uint256[M], deposit: bool) -> uint256: view
    def calc_withdraw_one_coin(burned: uint256, i: int128) -> uint256: view
    def add_liquidity(amounts: uint256[M], min_mint: uint256) -> uint256: nonpayable
    def remove_liquidity_one_coin(burned: uint256, i: int128, min_dy: uint256) -> uint256: nonpayable
    def get_dy(i: int128, j: int128, dx: uint256) -> uint256: view
    def exchange(i: int128, j: int128, dx: uint256, min_dy: uint256) -> uint256: nonpayable
    def fee() -> uint256: view

M: constant(uint256) = {m}
base_pool: public(address)
base_virtual_price: public(uint256)
base_cache_updated: public(uint256)

@external
def found(base: address, price: uint256, updated: uint256):
    self.base_pool = base
    self.base_virtual_price = price
    self.base_cache_updated = updated
    self.rates[1] = self._price()

@internal
@view
def _price() -> uint256:
    if {fresh}:
        return staticcall Base(self.base_pool).get_virtual_price()
    return self.base_virtual_price

@external
def renew():
    self.rates[1] = self._price()

@external
@view
def get_dy_underlying(i: int128, j: int128, dx: uint256) -> uint256:
    base: Base = Base(self.base_pool)
    price: uint256 = self._price()
    xp: uint256[N] = self._xp(self.balances)
    precision: uint256 = self.rates[0] // PRECISION
    amp: uint256 = self._A()
    d: uint256 = self._D(xp, amp)
    if i > 0 and j > 0:
        return staticcall base.get_dy(i - 1, j - 1, dx)
    held: uint256 = 0
    y: uint256 = 0
    if i == 0:
        held = xp[1]
        xp[0] += dx * precision
        y = self._y(xp, 1, amp, d)
    else:
        held = xp[0]
        amounts: uint256[M] = empty(uint256[M])
        amounts[convert(i - 1, uint256)] = dx
        x: uint256 = staticcall base.calc_token_amount(amounts, True) * price // PRECISION
        x -= x * staticcall base.fee() // (2 * FEE_UNIT)
        xp[1] += x
        y = self._y(xp, 0, amp, d)
    dy: uint256 = held - y - 1
    dy -= self.fee * dy // FEE_UNIT
    if j == 0:
        return dy // precision
    return staticcall base.calc_withdraw_one_coin(dy * PRECISION // price, j - 1)

@external
def exchange_underlying(i: int128, j: int128, dx: uint256, min_dy: uint256) -> uint256:
    base: Base = Base(self.base_pool)
    price: uint256 = self._price()
    if i > 0 and j > 0:
        return extcall base.exchange(i - 1, j - 1, dx, min_dy)
    xp: uint256[N] = self._xp(self.balances)
    amp: uint256 = self._A()
    d: uint256 = self._D(xp, amp)
    held: uint256 = 0
    y: uint256 = 0
    place: uint256 = 0
    if i == 0:
        held = xp[1]
        place = 1
        xp[0] += dx * self.rates[0] // PRECISION
        y = self._y(xp, 1, amp, d)
    else:
        held = xp[0]
        amounts: uint256[M] = empty(uint256[M])
        amounts[convert(i - 1, uint256)] = dx
        minted: uint256 = extcall base.add_liquidity(amounts, 0)
        xp[1] += minted * price // PRECISION
        y = self._y(xp, 0, amp, d)
    dy: uint256 = held - y - 1
    dy = (dy - dy * self.fee // FEE_UNIT) * PRECISION // self.rates[place]
    if j == 0:
        return dy
    return extcall base.remove_liquidity_one_coin(dy, j - 1, 0)
"""

PUT = "put({0},{0},uint256,uint256,uint256,uint256,uint256)"


def plain(coins: int, rules: Rules) -> bytes:
    """Creation code of a plain pool that calculates by the given rules."""
    return vyper(_source(coins, rules))


def meta(base_coins: int, rules: Rules, *, caches: bool) -> bytes:
    """Creation code of a metapool on a base pool of so many coins."""
    fresh = "block.timestamp > self.base_cache_updated + 600" if caches else "True"
    return vyper(_source(2, rules) + _META.format(m=base_coins, fresh=fresh))


def put_signature(coins: int) -> str:
    """The signature of the function that sets all numbers of a pool."""
    return PUT.format(f"uint256[{coins}]")


def _source(coins: int, rules: Rules) -> str:
    by = rules.by_multiplier
    below = {D_PRODUCT: "x", D_EACH_PLUS_ONE: "(x * N + 1)"}.get(rules.d_form, "(x * N)")
    on_tokens = rules.quote_fee_on_tokens
    quote = (
        "dy: uint256 = self._unscaled(p, room)\n    return dy - fee * dy // FEE_UNIT"
        if on_tokens
        else "return self._unscaled(p, room - fee * room // FEE_UNIT)"
    )
    store = (
        "self.balances[q] = self._unscaled(q, x)\n"
        "    self.balances[p] = self._unscaled(\n"
        f"        p, self._xp(self.balances)[p] - room - {int(rules.exchange_less_one)}"
        " + dy_fee - admin\n    )"
        if rules.recomputes_balances
        else "self.balances[q] += dx\n"
        "    self.balances[p] = self.balances[p] - dy - self._unscaled(p, admin)"
    )
    return _HEAD.format(
        n=coins,
        a_precision=rules.a_precision,
        scale_k="xp[k] * (self.rates[k] // PRECISION)"
        if by
        else "self.rates[k] * xp[k] // PRECISION",
        scale_dx="dx * (self.rates[i] // PRECISION)" if by else "dx * self.rates[i] // PRECISION",
        unscale="v // (self.rates[k] // PRECISION)" if by else "v * PRECISION // self.rates[k]",
        d_below=below,
        d_after="d_p //= N ** N" if rules.d_form == D_PRODUCT else "pass",
        unsettled_d="raise" if rules.settles else "return d",
        unsettled_y="raise" if rules.settles else "return y",
        quote_less=int(rules.quote_less_one),
        exchange_less=int(rules.exchange_less_one),
        quote=quote,
        store=store,
    )
