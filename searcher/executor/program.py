"""The executor's program, as values and as bytes.

The byte layout is that of contracts/src/Executor.sol, which documents it; this module is its only
counterpart here. A program is a header, the tokens it pays beside wrapped native, and commands; the
commands of a flash swap or of a V3 swap run in its callback.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from msgspec import Struct

from searcher.domain.units import Address, Uint256, keccak256

SELECTOR: Final = keccak256(b"execute()")[:4]
BID_OFFSET: Final = 21
BID_SIZE: Final = 12

_LAST_BLOCK_SIZE: Final = 5
_LEAST_PROFIT_SIZE: Final = 12
_AMOUNT_SIZE: Final = 16
_LENGTH_SIZE: Final = 2
_ADDRESS_SIZE: Final = 20
_ZERO_FOR_ONE: Final = 0x80
_EXACT: Final = 0x80
_MOST_TOKENS: Final = 0x7F


class Receiver(IntEnum):
    """Who receives what a command moves."""

    EXECUTOR = 0
    CALLER = 1
    """The pool in whose callback the command stands."""
    NEXT = 2
    """The pool of the command that follows."""


class Pay(Struct, frozen=True, tag="pay"):
    """Send `amount` of token number `token`: 0 is wrapped native, n the n-th declared one."""

    receiver: Receiver
    token: int
    amount: Uint256


class SwapPair(Struct, frozen=True, tag="swap_pair"):
    """A Uniswap V2 swap whose input has already arrived at `pool`."""

    receiver: Receiver
    pool: Address
    zero_for_one: bool
    amount_out: Uint256


class FlashPair(Struct, frozen=True, tag="flash_pair"):
    """A Uniswap V2 swap that pays out first and is paid by `commands`, in its callback."""

    receiver: Receiver
    pool: Address
    zero_for_one: bool
    amount_out: Uint256
    commands: tuple[Command, ...]


class SwapPool(Struct, frozen=True, tag="swap_pool"):
    """An exact-input Uniswap V3 swap; `commands` run in its callback and pay it."""

    receiver: Receiver
    pool: Address
    zero_for_one: bool
    amount_in: Uint256
    commands: tuple[Command, ...]


Command = Pay | SwapPair | FlashPair | SwapPool


class Program(Struct, frozen=True):
    """All that a call of the executor says.

    With `exact` the gain must equal the least profit: a plan that meets another state than the one
    it was proved on reverts, even where it would gain more.
    """

    last_block: int
    least_profit_wei: Uint256
    bid_wei: Uint256
    exact: bool
    tokens: tuple[Address, ...]
    commands: tuple[Command, ...]


_PAY: Final = 1
_PAIR: Final = 2
_PAIR_FLASH: Final = 3
_POOL: Final = 4


def write(program: Program) -> bytes:
    """Return the calldata of a program.

    Raises:
        ValueError: a field does not fit its bytes.
    """
    if len(program.tokens) > _MOST_TOKENS:
        raise ValueError(f"a plan pays at most {_MOST_TOKENS} tokens, not {len(program.tokens)}")
    return b"".join(
        (
            SELECTOR,
            _unsigned(program.last_block, _LAST_BLOCK_SIZE, "last block"),
            _unsigned(program.least_profit_wei, _LEAST_PROFIT_SIZE, "least profit"),
            _unsigned(program.bid_wei, BID_SIZE, "bid"),
            bytes((len(program.tokens) | (_EXACT if program.exact else 0),)),
            *(bytes.fromhex(token[2:]) for token in program.tokens),
            _write_commands(program.commands),
        )
    )


def read(calldata: bytes) -> Program:
    """Read a program back from its calldata.

    Raises:
        ValueError: not a call of `execute`, or not a whole program.
    """
    reader = _Reader(calldata, 0, len(calldata))
    if reader.take(4) != SELECTOR:
        raise ValueError(f"not a call of execute(): its selector is 0x{calldata[:4].hex()}")
    last_block = reader.unsigned(_LAST_BLOCK_SIZE)
    least_profit_wei = reader.unsigned(_LEAST_PROFIT_SIZE)
    bid_wei = reader.unsigned(BID_SIZE)
    form = reader.unsigned(1)
    tokens = tuple(reader.address() for _ in range(form & _MOST_TOKENS))
    exact = bool(form & _EXACT)
    return Program(last_block, least_profit_wei, bid_wei, exact, tokens, _read_commands(reader))


def bid_bytes(bid_wei: int) -> bytes:
    """Return the bid word.

    Raises:
        ValueError: negative, or beyond 96 bits.
    """
    return _unsigned(bid_wei, BID_SIZE, "bid")


def _write_commands(commands: tuple[Command, ...]) -> bytes:
    return b"".join(map(_write_command, commands))


def _write_command(command: Command) -> bytes:
    if isinstance(command, Pay):
        head = _PAY | command.receiver << 4
        token = _unsigned(command.token, 1, "token number")
        return bytes((head,)) + token + _unsigned(command.amount, _AMOUNT_SIZE, "amount")
    if isinstance(command, SwapPair):
        return _write_swap(_PAIR, command, command.amount_out)
    kind = _PAIR_FLASH if isinstance(command, FlashPair) else _POOL
    amount = command.amount_out if isinstance(command, FlashPair) else command.amount_in
    inner = _write_commands(command.commands)
    return (
        _write_swap(kind, command, amount)
        + _unsigned(len(inner), _LENGTH_SIZE, "length of a callback's commands")
        + inner
    )


def _write_swap(kind: int, command: SwapPair | FlashPair | SwapPool, amount: int) -> bytes:
    head = kind | command.receiver << 4 | (_ZERO_FOR_ONE if command.zero_for_one else 0)
    pool = bytes.fromhex(command.pool[2:])
    return bytes((head,)) + pool + _unsigned(amount, _AMOUNT_SIZE, "amount")


def _unsigned(value: int, size: int, what: str) -> bytes:
    try:
        return value.to_bytes(size, "big")
    except OverflowError:
        raise ValueError(f"the {what} {value} does not fit the {size} bytes of a plan") from None


class _Reader:
    """A cursor over the bytes of a frame that refuses to read past their end."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data = data
        self._at = at
        self._end = end

    @property
    def done(self) -> bool:
        return self._at == self._end

    def take(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        if self._at > self._end:
            raise ValueError(f"the plan ends at byte {self._end}, inside of a field at {start}")
        return self._data[start : self._at]

    def unsigned(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def address(self) -> Address:
        return Address("0x" + self.take(_ADDRESS_SIZE).hex())

    def frame(self) -> _Reader:
        size = self.unsigned(_LENGTH_SIZE)
        start = self._at
        self.take(size)
        return _Reader(self._data, start, start + size)


def _read_commands(reader: _Reader) -> tuple[Command, ...]:
    commands = []
    while not reader.done:
        commands.append(_read_command(reader))
    return tuple(commands)


def _read_command(reader: _Reader) -> Command:
    head = reader.unsigned(1)
    kind = head & 0x0F
    number = head >> 4 & 0x07
    if kind not in (_PAY, _PAIR, _PAIR_FLASH, _POOL) or number not in set(Receiver):
        raise ValueError(f"the plan has a command 0x{head:02x} that this version does not know")
    receiver = Receiver(number)
    if kind == _PAY:
        return Pay(receiver, reader.unsigned(1), reader.unsigned(_AMOUNT_SIZE))
    pool = reader.address()
    zero_for_one = bool(head & _ZERO_FOR_ONE)
    amount = reader.unsigned(_AMOUNT_SIZE)
    if kind == _PAIR:
        return SwapPair(receiver, pool, zero_for_one, amount)
    commands = _read_commands(reader.frame())
    if kind == _PAIR_FLASH:
        return FlashPair(receiver, pool, zero_for_one, amount, commands)
    return SwapPool(receiver, pool, zero_for_one, amount, commands)
