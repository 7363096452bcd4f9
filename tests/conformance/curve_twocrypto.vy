# pragma version 0.4.3
# pragma evm-version cancun
# A double of Curve's two-coin crypto pool with its maths and views in one contract. It follows the
# published arithmetic operation by operation: what reverts there reverts here.

N: constant(uint256) = 2
WAD: constant(uint256) = 10**18
AMPLIFIER: constant(uint256) = 10000
MIN_A: constant(uint256) = 4 * AMPLIFIER // 10
CAP_V200: constant(uint256) = 2 * 10**15
CAP_V210: constant(uint256) = 199 * 10**15
CAP_LEGACY: constant(uint256) = 2 * 10**16
NARROWS: constant(uint256) = 2 * 10**16
CBRT_ONE: constant(uint256) = 115792089237316195423570985008687907853269

V200: constant(uint256) = 0
V210: constant(uint256) = 1
STABLE: constant(uint256) = 2
LEGACY: constant(uint256) = 3

event TokenExchange:
    buyer: indexed(address)
    sold_id: uint256
    tokens_sold: uint256
    bought_id: uint256
    tokens_bought: uint256
    fee: uint256
    packed_price_scale: uint256

maths: uint256
harmonic: bool
balances: public(uint256[N])
precisions: public(uint256[N])
price_scale: public(uint256)
A: public(uint256)
gamma: public(uint256)
D: public(uint256)
fees: uint256[3]
ramps: bool


@external
def set(
    maths: uint256, harmonic: bool, balances: uint256[N], precisions: uint256[N],
    price_scale: uint256, A: uint256, gamma: uint256, D: uint256, fees: uint256[3], ramps: bool
):
    self.maths = maths
    self.harmonic = harmonic
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
def get_dy(i: uint256, dx: uint256) -> uint256:
    assert dx > 0 or self.maths == LEGACY
    D: uint256 = self._live_D()
    held: uint256[N] = self.balances
    held[i] += dx
    xp: uint256[N] = self._xp(held)
    return self._dy(i, xp, D)[0]


@external
@view
def get_dx(i: uint256, dy: uint256) -> uint256:
    assert dy > 0
    j: uint256 = 1 - i
    D: uint256 = self._live_D()
    wanted: uint256 = dy
    dx: uint256 = 0
    for k: uint256 in range(5):
        held: uint256[N] = self.balances
        held[j] -= wanted
        xp: uint256[N] = self._xp(held)
        found: uint256 = self._get_y(xp, D, i)[0]
        dx = found - xp[i]
        xp[i] = found
        if i > 0:
            dx = dx * WAD // self.price_scale
        dx //= self.precisions[i]
        wanted = dy + self._fee(xp) * wanted // 10**10 + 1
    return dx


@external
def exchange(i: uint256, dx: uint256, new_price_scale: uint256) -> uint256:
    assert dx > 0
    # What a pool decides from its oracle, whether and where to move the price scale, is given here.
    if self.ramps:
        self.D = self._newton_D(self._xp(self.balances), 0)
    self.balances[i] += dx
    j: uint256 = 1 - i
    out: uint256[4] = self._dy(i, self._xp(self.balances), self.D)
    self.balances[j] -= out[0]
    xp: uint256[N] = self._xp(self.balances)
    self.D = self._newton_D(xp, out[2])
    if new_price_scale != self.price_scale:
        self.D = self._newton_D([xp[0], unsafe_div(xp[1] * new_price_scale, self.price_scale)], 0)
        self.price_scale = new_price_scale
    log TokenExchange(
        buyer=msg.sender, sold_id=i, tokens_sold=dx, bought_id=j, tokens_bought=out[0],
        fee=out[1], packed_price_scale=new_price_scale
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
    return [
        held[0] * self.precisions[0],
        held[1] * self.price_scale * self.precisions[1] // WAD,
    ]


@internal
@view
def _dy(i: uint256, given: uint256[N], D: uint256) -> uint256[4]:
    # Returns what is paid, the fee, and K0.
    xp: uint256[N] = given
    j: uint256 = 1 - i
    found: uint256[2] = self._get_y(xp, D, j)
    dy: uint256 = xp[j] - found[0] - 1
    xp[j] = found[0]
    if j > 0:
        dy = dy * WAD // self.price_scale
    dy //= self.precisions[j]
    fee: uint256 = self._fee(xp) * dy // 10**10
    return [dy - fee, fee, found[1], 0]


@internal
@view
def _fee(xp: uint256[N]) -> uint256:
    mid: uint256 = self.fees[0]
    far: uint256 = self.fees[1]
    bend: uint256 = self.fees[2]
    f: uint256 = xp[0] + xp[1]
    f = WAD * N**N * xp[0] // f * xp[1] // f
    if self.harmonic:
        f = bend * f // (unsafe_div(bend * f, WAD) + WAD - f)
    else:
        f = bend * WAD // (bend + WAD - f)
    return unsafe_div(mid * f + far * (WAD - f), WAD)


@internal
@view
def _check_A_gamma():
    most_a: uint256 = 4 * AMPLIFIER * 1000
    most_gamma: uint256 = CAP_V210
    if self.maths == V200:
        most_gamma = CAP_V200
    elif self.maths == LEGACY:
        most_gamma = CAP_LEGACY
        most_a = 4 * AMPLIFIER * 100000
    assert self.A > MIN_A - 1 and self.A < most_a + 1, "unsafe values A"
    assert self.gamma > 10**10 - 1 and self.gamma < most_gamma + 1, "unsafe values gamma"


@internal
@view
def _get_y(x: uint256[N], D: uint256, i: uint256) -> uint256[2]:
    if self.maths == STABLE:
        return [self._stable_y(x[1 - i], D), 0]
    self._check_A_gamma()
    assert D > 10**17 - 1 and D < 10**15 * 10**18 + 1, "unsafe values D"
    wide: uint256 = 100 * WAD
    if self.maths == V210 and self.gamma > NARROWS:
        wide = wide * NARROWS // self.gamma
    if self.maths == LEGACY:
        y: uint256 = self._newton_y(x[1 - i], D, wide)
        share: uint256 = y * WAD // D
        assert share > 10**16 - 1 and share < 10**20 + 1, "unsafe value for y"
        return [y, 0]
    solved: uint256[3] = self._cubic_y(x[1 - i], D, wide)
    if solved[2] == 1:
        return [self._newton_y(x[1 - i], D, wide), 0]
    frac: uint256 = unsafe_div(solved[0] * WAD, D)
    if self.maths == V200:
        assert frac >= 10**16 - 1 and frac < 10**20 + 1, "unsafe value for y"
    else:
        assert frac >= 10**36 // N // wide and frac <= wide // N, "unsafe value for y"
    return [solved[0], solved[1]]


@internal
@view
def _check_given(share: uint256, wide: uint256):
    if self.maths == V210:
        assert share >= 10**36 // wide and share <= wide, "unsafe values x[i]"
    else:
        assert share > 10**16 * N - 1 and share < 10**20 * N + 1, "unsafe values x[i]"


@internal
@view
def _cubic_y(given: uint256, unsigned_D: uint256, wide: uint256) -> uint256[3]:
    # Returns y, K0, and 1 where the cubic does not serve.
    ann: int256 = convert(self.A, int256)
    gamma: int256 = convert(self.gamma, int256)
    D: int256 = convert(unsigned_D, int256)
    x: int256 = convert(given, int256)
    gamma2: int256 = unsafe_mul(gamma, gamma)
    unused: int256 = D**2 // (x * 4)
    share: int256 = unsafe_div(2 * 10**18 * x, D)
    assert share >= 0
    self._check_given(convert(share, uint256), wide)

    ann_gamma2: int256 = ann * gamma2
    a: int256 = 10**32
    b: int256 = D * ann_gamma2 // 400000000 // x - 3 * 10**32 - unsafe_mul(unsafe_mul(2, gamma), 10**14)
    quarter: int256 = unsafe_div(unsafe_mul(4, ann_gamma2), 400000000)
    c: int256 = 3 * 10**32 + unsafe_mul(unsafe_mul(4, gamma), 10**14) + unsafe_div(gamma2, 10**4)
    c = c + unsafe_div(quarter * x, D) - quarter
    d: int256 = -unsafe_div(unsafe_add(10**18, gamma) ** 2, 10**4)
    delta0: int256 = 3 * a * c // b - b
    delta1: int256 = 3 * delta0 + b - 27 * a**2 // b * d // b

    least: int256 = min(min(abs(delta0), abs(delta1)), a)
    divider: int256 = 1
    if least > 10**20:
        divider = 10**2
    # From 10^24 on every second power of ten has its own divider, 10^18 below it.
    power: int256 = 10**24
    for k: uint256 in range(13):
        if least > power:
            divider = unsafe_div(power, 10**18)
        power = unsafe_mul(power, 100)

    a = unsafe_div(a, divider)
    b = unsafe_div(b, divider)
    c = unsafe_div(c, divider)
    d = unsafe_div(d, divider)
    delta0 = unsafe_div(unsafe_mul(unsafe_mul(3, a), c), b) - b
    delta1 = 3 * delta0 + b - unsafe_div(unsafe_mul(unsafe_div(unsafe_mul(27, a**2), b), d), b)
    under: int256 = delta1**2 + unsafe_mul(unsafe_div(4 * delta0**2, b), delta0)
    if under <= 0:
        return [0, 0, 1]
    root: int256 = convert(isqrt(convert(under, uint256)), int256)
    b_third: int256 = 0
    if b > 0:
        b_third = convert(self._cbrt(convert(b, uint256)), int256)
    else:
        b_third = -convert(self._cbrt(convert(-b, uint256)), int256)
    second: int256 = 0
    if delta1 > 0:
        second = convert(self._cbrt(convert(unsafe_add(delta1, root), uint256) // 2), int256)
    else:
        second = -convert(self._cbrt(convert(unsafe_sub(root, delta1), uint256) // 2), int256)
    c1: int256 = unsafe_div(unsafe_mul(unsafe_div(b_third**2, 10**18), second), 10**18)
    k0: int256 = unsafe_mul(10**18, c1) - unsafe_mul(10**18, b)
    k0 = (k0 - unsafe_mul(10**18, b) // c1 * delta0) // unsafe_mul(3, a)
    y: int256 = unsafe_div(unsafe_div(unsafe_mul(unsafe_div(D**2, x), k0), 4), 10**18)
    return [convert(y, uint256), convert(k0, uint256), 0]


@internal
@view
def _newton_y(x: uint256, D: uint256, wide: uint256) -> uint256:
    y: uint256 = D**2 // (x * 4)
    given: uint256 = 2 * WAD * x // D
    self._check_given(given, wide)
    tolerance: uint256 = max(max(x // 10**14, D // 10**14), 100)
    for k: uint256 in range(255):
        before: uint256 = y
        K0: uint256 = given * y * N // D
        S: uint256 = x + y
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
        moved: uint256 = max(y, before) - min(y, before)
        if moved < max(tolerance, y // 10**14):
            return y
    raise "Did not converge"


@internal
@view
def _stable_y(x: uint256, D: uint256) -> uint256:
    ann: uint256 = self.A * N
    c: uint256 = D * D // (x * N)
    c = c * D * AMPLIFIER // (ann * N)
    b: uint256 = x + D * AMPLIFIER // ann
    y: uint256 = D
    for k: uint256 in range(255):
        before: uint256 = y
        y = (y * y + c) // (2 * y + b - D)
        if max(y, before) - min(y, before) <= 1:
            return y
    raise "Did not converge"


@internal
@view
def _newton_D(unsorted: uint256[N], k0: uint256) -> uint256:
    if self.maths == STABLE:
        return self._stable_D(unsorted)
    self._check_A_gamma()
    x: uint256[N] = [max(unsorted[0], unsorted[1]), min(unsorted[0], unsorted[1])]
    assert x[0] > 10**9 - 1 and x[0] < 10**15 * 10**18 + 1, "unsafe values x[0]"
    assert unsafe_div(x[1] * WAD, x[0]) > 10**14 - 1, "unsafe values x[i] (input)"
    S: uint256 = x[0] + x[1]
    D: uint256 = 0
    if self.maths == LEGACY:
        D = N * self._legacy_mean(x)
    elif k0 == 0:
        D = N * isqrt(unsafe_mul(x[0], x[1]))
    else:
        D = isqrt(unsafe_mul(unsafe_div(unsafe_mul(unsafe_mul(4, x[0]), x[1]), k0), WAD))
        if S < D:
            D = S
    for k: uint256 in range(255):
        before: uint256 = D
        assert D > 0
        K0: uint256 = 4 * WAD * x[0] // D * x[1] // D
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
                if self.maths == V210:
                    assert frac > 10**16 // N - 1 and frac < 10**20 // N + 1, "unsafe values x[i]"
                elif self.maths == V200:
                    assert frac >= 10**16 - 1 and frac < 10**20 + 1, "unsafe values x[i]"
                else:
                    assert frac > 10**16 - 1 and frac < 10**20 + 1, "unsafe values x[i]"
            return D
    raise "Did not converge"


@internal
@pure
def _legacy_mean(x: uint256[N]) -> uint256:
    D: uint256 = x[0]
    for k: uint256 in range(255):
        before: uint256 = D
        D = (D + x[0] * x[1] // D) // N
        moved: uint256 = max(D, before) - min(D, before)
        if moved <= 1 or moved * WAD < D:
            return D
    raise "Did not converge"


@internal
@view
def _stable_D(x: uint256[N]) -> uint256:
    S: uint256 = x[0] + x[1]
    ann: uint256 = self.A * N
    if S == 0:
        return 0
    D: uint256 = S
    for k: uint256 in range(255):
        product: uint256 = D
        for balance: uint256 in x:
            product = product * D // balance
        product //= N**N
        before: uint256 = D
        D = (unsafe_div(ann * S, AMPLIFIER) + product * N) * D // (
            unsafe_div((ann - AMPLIFIER) * D, AMPLIFIER) + (N + 1) * product
        )
        if max(D, before) - min(D, before) <= 1:
            return D
    raise "Did not converge"


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
