"""The account of a run that is to be proved: RUN.json, read strictly.

    {"seed": 1, "chains": [{
      "name", "chain_id", "http_url": a node that answers for every block of the run,
      "executor", "operators": [address], "wrapped_native", "coinbase",
      "first_block", "last_block": the target blocks for which the daemon was live,
      "dexes": {name: {"protocol", "factory", "fee_pips": of a V2 DEX, "first_block"}},
      "tokens": {name: {"address"}}, "start_tokens": [name or address], "most_hops",
      "claims": [{"id", "target_block", "behind": [transaction hash], "gross_wei", "bid_wei",
                  "own_tx": hash or null, "sent", "outcome", "reason", "profit_wei"}],
      "private_txs": [hash], optional: other searchers' transactions that were never public,
      "relay_stats": [{"bundle_hash", "transactions": [hash], "fate",
                       "beaten_by": [bundle hash]}], optional: the relay's own account
    }]}

Amounts of wei are decimal strings. Further keys are passed over: what they say proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

OUTCOMES = frozenset({"landed", "not_landed", "rejected", "unresolved", "skipped"})
PROTOCOLS = frozenset({"uniswap_v2", "uniswap_v3"})


class Unreadable(Exception):
    """RUN.json is not what it must be; the message says where."""


@dataclass(frozen=True)
class Token:
    """A token of the run."""

    name: str
    address: str


@dataclass(frozen=True)
class Dex:
    """One factory; `fee_pips` counts for constant-product pools, others carry their own."""

    name: str
    protocol: str
    factory: str
    fee_pips: int
    first_block: int


@dataclass(frozen=True)
class Claim:
    """One opportunity as the daemon recorded it, with what it says became of it."""

    id: str
    target_block: int
    behind: tuple[str, ...]
    gross_wei: int
    bid_wei: int
    own_tx: str | None
    sent: bool
    outcome: str
    reason: str
    profit_wei: int


@dataclass(frozen=True)
class RelayRecord:
    """What the relay says became of one bundle; `beaten_by` are bundles it chose before it."""

    bundle_hash: str
    transactions: tuple[str, ...]
    fate: str
    beaten_by: tuple[str, ...]


@dataclass(frozen=True)
class ChainRun:
    """One chain of the run.

    The daemon was live for the target blocks `first_block..last_block`. `private_txs` are
    transactions that other searchers gave to the builder alone: nobody else could follow them.
    `relay_stats` may be empty; then a lost bundle's reason is read from the blocks alone.
    """

    name: str
    chain_id: int
    http_url: str
    executor: str
    operators: frozenset[str]
    wrapped_native: str
    coinbase: str
    first_block: int
    last_block: int
    dexes: tuple[Dex, ...]
    tokens: Mapping[str, Token]
    start_tokens: tuple[str, ...]
    most_hops: int
    private_txs: frozenset[str]
    relay_stats: tuple[RelayRecord, ...]
    claims: tuple[Claim, ...]


def read_run(raw: bytes) -> tuple[int, tuple[ChainRun, ...]]:
    """Read RUN.json: the seed and the chains. Raises Unreadable, naming the place."""
    try:
        document = orjson.loads(raw)
        seed = int(document["seed"])
        chains = document["chains"]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise Unreadable(
            f"The run needs a JSON object with 'seed' and 'chains': {error!r}."
        ) from error
    return seed, tuple(_chain(chain, i) for i, chain in enumerate(chains))


def _chain(raw: Mapping[str, Any], index: int) -> ChainRun:
    try:
        tokens = {
            str(t["address"]).lower(): Token(name, str(t["address"]).lower())
            for name, t in raw["tokens"].items()
        }
        by_name = {token.name: token.address for token in tokens.values()}
        first, last = _span(raw)
        return ChainRun(
            name=str(raw["name"]),
            chain_id=int(raw["chain_id"]),
            http_url=str(raw["http_url"]),
            executor=str(raw["executor"]).lower(),
            operators=frozenset(str(o).lower() for o in raw["operators"]),
            wrapped_native=str(raw["wrapped_native"]).lower(),
            coinbase=str(raw["coinbase"]).lower(),
            first_block=first,
            last_block=last,
            dexes=tuple(_dex(name, d) for name, d in raw["dexes"].items()),
            tokens=tokens,
            start_tokens=tuple(by_name.get(s) or _known(s, tokens) for s in raw["start_tokens"]),
            most_hops=int(raw["most_hops"]),
            private_txs=frozenset(str(h).lower() for h in raw.get("private_txs", ())),
            relay_stats=tuple(
                _record(r) for r in raw.get("relay_stats") or () if r["transactions"]
            ),
            claims=tuple(_claim(c) for c in raw["claims"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        name = raw.get("name", f"number {index}") if isinstance(raw, dict) else f"number {index}"
        raise Unreadable(f"Chain {name} of the run cannot be read: {error!r}.") from error


def _span(raw: Mapping[str, Any]) -> tuple[int, int]:
    first, last = int(raw["first_block"]), int(raw["last_block"])
    if not 1 <= first <= last:
        raise ValueError(f"first_block {first} and last_block {last} span no blocks")
    return first, last


def _known(address: str, tokens: Mapping[str, Token]) -> str:
    if address.lower() not in tokens:
        raise ValueError(f"start token '{address}' is not among the tokens")
    return address.lower()


def _dex(name: str, raw: Mapping[str, Any]) -> Dex:
    protocol = str(raw["protocol"])
    if protocol not in PROTOCOLS:
        raise ValueError(f"DEX {name} has protocol '{protocol}', which has no maths here")
    fee = raw["fee_pips"] if protocol == "uniswap_v2" else raw.get("fee_pips") or 0
    return Dex(name, protocol, str(raw["factory"]).lower(), int(fee), int(raw["first_block"]))


def _record(raw: Mapping[str, Any]) -> RelayRecord:
    return RelayRecord(
        bundle_hash=str(raw["bundle_hash"]).lower(),
        transactions=tuple(str(h).lower() for h in raw["transactions"]),
        fate=str(raw["fate"]),
        beaten_by=tuple(str(h).lower() for h in raw.get("beaten_by", ())),
    )


def _claim(raw: Mapping[str, Any]) -> Claim:
    outcome = str(raw["outcome"])
    if outcome not in OUTCOMES:
        raise ValueError(f"claim {raw['id']} has outcome '{outcome}'")
    own = raw["own_tx"]
    return Claim(
        id=str(raw["id"]),
        target_block=int(raw["target_block"]),
        behind=tuple(str(h).lower() for h in raw["behind"]),
        gross_wei=int(raw["gross_wei"]),
        bid_wei=int(raw["bid_wei"]),
        own_tx=str(own).lower() if own else None,
        sent=bool(raw["sent"]),
        outcome=outcome,
        reason=str(raw["reason"]),
        profit_wei=int(raw["profit_wei"]),
    )
