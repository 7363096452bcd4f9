"""An Aave V3 market with Chainlink-style feeds, lenders and borrowers."""

from __future__ import annotations

from typing import Any, Final

from searcher.devnet.accounts import USERS, account
from searcher.devnet.artifacts import Artifacts, with_arguments
from searcher.devnet.deployer import Deployer
from searcher.devnet.deployment.tokens import UNLIMITED
from searcher.devnet.economy import LENT, TOKENS, token, units
from searcher.devnet.manifest import AaveEntry
from searcher.domain.units import ZERO_ADDRESS, Address

_RAY: Final = 10**27
_FEED_DECIMALS: Final = 8
_LIBRARIES: Final = (
    "SupplyLogic",
    "BorrowLogic",
    "EModeLogic",
    "LiquidationLogic",
    "BridgeLogic",
    "PoolLogic",
    "ConfiguratorLogic",
    "FlashLoanLogic",
)
_VARIABLE_RATE: Final = 2
_SUPPLY: Final = "supply(address,uint256,address,uint16)"
_BORROW: Final = "borrow(address,uint256,uint256,uint16,address)"
_INIT_RESERVES: Final = (
    "initReserves((address,address,address,uint8,address,address,address,address,"
    "string,string,string,string,string,string,bytes)[])"
)
# Rates in percent of a ray: optimal usage, base, slopes, stable slopes and offsets, stable share.
_RATES: Final = tuple(
    _RAY * bps // 10_000 for bps in (8000, 0, 400, 7500, 50, 7500, 100, 800, 2000)
)


class AaveMarket:
    """Deploys the market step by step; each step needs the ones before it to be mined.

    Args:
        deployer: who deploys, and is the market's administrator.
        artifacts: the contracts.
        tokens: addresses by symbol.
    """

    def __init__(
        self, deployer: Deployer, artifacts: Artifacts, tokens: dict[str, Address]
    ) -> None:
        self._deployer = deployer
        self._artifacts = artifacts
        self._tokens = tokens
        self._libraries: dict[str, Address] = {}
        self._feeds: dict[str, Address] = {}
        self._provider = self._oracle = self._data_provider = ZERO_ADDRESS
        self._pool = self._configurator = ZERO_ADDRESS

    def deploy(self) -> None:
        """Queue the libraries, the registry, the feeds and the implementations."""
        for name in _LIBRARIES:
            self._libraries[name] = self._create(name)
        me = self._deployer.address
        call = self._deployer.call
        self._provider = self._create(
            "PoolAddressesProvider", ["string", "address"], ["laboratory", me]
        )
        self._data_provider = self._beside_provider("AaveProtocolDataProvider")
        call(self._provider, "setPoolDataProvider(address)", self._data_provider)
        call(self._provider, "setACLAdmin(address)", me)
        roles = self._beside_provider("ACLManager")
        call(self._provider, "setACLManager(address)", roles)
        for role in ("addPoolAdmin", "addEmergencyAdmin", "addRiskAdmin", "addAssetListingAdmin"):
            call(roles, f"{role}(address)", me)
        for setter, name in (
            ("setPoolImpl", "Pool"),
            ("setPoolConfiguratorImpl", "PoolConfigurator"),
        ):
            implementation = self._beside_provider(name) if name == "Pool" else self._create(name)
            call(implementation, "initialize(address)", self._provider)
            call(self._provider, f"{setter}(address)", implementation, gas=2_000_000)
        self._deploy_oracle()

    async def list_reserves(self) -> None:
        """Queue the reserves and their rules."""
        ((pool,), (configurator,)) = await self._deployer.read(
            [(self._provider, "getPool()", ()), (self._provider, "getPoolConfigurator()", ())],
            "(address)",
        )
        self._pool, self._configurator = Address(pool), Address(configurator)
        # In the order of the struct's fields: aToken, stable debt, variable debt.
        debt = [
            self._create(name, ["address"], [self._pool])
            for name in ("AToken", "StableDebtToken", "VariableDebtToken")
        ]
        rates = self._create(
            "DefaultReserveInterestRateStrategy",
            ["address"] + ["uint256"] * len(_RATES),
            [self._provider, *_RATES],
        )
        reserves = [self._reserve(symbol, debt, rates) for symbol in LENT]
        for reserve in reserves:
            self._deployer.call(self._configurator, _INIT_RESERVES, [reserve], gas=6_000_000)
        for symbol in LENT:
            self._configure(self._tokens[symbol])
        self._deployer.call(self._configurator, "updateFlashloanPremiumTotal(uint128)", 5)

    def fill(self) -> AaveEntry:
        """Queue the lenders' deposits and the borrowers' loans, and return the market."""
        for symbol in LENT:
            self._supply(account("deployer"), symbol, 6_000_000)
        for number in range(USERS):
            # Loans from 60 % of the collateral up to just below what may be borrowed, 80 %.
            share = 60 + 19 * number // (USERS - 1)
            self._supply(account("user", number), "WETH", 60_000)
            self._deployer.call(
                self._pool,
                _BORROW,
                self._tokens["USDC"],
                units("USDC", 60_000 * share // 100),
                _VARIABLE_RATE,
                0,
                account("user", number).address,
                sender=account("user", number),
            )
        return AaveEntry(
            provider=self._provider,
            pool=self._pool,
            oracle=self._oracle,
            data_provider=self._data_provider,
            feeds=dict(self._feeds),
        )

    def _deploy_oracle(self) -> None:
        for spec in TOKENS:
            self._feeds[spec.symbol] = self._create(
                "MockV3Aggregator", ["uint8", "int256"], [_FEED_DECIMALS, spec.price_e8]
            )
        self._oracle = self._create(
            "AaveOracle",
            ["address", "address[]", "address[]", "address", "address", "uint256"],
            [
                self._provider,
                [self._tokens[symbol] for symbol in LENT],
                [self._feeds[symbol] for symbol in LENT],
                ZERO_ADDRESS,
                ZERO_ADDRESS,
                10**_FEED_DECIMALS,
            ],
        )
        self._deployer.call(self._provider, "setPriceOracle(address)", self._oracle)

    def _reserve(self, symbol: str, debt: list[Address], rates: Address) -> tuple[Any, ...]:
        names = [f"{prefix}{symbol}" for prefix in ("a", "v", "s") for _ in range(2)]
        return (
            *debt,
            token(symbol).decimals,
            rates,
            self._tokens[symbol],
            self._deployer.address,
            ZERO_ADDRESS,
            *names,
            b"",
        )

    def _configure(self, asset: Address) -> None:
        def call(signature: str, *values: Any) -> None:
            self._deployer.call(self._configurator, signature, asset, *values)

        call("configureReserveAsCollateral(address,uint256,uint256,uint256)", 8_000, 8_250, 10_500)
        call("setReserveBorrowing(address,bool)", True)
        call("setReserveFlashLoaning(address,bool)", True)
        call("setReserveFactor(address,uint256)", 1_000)
        call("setLiquidationProtocolFee(address,uint256)", 1_000)

    def _supply(self, lender: Any, symbol: str, usd: int) -> None:
        asset = self._tokens[symbol]
        self._deployer.call(asset, "approve(address,uint256)", self._pool, UNLIMITED, sender=lender)
        self._deployer.call(
            self._pool, _SUPPLY, asset, units(symbol, usd), lender.address, 0, sender=lender
        )

    def _beside_provider(self, name: str) -> Address:
        return self._create(name, ["address"], [self._provider])

    def _create(
        self, name: str, types: list[str] | None = None, values: list[Any] | None = None
    ) -> Address:
        code = self._artifacts.creation(name, self._libraries)
        return self._deployer.create(name, with_arguments(code, types or [], values or []))
