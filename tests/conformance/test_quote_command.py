"""`searcher quote` of every registered protocol, in a process that finds its kernels in the cache.

Its answers are the plug-ins' own, and it loads nothing that only other commands need: that is what
lets it answer at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from searcher.domain.errors import ExitStatus
from searcher.kernels.refusal import SwapRefused
from searcher.market.protocol import PROTOCOLS
from tests.conformance.test_curves import Subject, module_of

ROOT = Path(__file__).parents[2]
ASKED = """
import json, sys
from numba.core.registry import cpu_target
from searcher.ops.cli import build, run

for asked in json.loads(sys.stdin.read()):
    sys.stdout.write(f"{run(build(), ['quote', '--json', *asked])}\\n")
heavy = {"structlog", "rich", "asyncio", "aiohttp", "web3", "sqlalchemy", "eth_account"}
said = heavy & set(sys.modules)
if cpu_target.target_context._registries:
    said.add("what numba compiles with")
sys.exit(", ".join(sorted(said)) or 0)
"""


def question(name, folder):
    """Return a quote's arguments and its answer, an amount or the name of a refusal."""
    plugin = PROTOCOLS.load(name)
    subject = Subject(plugin(plugin.Config()), module_of(name))
    state, block, raw = next(drawn for drawn in subject.draw(20) if not drawn[1].volatile)
    token_in, token_out, *_ = subject.tokens(state)
    file = folder / f"{name}.json"
    named = {"number": block.number, "timestamp": block.timestamp}
    file.write_text(json.dumps({"state": raw, "block": named}))
    asked = ["--protocol", name, "--state", str(file), "--in", token_in, "--out", token_out]
    try:
        quote = subject.protocol.quote_exact_in(state, block, token_in, token_out, 10**9)
    except SwapRefused as refusal:
        return [*asked, "--amount", str(10**9)], refusal.status.name
    return [*asked, "--amount", str(10**9)], str(quote.amount)


@pytest.mark.timeout(600)  # what the cache lacks is compiled first
def test_a_quote_of_any_protocol_answers_without_the_heavy_libraries(tmp_path):
    questions, answers = zip(*(question(name, tmp_path) for name in PROTOCOLS.names()), strict=True)
    done = subprocess.run(
        [sys.executable, "-c", ASKED],
        input=json.dumps(questions),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    said = [json.loads(line) for line in lines[::2]]
    assert [each.get("quote", each.get("refused")) for each in said] == list(answers)
    statuses = [int(line) for line in lines[1::2]]
    expected = [ExitStatus.OK if "quote" in each else ExitStatus.REFUSED for each in said]
    assert statuses == expected
    assert statuses.count(ExitStatus.OK) > len(statuses) // 2
