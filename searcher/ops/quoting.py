"""Quotes for people: a pool's state from a file, and what its curve says of an amount."""

from __future__ import annotations

import inspect
import json
import sys
import types
import typing
from collections.abc import Collection, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple

from msgspec import Struct
from msgspec.structs import fields

from searcher.domain.clock import Clock
from searcher.domain.errors import Misconfigured
from searcher.domain.registry import did_you_mean
from searcher.domain.units import I256_BITS, U256_BITS, Address, address, checksum
from searcher.kernels.refusal import SwapRefused
from searcher.market.protocol import PROTOCOLS, Protocol, Quote, QuoteBlock
from searcher.market.state import MalformedState, state_from

NS_PER_S: Final = 1_000_000_000

_PREFACE: Final = """# Curves

What `searcher quote --describe` prints: every protocol, what of it is modelled, and the fields of a
state file. Integers are smallest units unless a field says otherwise, written as numbers, decimal
text or 0x hex. A file holds the fields alone, or `{"state": {...}, "block": {"number": ...,
"timestamp": ..., "volatile": {...}}}`. A quote is what the contract's own view answers; `realised`
is what a swap then moves, and differs where the contract rounds in another order. What the contract
would revert on is refused under a named status, with exit status 7."""


class Question(NamedTuple):
    """What is asked: an amount of `token_in` to give, or with `exact_out` of `token_out` to get."""

    token_in: Address
    token_out: Address
    amount: int
    exact_out: bool


class PoolFile(NamedTuple):
    """A pool as a file tells it, with the block that its quotes are for."""

    protocol: Protocol[Any]
    state: Struct
    block: QuoteBlock


class _Block(Struct, frozen=True):
    number: int = 0
    timestamp: int | None = None


def question(token_in: str, token_out: str, amount: str, *, exact_out: bool) -> Question:
    """Check what a person typed.

    Raises:
        Misconfigured: a token that is no address, or an amount that is no whole number.
    """
    try:
        tokens = address(token_in), address(token_out)
    except ValueError as error:
        raise Misconfigured(str(error)) from error
    return Question(*tokens, amount_of(amount), exact_out)


def amount_of(text: str) -> int:
    """Return an amount that a person typed, in smallest units.

    Raises:
        Misconfigured: it is no whole number, or none that a contract takes.
    """
    digits = text.replace("_", "")
    if not (digits.isascii() and digits.isdigit()):
        raise Misconfigured(
            f"an amount of {text!r}: write a whole number of smallest units, in digits"
        )
    whole = int(digits)
    if whole >= 1 << 256:
        raise Misconfigured(f"an amount of {text}: no contract takes more than 2^256 - 1")
    return whole


def read_pool(
    protocol: str, file: Path, clock: Clock, *, number: int | None, timestamp: int | None
) -> PoolFile:
    """Read a pool's state from a JSON file.

    The file holds the state's fields, or an object with `state` and `block` (number, timestamp,
    and values of volatile fields); what the caller gives wins. Without a timestamp the present
    time is taken.

    Raises:
        Misconfigured: an unknown protocol, an unreadable file, or a field that is not what it must
            be, with its path.
    """
    kind = PROTOCOLS.load(protocol)
    try:
        whole = _object(_load(file), "file")
        if "state" not in whole:
            whole = {"state": whole}
        _only(whole, {"state", "block"}, "file")
        around = _object(whole.get("block", {}), "block")
        moving = _object(around.get("volatile", {}), "block.volatile")
        _only(moving, kind.volatile, "block.volatile")
        named = state_from(_Block, {k: v for k, v in around.items() if k != "volatile"}, "block")
        state = state_from(kind.State, {**_object(whole["state"], "state"), **moving})
    except MalformedState as error:
        raise Misconfigured(f"{file}: {error}") from error
    if timestamp is None:
        timestamp = named.timestamp
    if timestamp is None:
        timestamp = clock.wall_ns() // NS_PER_S
    if number is None:
        number = named.number
    # No quote depends on a setting: the defaults as declared spare the making of their validator.
    return PoolFile(kind(kind.Config.model_construct()), state, QuoteBlock(number, timestamp))


def ask(pool: PoolFile, asked: Question) -> Quote:
    """Return what the pool's curve says.

    Raises:
        SwapRefused: the contract would revert, or not take the whole amount.
    """
    quote = pool.protocol.quote_exact_out if asked.exact_out else pool.protocol.quote_exact_in
    return quote(pool.state, pool.block, asked.token_in, asked.token_out, asked.amount)


def answer_text(protocol: str, pool: PoolFile, asked: Question, answer: Quote) -> str:
    """Return a quote in words."""
    given, got = (answer.amount, asked.amount) if asked.exact_out else (asked.amount, answer.amount)
    lines = [
        f"{given} of {checksum(asked.token_in)}",
        f"gives {got} of {checksum(asked.token_out)}",
        f"on {protocol} in block {pool.block.number} at {pool.block.timestamp} s",
    ]
    if answer.crossings:
        lines.append(f"crossing {answer.crossings} ticks or bins")
    if answer.realised != answer.amount:
        lines.append(f"a swap then moves {answer.realised}: its contract rounds in another order")
    return "\n".join(lines)


def answer_json(protocol: str, pool: PoolFile, asked: Question, answer: Quote) -> str:
    """Return a quote as a JSON object, amounts as decimal strings."""
    return json.dumps(
        {
            **_asked(protocol, pool, asked),
            "quote": str(answer.amount),
            "realised": str(answer.realised),
            "crossings": answer.crossings,
        }
    )


def refused_json(protocol: str, pool: PoolFile, asked: Question, refusal: SwapRefused) -> str:
    """Return a refusal as a JSON object, with what the pool would do in part, if it would."""
    part = {"taken": refusal.taken, "given": refusal.given}
    return json.dumps(
        {
            **_asked(protocol, pool, asked),
            "refused": refusal.status.name,
            "why": refusal.why,
            **{name: str(amount) for name, amount in part.items() if amount is not None},
        }
    )


def _asked(protocol: str, pool: PoolFile, asked: Question) -> dict[str, Any]:
    return {
        "protocol": protocol,
        "in": asked.token_in,
        "out": asked.token_out,
        "kind": "exact_out" if asked.exact_out else "exact_in",
        "amount": str(asked.amount),
        "block": {"number": pool.block.number, "timestamp": pool.block.timestamp},
    }


def description(protocol: str) -> str:
    """Return what a state file of a protocol holds: what its fields mean, and which there are.

    Raises:
        Misconfigured: an unknown protocol.
    """
    kind = PROTOCOLS.load(protocol)
    lines = [inspect.cleandoc(kind.State.__doc__ or ""), ""]
    lines += _fields(kind.State, "")
    if kind.volatile:
        lines += ["", f"Moves without events: {', '.join(sorted(kind.volatile))}."]
    return "\n".join(lines)


def page() -> str:
    """Return docs/curves.md: every protocol, what it models, and what its state file holds."""
    parts = [_PREFACE]
    for name in PROTOCOLS.names():
        kind = PROTOCOLS.load(name)
        module = inspect.cleandoc(sys.modules[kind.__module__].__doc__ or "")
        parts.append(f"## {name}\n\n{module}\n\n```text\n{description(name)}\n```")
    return "\n\n".join(parts) + "\n"


def _fields(kind: type[Struct], indent: str) -> list[str]:
    hints = typing.get_type_hints(kind, include_extras=True)
    lines = []
    for field in fields(kind):
        name, inner = _kind_name(hints[field.name])
        default = "" if field.required else ", optional"
        lines.append(f"{indent}{field.name}: {name}{default}")
        if inner is not None:
            lines += _fields(inner, indent + "  ")
    return lines


def _kind_name(hint: Any) -> tuple[str, type[Struct] | None]:
    """Return how a person calls a field's type, and the struct inside it, if there is one."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return {U256_BITS: "uint256", I256_BITS: "int256"}.get(args[1], "value"), None
    if origin is tuple:
        name, inner = _kind_name(args[0])
        many = "list" if args[1:] == (Ellipsis,) else f"list of {len(args)}"
        return f"{many} of {name}", inner
    if origin in {typing.Union, types.UnionType}:
        return _kind_name(next(a for a in args if a is not types.NoneType))
    if isinstance(hint, type) and issubclass(hint, Struct):
        return "object", hint
    if isinstance(hint, type) and issubclass(hint, Enum):
        return " | ".join(str(member.value) for member in hint), None
    return str(getattr(hint, "__name__", hint)).lower(), None


def _load(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"), parse_float=_no_float)
    except OSError as error:
        raise Misconfigured(f"{file} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Misconfigured(f"{file} is not JSON: {error}") from error


def _no_float(text: str) -> str:
    """Keep a fraction as its text: no field takes it, and the error then shows what was written."""
    return text


def _object(raw: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        raise MalformedState(f"{path}: expected an object, found {raw!r}")
    return raw


def _only(raw: Mapping[str, Any], known: Collection[str], path: str) -> None:
    for name in raw:
        if name not in known:
            raise MalformedState(
                f"{path}.{name}: there is no such field: {did_you_mean(name, known)}"
            )
