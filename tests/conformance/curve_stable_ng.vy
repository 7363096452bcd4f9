# pragma version 0.4.3
"""
@title A stand-in for the pools and views of Curve StableSwap-NG
@notice Written from the rules of the deployed contracts for these tests. It keeps their numbers,
        views, events and reverts, and moves no tokens: balances are what `settle` says.
"""

MOST: constant(uint256) = 8
WAD: constant(uint256) = 10 ** 18
FEE_UNIT: constant(uint256) = 10 ** 10
ADMIN_SHARE: constant(uint256) = 5 * 10 ** 9
A_UNIT: constant(uint256) = 100

event TokenExchange:
    buyer: indexed(address)
    sold_id: int128
    tokens_sold: uint256
    bought_id: int128
    tokens_bought: uint256

event AddLiquidity:
    provider: indexed(address)
    token_amounts: DynArray[uint256, MOST]
    fees: DynArray[uint256, MOST]
    invariant: uint256
    token_supply: uint256

event RemoveLiquidity:
    provider: indexed(address)
    token_amounts: DynArray[uint256, MOST]
    fees: DynArray[uint256, MOST]
    token_supply: uint256

event RemoveLiquidityOne:
    provider: indexed(address)
    token_id: int128
    token_amount: uint256
    coin_amount: uint256
    token_supply: uint256

event RemoveLiquidityImbalance:
    provider: indexed(address)
    token_amounts: DynArray[uint256, MOST]
    fees: DynArray[uint256, MOST]
    invariant: uint256
    token_supply: uint256

event RampA:
    old_A: uint256
    new_A: uint256
    initial_time: uint256
    future_time: uint256

event StopRampA:
    A: uint256
    t: uint256

event ApplyNewFee:
    fee: uint256
    offpeg_fee_multiplier: uint256

N_COINS: public(uint256)
BASE_POOL: public(address)
coins: public(DynArray[address, MOST])
held: DynArray[uint256, MOST]  # with the admin's share
admin_balances: public(DynArray[uint256, MOST])
rates: DynArray[uint256, MOST]
totalSupply: public(uint256)
fee: public(uint256)
offpeg_fee_multiplier: public(uint256)
initial_A: public(uint256)
future_A: public(uint256)
initial_A_time: public(uint256)
future_A_time: public(uint256)


# ---- what a test states


@external
def settle(
    coins: DynArray[address, MOST],
    balances: DynArray[uint256, MOST],
    rates: DynArray[uint256, MOST],
    supply: uint256,
):
    self.N_COINS = len(balances)
    self.coins = coins
    self.held = balances
    self.rates = rates
    self.totalSupply = supply
    self.admin_balances = []
    for _: uint256 in balances:
        self.admin_balances.append(0)


@external
def set_base(pool: address):
    self.BASE_POOL = pool


@external
def set_rates(rates: DynArray[uint256, MOST]):
    self.rates = rates


@external
def set_new_fee(fee: uint256, multiplier: uint256):
    self.fee = fee
    self.offpeg_fee_multiplier = multiplier
    log ApplyNewFee(fee=fee, offpeg_fee_multiplier=multiplier)


@external
def set_ramp(start: uint256, end: uint256, start_time: uint256, end_time: uint256):
    self.initial_A = start
    self.future_A = end
    self.initial_A_time = start_time
    self.future_A_time = end_time
    log RampA(old_A=start, new_A=end, initial_time=start_time, future_time=end_time)


@external
def stop_ramp_A():
    now: uint256 = self._precise_a()
    self.initial_A = now
    self.future_A = now
    self.initial_A_time = block.timestamp
    self.future_A_time = block.timestamp
    log StopRampA(A=now, t=block.timestamp)


# ---- parts


@view
@internal
def _precise_a() -> uint256:
    end: uint256 = self.future_A_time
    target: uint256 = self.future_A
    if block.timestamp >= end:
        return target
    begin: uint256 = self.initial_A_time
    origin: uint256 = self.initial_A
    if target > origin:
        return origin + (target - origin) * (block.timestamp - begin) // (end - begin)
    return origin - (origin - target) * (block.timestamp - begin) // (end - begin)


@view
@internal
def _coarse_a() -> uint256:
    return self._precise_a() // A_UNIT * A_UNIT


@view
@internal
def _net() -> DynArray[uint256, MOST]:
    net: DynArray[uint256, MOST] = []
    for k: uint256 in range(self.N_COINS, bound=MOST):
        net.append(self.held[k] - self.admin_balances[k])
    return net


@view
@internal
def _scale(balances: DynArray[uint256, MOST]) -> DynArray[uint256, MOST]:
    xp: DynArray[uint256, MOST] = []
    for k: uint256 in range(self.N_COINS, bound=MOST):
        xp.append(self.rates[k] * balances[k] // WAD)
    return xp


@pure
@internal
def _d(xp: DynArray[uint256, MOST], amp: uint256) -> uint256:
    n: uint256 = len(xp)
    sum: uint256 = 0
    for x: uint256 in xp:
        sum += x
    if sum == 0:
        return 0
    ann: uint256 = amp * n
    d: uint256 = sum
    for _: uint256 in range(255):
        p: uint256 = d
        for x: uint256 in xp:
            p = p * d // x
        p = p // pow_mod256(n, n)
        last: uint256 = d
        d = (ann * sum // A_UNIT + p * n) * d // ((ann - A_UNIT) * d // A_UNIT + (n + 1) * p)
        if max(d, last) - min(d, last) <= 1:
            return d
    raise "no D"


@pure
@internal
def _solve(
    xp: DynArray[uint256, MOST], amp: uint256, d: uint256, wanted: uint256, swapped: uint256, x: uint256
) -> uint256:
    # `swapped` is a coin whose balance becomes x, or MOST for none.
    n: uint256 = len(xp)
    ann: uint256 = amp * n
    sum: uint256 = 0
    c: uint256 = d
    for k: uint256 in range(n, bound=MOST):
        if k != wanted:
            value: uint256 = xp[k]
            if k == swapped:
                value = x
            sum += value
            c = c * d // (value * n)
    c = c * d * A_UNIT // (ann * n)
    b: uint256 = sum + d * A_UNIT // ann
    y: uint256 = d
    for _: uint256 in range(255):
        last: uint256 = y
        y = (y * y + c) // (2 * y + b - d)
        if max(y, last) - min(y, last) <= 1:
            return y
    raise "no y"


@view
@internal
def _rate_of_fee(a: uint256, b: uint256, fee: uint256) -> uint256:
    m: uint256 = self.offpeg_fee_multiplier
    if m <= FEE_UNIT:
        return fee
    square: uint256 = (a + b) ** 2
    return m * fee // ((m - FEE_UNIT) * 4 * a * b // square + FEE_UNIT)


@view
@internal
def _liquidity_fee() -> uint256:
    return self.fee * self.N_COINS // (4 * (self.N_COINS - 1))


@view
@internal
def _check(i: int128, j: int128):
    assert i != j
    assert 0 <= i and i < convert(self.N_COINS, int128)
    assert 0 <= j and j < convert(self.N_COINS, int128)


@pure
@internal
def _note(xp: DynArray[uint256, MOST], amp: uint256, d: uint256):
    # The pools write spot prices and D into their oracles after every change, and cap their width.
    n: uint256 = len(xp)
    dr: uint256 = d // pow_mod256(n, n)
    for x: uint256 in xp:
        dr = dr * d // x
    base: uint256 = amp * n * xp[0] // A_UNIT
    for k: uint256 in range(1, n, bound=MOST):
        price: uint256 = WAD * (base + dr * xp[0] // xp[k]) // (base + dr)
        assert min(price, 2 * WAD) < 2 ** 128
    assert d < 2 ** 128


# ---- views


@view
@external
def get_pool_asset_types(pool: address) -> DynArray[uint8, MOST]:
    # A factory's view: plain tokens all.
    types: DynArray[uint8, MOST] = []
    for _: address in self.coins:
        types.append(0)
    return types


@view
@external
def A() -> uint256:
    return self._precise_a() // A_UNIT


@view
@external
def A_precise() -> uint256:
    return self._precise_a()


@view
@external
def get_balances() -> DynArray[uint256, MOST]:
    return self._net()


@view
@external
def stored_rates() -> DynArray[uint256, MOST]:
    return self.rates


@view
@external
def D_ma_time() -> uint256:
    return 62324


@view
@external
def get_virtual_price() -> uint256:
    return self._d(self._scale(self._net()), self._precise_a()) * WAD // self.totalSupply


@view
@external
def dynamic_fee(i: int128, j: int128) -> uint256:
    xp: DynArray[uint256, MOST] = self._scale(self._net())
    return self._rate_of_fee(xp[i], xp[j], self.fee)


@view
@external
def get_dy(i: int128, j: int128, dx: uint256) -> uint256:
    self._check(i, j)
    xp: DynArray[uint256, MOST] = self._scale(self._net())
    amp: uint256 = self._coarse_a()
    d: uint256 = self._d(xp, amp)
    x: uint256 = xp[i] + dx * self.rates[i] // WAD
    y: uint256 = self._solve(xp, amp, d, convert(j, uint256), convert(i, uint256), x)
    dy: uint256 = xp[j] - y - 1
    cost: uint256 = self._rate_of_fee((xp[i] + x) // 2, (xp[j] + y) // 2, self.fee) * dy // FEE_UNIT
    return (dy - cost) * WAD // self.rates[j]


@view
@external
def get_dx(i: int128, j: int128, dy: uint256) -> uint256:
    self._check(i, j)
    xp: DynArray[uint256, MOST] = self._scale(self._net())
    amp: uint256 = self._coarse_a()
    d: uint256 = self._d(xp, amp)
    wanted: uint256 = dy * self.rates[j] // WAD + 1
    part: uint256 = FEE_UNIT - self._rate_of_fee(xp[i], xp[j], self.fee)
    y: uint256 = xp[j] - wanted * FEE_UNIT // part
    x: uint256 = self._solve(xp, amp, d, convert(i, uint256), convert(j, uint256), y)
    return (x - xp[i]) * WAD // self.rates[i]


@view
@external
def calc_token_amount(amounts: DynArray[uint256, MOST], is_deposit: bool) -> uint256:
    amp: uint256 = self._coarse_a()
    old: DynArray[uint256, MOST] = self._net()
    new: DynArray[uint256, MOST] = old
    for k: uint256 in range(self.N_COINS, bound=MOST):
        if is_deposit:
            new[k] += amounts[k]
        else:
            new[k] -= amounts[k]
    d0: uint256 = self._d(self._scale(old), amp)
    d1: uint256 = self._d(self._scale(new), amp)
    if self.totalSupply == 0:
        return d1
    fees: DynArray[uint256, MOST] = self._fees(old, new, d0, d1)
    for k: uint256 in range(self.N_COINS, bound=MOST):
        new[k] -= fees[k]
    d2: uint256 = self._d(self._scale(new), amp)
    change: uint256 = 0
    if is_deposit:
        change = d2 - d0
    else:
        change = d0 - d2
    return change * self.totalSupply // d0


@view
@external
def calc_withdraw_one_coin(burn: uint256, i: int128) -> uint256:
    dy: uint256 = 0
    cost: uint256 = 0
    d: uint256 = 0
    xp: DynArray[uint256, MOST] = []
    dy, cost, d, xp = self._one(burn, i)
    return dy


@view
@internal
def _fees(
    old: DynArray[uint256, MOST], new: DynArray[uint256, MOST], d0: uint256, d1: uint256
) -> DynArray[uint256, MOST]:
    share: uint256 = self._liquidity_fee()
    level: uint256 = (d0 + d1) // self.N_COINS
    fees: DynArray[uint256, MOST] = []
    for k: uint256 in range(self.N_COINS, bound=MOST):
        ideal: uint256 = d1 * old[k] // d0
        off: uint256 = max(ideal, new[k]) - min(ideal, new[k])
        both: uint256 = self.rates[k] * (old[k] + new[k]) // WAD
        fees.append(self._rate_of_fee(both, level, share) * off // FEE_UNIT)
    return fees


@view
@internal
def _one(burn: uint256, i: int128) -> (uint256, uint256, uint256, DynArray[uint256, MOST]):
    amp: uint256 = self._precise_a()
    at: uint256 = convert(i, uint256)
    assert at < self.N_COINS
    xp: DynArray[uint256, MOST] = self._scale(self._net())
    d0: uint256 = self._d(xp, amp)
    d1: uint256 = d0 - burn * d0 // self.totalSupply
    y: uint256 = self._solve(xp, amp, d1, at, MOST, 0)
    share: uint256 = self._liquidity_fee()
    level: uint256 = (d0 + d1) // (2 * self.N_COINS)
    less: DynArray[uint256, MOST] = xp
    for k: uint256 in range(self.N_COINS, bound=MOST):
        due: uint256 = 0
        middle: uint256 = xp[k]
        if k == at:
            due = xp[k] * d1 // d0 - y
            middle = (xp[k] + y) // 2
        else:
            due = xp[k] - xp[k] * d1 // d0
        less[k] = xp[k] - self._rate_of_fee(middle, level, share) * due // FEE_UNIT
    dy: uint256 = less[at] - self._solve(less, amp, d1, at, MOST, 0)
    free: uint256 = (xp[at] - y) * WAD // self.rates[at]
    dy = (dy - 1) * WAD // self.rates[at]
    xp[at] = y
    return dy, free - dy, d1, xp


# ---- changes


@external
def exchange(i: int128, j: int128, dx: uint256) -> uint256:
    self._check(i, j)
    assert dx > 0
    amp: uint256 = self._precise_a()
    xp: DynArray[uint256, MOST] = self._scale(self._net())
    x: uint256 = xp[i] + dx * self.rates[i] // WAD
    d: uint256 = self._d(xp, amp)
    y: uint256 = self._solve(xp, amp, d, convert(j, uint256), convert(i, uint256), x)
    gross: uint256 = xp[j] - y - 1
    cost: uint256 = gross * self._rate_of_fee((xp[i] + x) // 2, (xp[j] + y) // 2, self.fee) // FEE_UNIT
    dy: uint256 = (gross - cost) * WAD // self.rates[j]
    self.admin_balances[j] += cost * ADMIN_SHARE // FEE_UNIT * WAD // self.rates[j]
    xp[i] = x
    xp[j] = y
    self._note(xp, amp, d)
    self.held[i] += dx
    self.held[j] -= dy
    log TokenExchange(buyer=msg.sender, sold_id=i, tokens_sold=dx, bought_id=j, tokens_bought=dy)
    return dy


@external
def add_liquidity(amounts: DynArray[uint256, MOST]) -> uint256:
    amp: uint256 = self._precise_a()
    old: DynArray[uint256, MOST] = self._net()
    new: DynArray[uint256, MOST] = old
    d0: uint256 = self._d(self._scale(old), amp)
    for k: uint256 in range(self.N_COINS, bound=MOST):
        assert amounts[k] > 0 or self.totalSupply > 0
        new[k] += amounts[k]
        self.held[k] += amounts[k]
    d1: uint256 = self._d(self._scale(new), amp)
    assert d1 > d0
    fees: DynArray[uint256, MOST] = []
    minted: uint256 = d1
    if self.totalSupply > 0:
        fees = self._fees(old, new, d0, d1)
        for k: uint256 in range(self.N_COINS, bound=MOST):
            self.admin_balances[k] += fees[k] * ADMIN_SHARE // FEE_UNIT
            new[k] -= fees[k]
        d1 = self._d(self._scale(new), amp)
        minted = self.totalSupply * (d1 - d0) // d0
        self._note(self._scale(new), amp, d1)
    else:
        assert d1 < 2 ** 128
    self.totalSupply += minted
    log AddLiquidity(
        provider=msg.sender, token_amounts=amounts, fees=fees, invariant=d1, token_supply=self.totalSupply
    )
    return minted


@external
def remove_liquidity_one_coin(burn: uint256, i: int128) -> uint256:
    assert burn > 0
    dy: uint256 = 0
    cost: uint256 = 0
    d: uint256 = 0
    xp: DynArray[uint256, MOST] = []
    dy, cost, d, xp = self._one(burn, i)
    self.admin_balances[i] += cost * ADMIN_SHARE // FEE_UNIT
    self.totalSupply -= burn
    self.held[i] -= dy
    self._note(xp, self._precise_a(), d)
    log RemoveLiquidityOne(
        provider=msg.sender, token_id=i, token_amount=burn, coin_amount=dy, token_supply=self.totalSupply
    )
    return dy


@external
def remove_liquidity_imbalance(amounts: DynArray[uint256, MOST]) -> uint256:
    amp: uint256 = self._precise_a()
    old: DynArray[uint256, MOST] = self._net()
    new: DynArray[uint256, MOST] = old
    d0: uint256 = self._d(self._scale(old), amp)
    for k: uint256 in range(self.N_COINS, bound=MOST):
        new[k] -= amounts[k]
        self.held[k] -= amounts[k]
    d1: uint256 = self._d(self._scale(new), amp)
    fees: DynArray[uint256, MOST] = self._fees(old, new, d0, d1)
    for k: uint256 in range(self.N_COINS, bound=MOST):
        self.admin_balances[k] += fees[k] * ADMIN_SHARE // FEE_UNIT
        new[k] -= fees[k]
    d1 = self._d(self._scale(new), amp)
    self._note(self._scale(new), amp, d1)
    burnt: uint256 = (d0 - d1) * self.totalSupply // d0 + 1
    assert burnt > 1
    self.totalSupply -= burnt
    log RemoveLiquidityImbalance(
        provider=msg.sender, token_amounts=amounts, fees=fees, invariant=d1, token_supply=self.totalSupply
    )
    return burnt


@external
def remove_liquidity(burn: uint256):
    assert burn > 0
    net: DynArray[uint256, MOST] = self._net()
    out: DynArray[uint256, MOST] = []
    for k: uint256 in range(self.N_COINS, bound=MOST):
        out.append(net[k] * burn // self.totalSupply)
        self.held[k] -= out[k]
    self.totalSupply -= burn
    log RemoveLiquidity(provider=msg.sender, token_amounts=out, fees=[], token_supply=self.totalSupply)
    for k: uint256 in range(self.N_COINS, bound=MOST):
        self.held[k] -= self.admin_balances[k]
        self.admin_balances[k] = 0
