"""Search EVM chains for value that harms no other user.

The package is a pipeline; its folders are its stages, in the order of the data:
`chains`, `mempool`, `market`, `opportunities`, `executor`, `simulation`, `risk`, `submission`,
`ledger`. `domain` and `kernels` know none of them, `devnet` is the laboratory, and `ops` is the
operator's side, where everything is wired.
"""

__version__ = "0.1.0"
