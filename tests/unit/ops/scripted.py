"""One chain's pipeline on a chain in memory: the market and the scanner are real.

What is scripted is what a test must hold still: when blocks and pending transactions come, what a
node answers besides the market's state, and when a simulation ends.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from searcher.chains.network import networks
from searcher.domain.clock import SystemClock
from searcher.domain.events import BlockApplied, BlockContext, ChainReorganised, Log, PendingTx
from searcher.domain.plan import Mode
from searcher.domain.ports import TokenProof
from searcher.domain.units import Address, Hash32, keccak256
from searcher.executor.encoder import decode
from searcher.opportunities.scanner import Scanner
from searcher.opportunities.settings import CycleSettings
from searcher.opportunities.strategy import STRATEGIES
from searcher.ops.pipeline import ChainPipeline, Sources
from searcher.simulation.simulator import Call, CallResult, Simulator
from tests.unit.market.world import CHAIN, DAI, USDC, WETH, World, make_market

E18 = 10**18
EXECUTOR = Address("0x" + "ec" * 20)
OPERATOR = Address("0x" + "bb" * 20)
COINBASE = Address("0x" + "c0" * 20)
BASE_FEE_WEI = 10**9


class HurriedClock(SystemClock):
    """Pauses hardly at all, and remembers what was asked for."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


class Script:
    """Blocks as a test hands them out; an exception in the script is raised where it stands."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self.begun = 0
        self.silent: list[Exception] = []

    def put(self, event: BlockApplied | ChainReorganised | Exception | None) -> None:
        self._events.put_nowait(event)

    async def latest(self) -> Any:
        if self.silent:
            raise self.silent.pop(0)
        return self._world.headers[-1]

    async def blocks(self, _after: Any = None) -> AsyncIterator[BlockApplied | ChainReorganised]:
        self.begun += 1
        while (event := await self._events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event


class ScriptedNode:
    """The world as a node, which also tells the transactions of blocks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.bodies: dict[Hash32, list[str]] = {}

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        if method == "eth_getBlockByHash":
            return {"transactions": self.bodies.get(params[0], [])}
        return await self._world.call(method, params)

    async def batch_settled(self, calls: Any) -> list[Any]:
        return await self._world.batch_settled(calls)


class ScriptedSimulator(Simulator):
    """Executes nothing: a plan gains exactly what it asks for, a user's swap leaves its logs.

    `gate` holds every simulation until it is set; `answer` replaces what our own call does.
    """

    name = "scripted"

    def __init__(self, node: Any, clock: SystemClock) -> None:
        super().__init__(self.Config(), rpc=node, clock=clock)
        self.effects_of: dict[bytes, tuple[Log, ...] | Exception] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.answer: Callable[[int], CallResult | Exception] = gained
        self.asked: Counter[str] = Counter()
        self.contexts: list[BlockContext] = []

    async def _execute(
        self, context: BlockContext, calls: Sequence[Call], *, validate: bool
    ) -> list[CallResult]:
        assert validate, "a plan and a user are executed under the rules of a real block"
        self.contexts.append(context)
        plan = calls[-1].to == EXECUTOR
        self.asked["plans" if plan else "users"] += 1
        await self.gate.wait()
        results = []
        for call in calls:
            if call.to == EXECUTOR:
                made: Any = self.answer(decode(call.data).least_profit_wei)
            else:
                made = self.effects_of[call.data]
                if not isinstance(made, Exception):
                    made = CallResult(True, 100_000, b"", made)
            if isinstance(made, Exception):
                raise made
            results.append(made)
        return results


def gained(wei: int) -> CallResult:
    return CallResult(True, 150_000, wei.to_bytes(32, "big"), ())


class SoundTokens:
    """Finds every token sound."""

    async def prove(self, tokens: Sequence[tuple[Address, Address]], _parent: Any) -> Any:
        return [TokenProof(token, sound=True, reason="") for token, _ in tokens]


class RecordingJournal:
    """Keeps what is written, by kind, in the order it came."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Any]] = []

    def __getattr__(self, kind: str) -> Any:
        async def write(value: Any) -> None:
            self.rows.append((kind, value))

        return write

    def of(self, kind: str) -> list[Any]:
        return [value for written, value in self.rows if written == kind]


class RecordingCarrier:
    """Takes every plan; remembers what it was told. `open` is what it says it still watches."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.open = 0
        self.refusal = ""
        self.fault: Exception | None = None
        self.closed = False

    async def begin(self, header: Any) -> None:
        self.told.append(("begin", header))

    async def on_block(self, block: BlockApplied) -> None:
        self.told.append(("block", block.header.number))

    async def settle(self, block: BlockApplied) -> None:
        self.told.append(("settle", block.header.number))

    async def on_reorganised(self, event: ChainReorganised) -> None:
        self.told.append(("reorganised", event.head.number))

    async def carry(self, plan: Any, _verdict: Any) -> str:
        if self.fault is not None:
            raise self.fault
        self.told.append(("carry", plan))
        return self.refusal

    def dropped(self, outcome: Any) -> None:
        self.told.append(("dropped", outcome))

    def watched(self) -> int:
        return self.open

    async def close(self) -> None:
        self.closed = True

    def of(self, kind: str) -> list[Any]:
        return [value for told, value in self.told if told == kind]


class Scene:
    """A pipeline, everything around it, and short ways to let something happen."""

    def __init__(self, *, mode: Mode = Mode.LIVE, chain: str = CHAIN, **fields: Any) -> None:
        self.world = World()
        for dex in ("v2", "fork"):
            self.world.create_v2(dex, WETH, DAI, 1000 * E18, 1000 * E18)
        self.world.create_v2("v2", WETH, USDC, 1000 * E18, 3 * 10**12)
        self.first_pool = next(iter(self.world.pools))
        self.world.seal()
        self.clock = HurriedClock()
        self.script = Script(self.world)
        self.node = ScriptedNode(self.world)
        self.simulator = ScriptedSimulator(self.node, self.clock)
        self.journal = RecordingJournal()
        self.carrier = RecordingCarrier()
        self.market = make_market()
        self.pending: asyncio.Queue[PendingTx] = asyncio.Queue()
        config = CycleSettings(least_profit_gwei=Decimal(1), gas_share_bps=10_000)
        strategies = [STRATEGIES.load(name)(config) for name in STRATEGIES.names()]
        rules = networks().load("ethereum")
        self.pipeline = ChainPipeline(
            chain=chain,
            mode=mode,
            sources=Sources(self.node, self.script, self._pending(), rules()),
            coinbase=COINBASE,
            block_time_ms=12_000,
            market=self.market,
            scanner=Scanner(self.market, strategies, clock=self.clock),
            simulator=self.simulator,
            prover=SoundTokens(),
            journal=self.journal,
            clock=self.clock,
            **({"carrier": self.carrier, "executor": EXECUTOR, "operator": OPERATOR} | fields),
        )

    async def _pending(self) -> AsyncIterator[PendingTx]:
        while True:
            yield await self.pending.get()

    def unbalance(self, amount: int = 30 * E18) -> None:
        """Let a swap part the prices of two pools, so that the next block opens an arbitrage."""
        self.world.swap(self.first_pool, amount, zero_for_one=True)

    def seal(self) -> BlockApplied:
        """Seal the world's block and hand it to the pipeline."""
        block = self.world.seal()
        self.script.put(block)
        return block

    def fork(self, number: int, *, too_deep: bool = False) -> tuple[ChainReorganised, BlockApplied]:
        """Replace the blocks above a height by another one, and tell the pipeline."""
        abandoned = self.world.head
        self.world.fork(number)
        shared = self.world.headers[-1]
        self.unbalance(20 * E18)
        block = self.world.seal()
        now_ns = self.clock.monotonic_ns()
        if too_deep:
            event = ChainReorganised(CHAIN, abandoned, block.header, now_ns)
        else:
            event = ChainReorganised(CHAIN, abandoned, shared, now_ns, shared.ref)
        self.script.put(event)
        if not too_deep:
            self.script.put(block)
        return event, block

    def user(self, n: int, *, amount: int = 30 * E18, **fields: Any) -> PendingTx:
        """A user's pending swap, which parts the prices when it is executed."""
        effects = self.world.pending(
            lambda: self.world.swap(self.first_pool, amount, zero_for_one=True)
        )
        data = n.to_bytes(4, "big")
        self.simulator.effects_of[data] = effects.logs
        made = replace(
            effects.tx,
            hash=Hash32("0x" + keccak256(data).hex()),
            data=data,
            nonce=n,
            gas=200_000,
            max_fee_wei=100 * BASE_FEE_WEI,
            max_priority_fee_wei=0,
            tx_type=0,
            received_ns=self.clock.monotonic_ns(),
        )
        return replace(made, **fields)

    def show(self, tx: PendingTx) -> None:
        self.pending.put_nowait(tx)

    def outcomes(self) -> list[str]:
        return [outcome.reason for outcome in self.journal.of("ended")]
