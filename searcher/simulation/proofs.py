"""Token proofs, remembered: a token is proven again when its code changes, or the proof grows old.

Behind a proxy the code stays and the behaviour changes: what is remembered is the hash of the code
and of the slots in which proxies keep their implementation (EIP-1967, its beacon, and the older one
of ZeppelinOS, which USDC uses).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from msgspec import Struct

from searcher.chains.rpc import RpcClient
from searcher.domain.errors import Retryable
from searcher.domain.events import BlockRef
from searcher.domain.ports import TokenProof, TokenProver
from searcher.domain.units import Address, keccak256
from searcher.simulation.tokens import is_lasting

_log = structlog.get_logger(__name__)

_FORMAT: Final = 1
_SLOTS: Final = (
    "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc",
    "0xa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6cb3582b35133d50",
    "0x7050c9e0f4ca769c69bd3a8ef740bc37934f8e2c036e5a723fd8ee048ed3f8c3",
)
"""keccak256("eip1967.proxy.implementation") - 1, keccak256("eip1967.proxy.beacon") - 1,
keccak256("org.zeppelinos.proxy.implementation")."""
_TOKENS_A_REQUEST: Final = 50


class RememberedProof(Struct, frozen=True):
    """A proof, the hash of the code that it was made of, and the block that it was made on."""

    sound: bool
    reason: str
    code: str
    block: int


class _File(Struct, frozen=True):
    format: int
    chain_id: int
    proofs: dict[str, RememberedProof]


class ProofStatistics(Struct, frozen=True):
    """Proofs that were remembered, made, and made again because code or age asked for it."""

    remembered: int
    made: int
    renewed: int


class RememberedTokenProver:
    """Implements `domain.ports.TokenProver`: asks another only for what is not remembered.

    Args:
        prover: who proves.
        rpc: requests to the chain's node, for the code of tokens.
        chain_id: the chain's EIP-155 id; another chain's proofs are not read.
        path: where proofs are kept; a file that cannot be read is begun anew.
        renew_after_blocks: a proof of an older block is made again.
    """

    def __init__(
        self,
        prover: TokenProver,
        rpc: RpcClient,
        *,
        chain_id: int,
        path: Path,
        renew_after_blocks: int,
    ) -> None:
        self._prover = prover
        self._rpc = rpc
        self._chain_id = chain_id
        self._path = path
        self._renew_after_blocks = renew_after_blocks
        self._proofs = self._restored()
        self._remembered = self._made = self._renewed = 0

    async def prove(
        self, tokens: Sequence[tuple[Address, Address]], parent: BlockRef
    ) -> list[TokenProof]:
        """Prove each (token, a pool that holds it) on the state of `parent`, in order.

        Raises:
            Retryable: no answer; nothing is known of those that were not remembered.
        """
        codes = await self._codes([token for token, _ in tokens], parent)
        missing = [pair for pair in tokens if not self._holds(pair[0], codes[pair[0]], parent)]
        self._remembered += len(tokens) - len(missing)
        self._renewed += sum(token in self._proofs for token, _ in missing)
        self._made += len(missing)
        fresh = {p.token: p for p in await self._prover.prove(missing, parent)} if missing else {}
        for token, proof in fresh.items():
            if is_lasting(proof):
                self._proofs[token] = RememberedProof(
                    proof.sound, proof.reason, codes[token], parent.number
                )
        if fresh:
            self._keep()
        return [fresh.get(token) or self._proof(token) for token, _ in tokens]

    def statistics(self) -> ProofStatistics:
        """Return the counters so far."""
        return ProofStatistics(self._remembered, self._made, self._renewed)

    def _holds(self, token: Address, code: str, parent: BlockRef) -> bool:
        known = self._proofs.get(token)
        if known is None or known.code != code:
            return False
        return abs(parent.number - known.block) <= self._renew_after_blocks

    def _proof(self, token: Address) -> TokenProof:
        known = self._proofs[token]
        return TokenProof(token, known.sound, known.reason)

    async def _codes(self, tokens: Sequence[Address], parent: BlockRef) -> Mapping[Address, str]:
        """Return the hash of what each token runs, as far as code and proxies' slots say it."""
        at = {"blockHash": parent.hash}
        found: dict[Address, str] = {}
        for begin in range(0, len(tokens), _TOKENS_A_REQUEST):
            part = tokens[begin : begin + _TOKENS_A_REQUEST]
            calls: list[tuple[str, Sequence[Any]]] = []
            for token in part:
                calls.append(("eth_getCode", [token, at]))
                calls += [("eth_getStorageAt", [token, slot, at]) for slot in _SLOTS]
            answers = await self._rpc.batch_settled(calls)
            size = 1 + len(_SLOTS)
            for place, token in enumerate(part):
                found[token] = _hash(answers[place * size : (place + 1) * size])
        return found

    def _restored(self) -> dict[str, RememberedProof]:
        try:
            held = msgspec.json.decode(self._path.read_bytes(), type=_File)
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("remembered proofs cannot be read", file=str(self._path), why=str(error))
            return {}
        same = (held.format, held.chain_id) == (_FORMAT, self._chain_id)
        return dict(held.proofs) if same else {}

    def _keep(self) -> None:
        """Write the file anew, whole or not at all; a proof that is not kept is made again."""
        body = msgspec.json.encode(_File(_FORMAT, self._chain_id, self._proofs))
        beside = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(body)
            beside.replace(self._path)
        except OSError as error:
            _log.warning("proofs cannot be kept", file=str(self._path), why=str(error))


def _hash(answers: Sequence[Any]) -> str:
    if not all(isinstance(answer, str) for answer in answers):
        raise Retryable("the node does not tell the code of a token: ask again")
    return keccak256("|".join(answers).encode()).hex()
