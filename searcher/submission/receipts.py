"""What a receipt says of our own transaction: gas, price, and what it realised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from searcher.domain.events import BlockRef, Log
from searcher.domain.units import ZERO_ADDRESS, Address, Hash32, Int256, Uint256

# keccak256 of the event's signature, as the ERC-20 and WETH9 contracts log it.
TRANSFER_TOPIC: Final = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
DEPOSIT_TOPIC: Final = "0xe1fffcc4923d04b559f4d29a8bfc6cda04eb5b0d3c460751c2402c5c5cc9109c"
WITHDRAWAL_TOPIC: Final = "0x7fcf532c15f0a6db0bd6d0e038bea71d30d808c7d98cb3bf7268a95bf5081b65"


class Receipt(Struct, frozen=True):
    """The parts of a receipt that settle a plan."""

    block: BlockRef
    succeeded: bool
    gas_used: int
    effective_gas_price_wei: Uint256
    logs: tuple[Log, ...]

    @property
    def gas_cost_wei(self) -> int:
        """What the sender paid for gas."""
        return self.gas_used * self.effective_gas_price_wei


class Realised(Struct, frozen=True):
    """What a plan's transaction moved: wrapped native gained before the bid, and the bid."""

    gross_wei: Int256
    bid_wei: Uint256


def parse_receipt(answer: Any) -> Receipt:
    """Read the answer to `eth_getTransactionReceipt`.

    Raises:
        ValueError: it is not a receipt with status and effective gas price.
    """
    try:
        return Receipt(
            block=BlockRef(int(answer["blockNumber"], 16), Hash32(answer["blockHash"].lower())),
            succeeded=int(answer["status"], 16) == 1,
            gas_used=int(answer["gasUsed"], 16),
            effective_gas_price_wei=int(answer["effectiveGasPrice"], 16),
            logs=tuple(_log(entry) for entry in answer["logs"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"not a receipt: {type(error).__name__} {error}") from error


def realised(logs: Sequence[Log], *, executor: Address, wrapped_native: Address) -> Realised:
    """Add up what the executor gained of the wrapped native token, and what it unwrapped.

    The executor unwraps for the bid alone. Transfers from and to the zero address are how some
    wrapped tokens log a deposit and a withdrawal; those have their own events.
    """
    gained_wei = bid_wei = 0
    for log in logs:
        if log.address != wrapped_native or not log.topics:
            continue
        amount_wei = int(log.data, 16) if len(log.data) == 66 else 0
        parties = [Address("0x" + topic[26:]) for topic in log.topics[1:]]
        if log.topics[0] == TRANSFER_TOPIC and len(parties) == 2 and ZERO_ADDRESS not in parties:
            gained_wei += amount_wei * ((parties[1] == executor) - (parties[0] == executor))
        elif parties == [executor] and log.topics[0] == DEPOSIT_TOPIC:
            gained_wei += amount_wei
        elif parties == [executor] and log.topics[0] == WITHDRAWAL_TOPIC:
            bid_wei += amount_wei
    return Realised(gained_wei, bid_wei)


def _log(entry: dict[str, Any]) -> Log:
    return Log(
        address=Address(entry["address"].lower()),
        topics=tuple(topic.lower() for topic in entry["topics"]),
        data=entry["data"],
        log_index=int(entry["logIndex"], 16),
    )
