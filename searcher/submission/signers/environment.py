"""A key in an environment variable: for tests, the demo and containers with injected secrets."""

from __future__ import annotations

from pydantic import ConfigDict

from searcher.domain.settings import Settings, knob
from searcher.submission.secret_reference import read_variable
from searcher.submission.signer import LocalSigner, parse_key


class EnvironmentSigner(LocalSigner):
    """Takes the private key from an environment variable when the daemon starts.

    Anyone who can read the process's environment can read the key; for money of consequence use a
    keystore or a remote signer.
    """

    class Config(Settings):
        """Where the key is."""

        # A key pasted here by mistake must not be shown by the error that refuses it.
        model_config = ConfigDict(hide_input_in_errors=True)

        variable: str = knob(
            why="the environment variable that holds the private key in hex",
            pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,47}$",
        )

    def __init__(self, config: Config) -> None:
        origin = f"the environment variable {config.variable}"
        super().__init__(parse_key(read_variable(config.variable), origin=origin))


PLUGIN = EnvironmentSigner
