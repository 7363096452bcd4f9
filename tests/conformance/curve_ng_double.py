"""The stand-in for Curve StableSwap-NG on a local EVM, stated from the references' pools."""

from __future__ import annotations

from pathlib import Path

from searcher.kernels.reference.curve_stable_ng import NgPool
from tests.conformance.evm import LocalEvm, Reverted, vyper

SOURCE = Path(__file__).with_name("curve_stable_ng.vy")

COINS = [f"0x{k:040x}" for k in range(1, 9)]

ARGUMENTS = {
    "settle": "(address[],uint256[],uint256[],uint256)",
    "set_base": "(address)",
    "set_rates": "(uint256[])",
    "set_new_fee": "(uint256,uint256)",
    "set_ramp": "(uint256,uint256,uint256,uint256)",
    "stop_ramp_A": "()",
    "A_precise": "()(uint256)",
    "get_balances": "()(uint256[])",
    "get_virtual_price": "()(uint256)",
    "totalSupply": "()(uint256)",
    "dynamic_fee": "(int128,int128)(uint256)",
    "get_dy": "(int128,int128,uint256)(uint256)",
    "get_dx": "(int128,int128,uint256)(uint256)",
    "calc_token_amount": "(uint256[],bool)(uint256)",
    "calc_withdraw_one_coin": "(uint256,int128)(uint256)",
    "exchange": "(int128,int128,uint256)(uint256)",
    "add_liquidity": "(uint256[])(uint256)",
    "remove_liquidity_one_coin": "(uint256,int128)(uint256)",
    "remove_liquidity_imbalance": "(uint256[])(uint256)",
    "remove_liquidity": "(uint256)",
}


class Double:
    """One deployed stand-in; `state` makes it any pool."""

    def __init__(self, evm=None):
        self.evm = evm or LocalEvm()
        self.address = self.evm.deploy(vyper(SOURCE.read_text()))

    def state(self, pool: NgPool, coins=None):
        coins = coins or COINS[: len(pool.balances)]
        self.send("settle", coins, pool.balances, pool.rates, pool.total_supply)
        self.send("set_new_fee", pool.fee, pool.offpeg_fee_multiplier)
        self.send("set_ramp", pool.amp, pool.amp, 0, 0)

    def call(self, name, *args):
        return self._first(self.evm.call(self.address, name + ARGUMENTS[name], *args))

    def send(self, name, *args):
        return self._first(self.evm.send(self.address, name + ARGUMENTS[name], *args))

    def answer(self, name, *args):
        """What a call returns, or None where it reverts."""
        try:
            return self.call(name, *args)
        except Reverted:
            return None

    @staticmethod
    def _first(results):
        return results[0] if results else None
