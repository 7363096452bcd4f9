"""A key in an encrypted keystore file, as geth and every wallet write it."""

from __future__ import annotations

from pathlib import Path

import msgspec
from pydantic import ConfigDict

from searcher.domain.errors import Misconfigured
from searcher.domain.settings import Settings, knob
from searcher.submission.secret_reference import (
    SecretReference,
    read_private_file,
    read_secret,
)
from searcher.submission.signer import LocalSigner


class KeystoreSigner(LocalSigner):
    """Decrypts a Web3 Secret Storage file (version 3) once, when the daemon starts.

    A file that its group or others may read is refused. The passphrase is given by reference.
    """

    class Config(Settings):
        """Where the file and its passphrase are."""

        model_config = ConfigDict(hide_input_in_errors=True)

        path: Path = knob(why="the keystore file, readable by its owner alone")
        passphrase: SecretReference = knob(why="where the passphrase is: env:NAME or file:PATH")

    def __init__(self, config: Config) -> None:
        super().__init__(_decrypt(config.path.expanduser(), config.passphrase))


def _decrypt(path: Path, passphrase: str) -> bytes:
    try:
        content = msgspec.json.decode(read_private_file(path), type=dict[str, object])
    except msgspec.DecodeError:
        raise Misconfigured(f"{path} is not JSON: give the path of a keystore file") from None
    secret = read_secret(passphrase)
    # Costs half a second to import; only a daemon with a keystore pays for it.
    from eth_account import Account  # noqa: PLC0415

    try:
        return bytes(Account.decrypt(content, secret))
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        # The library's text may quote what it was given, so only its kind is passed on.
        if "MAC mismatch" in str(error):
            raise Misconfigured(
                f"the passphrase does not open {path}: check what {passphrase} holds"
            ) from None
        raise Misconfigured(
            f"{path} is not a keystore of version 3 ({type(error).__name__}): export it again"
        ) from None


PLUGIN = KeystoreSigner
