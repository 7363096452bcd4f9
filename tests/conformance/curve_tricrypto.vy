# pragma version 0.4.3
# pragma evm-version cancun
# A double of Curve's three-coin crypto pool with its maths and views in one contract. It follows
# the published arithmetic operation by operation: what reverts there reverts here.

N: constant(uint256) = 3
WAD: constant(uint256) = 10**18
AMPLIFIER: constant(uint256) = 10000
MIN_A: constant(uint256) = 27 * AMPLIFIER // 100
MAX_A: constant(uint256) = 27 * AMPLIFIER * 1000
MIN_GAMMA: constant(uint256) = 10**10
MAX_GAMMA: constant(uint256) = 5 * 10**16
CBRT_ONE: constant(uint256) = 115792089237316195423570985008687907853269

event TokenExchange:
    buyer: indexed(address)
    sold_id: uint256
    tokens_sold: uint256
    bought_id: uint256
    tokens_bought: uint256
    fee: uint256
    packed_price_scale: uint256

legacy: bool
balances: public(uint256[N])
precisions: public(uint256[N])
price_scale: public(uint256[2])
A: public(uint256)
gamma: public(uint256)
D: public(uint256)
fees: uint256[3]
ramps: bool


@external
def set(
    legacy: bool, balances: uint256[N], precisions: uint256[N], price_scale: uint256[2],
    A: uint256, gamma: uint256, D: uint256, fees: uint256[3], ramps: bool
):
    self.legacy = legacy
    self.balances = balances
    self.precisions = precisions
    self.price_scale = price_scale
    self.A = A
    self.gamma = gamma
    self.D = D
    self.fees = fees
    self.ramps = ramps


@external
@view
def get_dy(i: uint256, j: uint256, dx: uint256) -> uint256:
    assert dx > 0
    D: uint256 = self._live_D()
    held: uint256[N] = self.balances
    held[i] += dx
    return self._dy(j, self._xp(held), D)[0]


@external
@view
def get_dx(i: uint256, j: uint256, dy: uint256) -> uint256:
    assert dy > 0
    D: uint256 = self._live_D()
    wanted: uint256 = dy
    dx: uint256 = 0
    for k: uint256 in range(5):
        held: uint256[N] = self.balances
        held[j] -= wanted
        xp: uint256[N] = self._xp(held)
        found: uint256 = self._get_y(xp, D, i)[0]
        dx = self._real(found - xp[i], i)
        xp[i] = found
        wanted = dy + self._fee(xp) * wanted // 10**10 + 1
    return dx


@external
def exchange(i: uint256, j: uint256, dx: uint256, new_price_scale: uint256[2]) -> uint256:
    assert dx > 0
    # What a pool decides from its oracle, whether and where to move the price scale, is given here.
    if self.ramps:
        self.D = self._newton_D(self._xp(self.balances), 0)
    self.balances[i] += dx
    out: uint256[3] = self._dy(j, self._xp(self.balances), self.D)
    self.balances[j] -= out[0]
    xp: uint256[N] = self._xp(self.balances)
    self.D = self._newton_D(xp, out[2])
    old: uint256[2] = self.price_scale
    if new_price_scale[0] != old[0] or new_price_scale[1] != old[1]:
        for k: uint256 in range(2):
            xp[k + 1] = unsafe_div(xp[k + 1] * new_price_scale[k], old[k])
        self.D = self._newton_D(xp, 0)
        self.price_scale = new_price_scale
    log TokenExchange(
        buyer=msg.sender, sold_id=i, tokens_sold=dx, bought_id=j, tokens_bought=out[0],
        fee=out[1], packed_price_scale=new_price_scale[1] << 128 | new_price_scale[0]
    )
    return out[0]


@external
@view
def newton_D(x: uint256[N], k0: uint256) -> uint256:
    return self._newton_D(x, k0)


@external
@view
def get_y(x: uint256[N], i: uint256) -> uint256[2]:
    return self._get_y(x, self.D, i)


@internal
@view
def _live_D() -> uint256:
    if self.ramps:
        return self._newton_D(self._xp(self.balances), 0)
    return self.D


@internal
@view
def _xp(held: uint256[N]) -> uint256[N]:
    xp: uint256[N] = held
    xp[0] *= self.precisions[0]
    for k: uint256 in range(2):
        xp[k + 1] = xp[k + 1] * self.price_scale[k] * self.precisions[k + 1] // WAD
    return xp


@internal
@view
def _real(amount: uint256, k: uint256) -> uint256:
    real: uint256 = amount
    if k > 0:
        real = real * WAD // self.price_scale[k - 1]
    return real // self.precisions[k]


@internal
@view
def _dy(j: uint256, given: uint256[N], D: uint256) -> uint256[3]:
    # Returns what is paid, the fee, and K0.
    xp: uint256[N] = given
    found: uint256[2] = self._get_y(xp, D, j)
    dy: uint256 = self._real(xp[j] - found[0] - 1, j)
    xp[j] = found[0]
    fee: uint256 = self._fee(xp) * dy // 10**10
    return [dy - fee, fee, found[1]]


@internal
@view
def _fee(x: uint256[N]) -> uint256:
    bend: uint256 = self.fees[2]
    S: uint256 = x[0] + x[1] + x[2]
    f: uint256 = WAD * N * x[0] // S
    f = unsafe_div(f * N * x[1], S)
    f = unsafe_div(f * N * x[2], S)
    if bend > 0:
        f = bend * WAD // (bend + WAD - f)
    return unsafe_div(self.fees[0] * f + self.fees[1] * (WAD - f), WAD)


@internal
@view
def _get_y(x: uint256[N], D: uint256, i: uint256) -> uint256[2]:
    assert self.A > MIN_A - 1 and self.A < MAX_A + 1, "unsafe values A"
    assert self.gamma > MIN_GAMMA - 1 and self.gamma < MAX_GAMMA + 1, "unsafe values gamma"
    assert D > 10**17 - 1 and D < 10**15 * 10**18 + 1, "unsafe values D"
    j: uint256 = 0
    k: uint256 = 2
    if i == 0:
        j = 1
    if i == 2:
        k = 1
    for other: uint256 in [x[j], x[k]]:
        share: uint256 = other * WAD // D
        assert share > 10**16 - 1 and share < 10**20 + 1, "Unsafe values x[i]"
    if not self.legacy:
        solved: uint256[3] = self._cubic_y(x[j], x[k], D)
        if solved[2] == 0:
            frac: uint256 = unsafe_div(solved[0] * WAD, D)
            assert frac >= 10**16 - 1 and frac < 10**20 + 1, "Unsafe value for y"
            return [solved[0], solved[1]]
    return [self._newton_y(x[j], x[k], D), 0]


@internal
@view
def _cubic_y(first: uint256, second: uint256, unsigned_D: uint256) -> uint256[3]:
    # Returns y, K0, and 1 where the cubic does not serve.
    ann: int256 = convert(self.A, int256)
    gamma: int256 = convert(self.gamma, int256)
    D: int256 = convert(unsigned_D, int256)
    x_j: int256 = convert(first, int256)
    x_k: int256 = convert(second, int256)
    gamma2: int256 = unsafe_mul(gamma, gamma)
    amplifier: int256 = convert(AMPLIFIER, int256)
    a: int256 = 10**36 // 27
    pull: int256 = unsafe_mul(unsafe_div(unsafe_mul(D, D), x_j), gamma2) * ann
    pull = unsafe_div(unsafe_div(unsafe_div(pull, 27**2), amplifier), x_k)
    b: int256 = 10**36 // 9 + unsafe_div(unsafe_mul(2 * 10**18, gamma), 27) - pull
    push: int256 = unsafe_div(gamma2 * unsafe_sub(unsafe_add(x_j, x_k), D), D)
    push = unsafe_div(unsafe_div(unsafe_mul(push, ann), 27), amplifier)
    c: int256 = 10**36 // 9 + unsafe_div(unsafe_mul(gamma, unsafe_add(gamma, 4 * 10**18)), 27) + push
    d: int256 = unsafe_div(unsafe_add(10**18, gamma) ** 2, 27)

    size: int256 = abs(unsafe_mul(3, a) * c // b - b)
    divider: int256 = 1
    if size > 10**20:
        divider = 10**2
    # From 10^24 on every fourth power of ten has its own divider, 10^18 below it.
    power: int256 = 10**24
    for step: uint256 in range(7):
        if size > power:
            divider = unsafe_div(power, 10**18)
        power = unsafe_mul(power, 10**4)

    extra: int256 = 0
    if abs(a) > abs(b):
        extra = abs(unsafe_div(a, b))
        a = unsafe_div(unsafe_mul(a, extra), divider)
        b = unsafe_div(b * extra, divider)
        c = unsafe_div(c * extra, divider)
        d = unsafe_div(d * extra, divider)
    else:
        extra = abs(unsafe_div(b, a))
        a = unsafe_div(a // extra, divider)
        b = unsafe_div(unsafe_div(b, extra), divider)
        c = unsafe_div(unsafe_div(c, extra), divider)
        d = unsafe_div(unsafe_div(d, extra), divider)

    triple: int256 = unsafe_mul(3, a) * c
    delta0: int256 = unsafe_div(triple, b) - b
    delta1: int256 = unsafe_div(3 * triple, b) - unsafe_mul(2, b)
    delta1 = delta1 - unsafe_div(unsafe_div(27 * a**2, b) * d, b)
    under: int256 = delta1**2 + unsafe_div(4 * delta0**2, b) * delta0
    if under <= 0:
        return [0, 0, 1]
    root: int256 = convert(isqrt(convert(under, uint256)), int256)
    b_third: int256 = 0
    if b >= 0:
        b_third = convert(self._cbrt(convert(b, uint256)), int256)
    else:
        b_third = -convert(self._cbrt(convert(-b, uint256)), int256)
    other: int256 = 0
    if delta1 > 0:
        other = convert(self._cbrt(unsafe_div(convert(delta1 + root, uint256), 2)), int256)
    else:
        other = -convert(self._cbrt(unsafe_div(convert(-(delta1 - root), uint256), 2)), int256)
    c1: int256 = unsafe_div(unsafe_div(b_third * b_third, 10**18) * other, 10**18)
    k0: int256 = unsafe_div(b + b * delta0 // c1 - c1, 3)
    y: int256 = unsafe_div(unsafe_div(unsafe_div(D * D, 27), x_k) * D, x_j)
    y = unsafe_div(y * k0, a)
    return [convert(y, uint256), convert(unsafe_div(10**18 * k0, a), uint256), 0]


@internal
@view
def _newton_y(first: uint256, second: uint256, D: uint256) -> uint256:
    big: uint256 = max(first, second)
    small: uint256 = min(first, second)
    tolerance: uint256 = max(max(big // 10**14, D // 10**14), 100)
    y: uint256 = D // N
    y = y * D // (small * N)
    y = y * D // (big * N)
    given: uint256 = WAD * big * N // D
    given = given * small * N // D
    for k: uint256 in range(255):
        before: uint256 = y
        K0: uint256 = given * y * N // D
        S: uint256 = first + second + y
        gap: uint256 = self.gamma + WAD
        if gap > K0:
            gap = gap - K0 + 1
        else:
            gap = K0 - gap + 1
        mul1: uint256 = WAD * D // self.gamma * gap // self.gamma * gap * AMPLIFIER // self.A
        mul2: uint256 = WAD + 2 * WAD * K0 // gap
        prime: uint256 = WAD * y + S * mul2 + mul1
        if prime < D * mul2:
            y = before // 2
            continue
        prime -= D * mul2
        slope: uint256 = prime // y
        less: uint256 = mul1 // slope
        more: uint256 = (prime + WAD * D) // slope + less * WAD // K0
        less += WAD * S // slope
        if more < less:
            y = before // 2
        else:
            y = more - less
        if max(y, before) - min(y, before) < max(tolerance, y // 10**14):
            frac: uint256 = y * WAD // D
            assert frac > 10**16 - 1 and frac < 10**20 + 1, "Unsafe value for y"
            return y
    raise "Did not converge"


@internal
@view
def _newton_D(unsorted: uint256[N], k0: uint256) -> uint256:
    x: uint256[N] = self._sorted(unsorted)
    if self.legacy:
        return self._legacy_D(x)
    assert x[0] < max_value(uint256) // 10**18 * N**N and x[0] > 0
    S: uint256 = unsafe_add(unsafe_add(x[0], x[1]), x[2])
    D: uint256 = 0
    if k0 == 0:
        mean: uint256 = unsafe_div(unsafe_div(x[0] * x[1], WAD) * x[2], WAD)
        if mean > 0:
            mean = self._cbrt(mean)
        D = unsafe_mul(N, mean)
    elif S > 10**36:
        D = self._cbrt(unsafe_div(unsafe_div(x[0] * x[1], 10**36) * x[2], k0) * 27 * 10**12)
    elif S > 10**24:
        D = self._cbrt(unsafe_div(unsafe_div(x[0] * x[1], 10**24) * x[2], k0) * 27 * 10**6)
    else:
        D = self._cbrt(unsafe_div(unsafe_div(x[0] * x[1], 10**18) * x[2], k0) * 27)
    for k: uint256 in range(255):
        before: uint256 = D
        K0: uint256 = unsafe_div(unsafe_mul(unsafe_mul(WAD, x[0]), N), D)
        K0 = unsafe_div(unsafe_mul(unsafe_mul(K0, x[1]), N), D)
        K0 = unsafe_div(unsafe_mul(unsafe_mul(K0, x[2]), N), D)
        gap: uint256 = unsafe_add(self.gamma, WAD)
        if gap > K0:
            gap = unsafe_add(unsafe_sub(gap, K0), 1)
        else:
            gap = unsafe_add(unsafe_sub(K0, gap), 1)
        mul1: uint256 = unsafe_mul(unsafe_div(unsafe_mul(WAD, D), self.gamma), gap)
        mul1 = unsafe_mul(unsafe_mul(unsafe_div(mul1, self.gamma), gap), AMPLIFIER)
        mul1 = unsafe_div(mul1, self.A)
        mul2: uint256 = unsafe_div(unsafe_mul(2 * WAD * N, K0), gap)
        slope: uint256 = unsafe_add(S, unsafe_div(unsafe_mul(S, mul2), WAD))
        slope = unsafe_add(slope, unsafe_div(unsafe_mul(mul1, N), K0))
        slope = unsafe_sub(slope, unsafe_div(unsafe_mul(mul2, D), WAD))
        more: uint256 = unsafe_div(D * unsafe_add(slope, S), slope)
        less: uint256 = unsafe_div(D * D, slope)
        step: uint256 = unsafe_div(D * unsafe_div(mul1, slope), WAD)
        if WAD > K0:
            less += unsafe_div(unsafe_mul(step, unsafe_sub(WAD, K0)), K0)
        else:
            less -= unsafe_div(unsafe_mul(step, unsafe_sub(K0, WAD)), K0)
        if more > less:
            D = more - less
        else:
            D = (less - more) // 2
        if unsafe_mul(max(D, before) - min(D, before), 10**14) < max(10**16, D):
            for balance: uint256 in x:
                frac: uint256 = unsafe_div(unsafe_mul(balance, WAD), D)
                assert frac >= 10**16 - 1 and frac < 10**20 + 1, "Unsafe values x[i]"
            return D
    raise "Did not converge"


@internal
@view
def _legacy_D(x: uint256[N]) -> uint256:
    assert self.A > MIN_A - 1 and self.A < MAX_A + 1
    assert self.gamma > MIN_GAMMA - 1 and self.gamma < MAX_GAMMA + 1
    assert x[0] > 10**9 - 1 and x[0] < 10**15 * 10**18 + 1
    assert x[1] * WAD // x[0] > 10**11 - 1
    assert x[2] * WAD // x[0] > 10**11 - 1
    D: uint256 = x[0]
    settled: bool = False
    for k: uint256 in range(255):
        before: uint256 = D
        factor: uint256 = WAD
        for balance: uint256 in x:
            factor = factor * balance // D
        D = D * ((N - 1) * WAD + factor) // (N * WAD)
        moved: uint256 = max(D, before) - min(D, before)
        if moved <= 1 or moved * WAD < D:
            settled = True
            break
    assert settled, "Did not converge"
    D *= N
    S: uint256 = x[0] + x[1] + x[2]
    for k: uint256 in range(255):
        before: uint256 = D
        K0: uint256 = WAD
        for balance: uint256 in x:
            K0 = K0 * balance * N // D
        gap: uint256 = self.gamma + WAD
        if gap > K0:
            gap = gap - K0 + 1
        else:
            gap = K0 - gap + 1
        mul1: uint256 = WAD * D // self.gamma * gap // self.gamma * gap * AMPLIFIER // self.A
        mul2: uint256 = 2 * WAD * N * K0 // gap
        slope: uint256 = S + S * mul2 // WAD + mul1 * N // K0 - mul2 * D // WAD
        more: uint256 = D * (slope + S) // slope
        less: uint256 = D * D // slope
        if WAD > K0:
            less += D * (mul1 // slope) // WAD * (WAD - K0) // K0
        else:
            less -= D * (mul1 // slope) // WAD * (K0 - WAD) // K0
        if more > less:
            D = more - less
        else:
            D = (less - more) // 2
        if (max(D, before) - min(D, before)) * 10**14 < max(10**16, D):
            for balance: uint256 in x:
                frac: uint256 = balance * WAD // D
                assert frac > 10**16 - 1 and frac < 10**20 + 1
            return D
    raise "Did not converge"


@internal
@pure
def _sorted(unsorted: uint256[N]) -> uint256[N]:
    big: uint256 = max(max(unsorted[0], unsorted[1]), unsorted[2])
    small: uint256 = min(min(unsorted[0], unsorted[1]), unsorted[2])
    middle: uint256 = max(min(unsorted[0], unsorted[1]), min(max(unsorted[0], unsorted[1]), unsorted[2]))
    return [big, middle, small]


@internal
@pure
def _cbrt(x: uint256) -> uint256:
    xx: uint256 = unsafe_mul(x, 10**36)
    back: uint256 = 1
    if x >= CBRT_ONE * 10**18:
        xx = x
        back = 10**12
    elif x >= CBRT_ONE:
        xx = unsafe_mul(x, 10**18)
        back = 10**6
    log2: uint256 = 0
    rest: uint256 = xx
    for k: uint256 in range(8):
        half: uint256 = 128 >> k
        if rest >> half != 0:
            rest = rest >> half
            log2 = unsafe_add(log2, half)
    a: uint256 = unsafe_div(
        unsafe_mul(pow_mod256(2, log2 // 3), pow_mod256(1260, log2 % 3)), pow_mod256(1000, log2 % 3)
    )
    for k: uint256 in range(7):
        a = unsafe_div(unsafe_add(unsafe_mul(2, a), unsafe_div(xx, unsafe_mul(a, a))), 3)
    return unsafe_mul(a, back)
