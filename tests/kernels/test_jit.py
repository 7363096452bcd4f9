"""What the one decorator and the cache folder promise."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from searcher.kernels import _jit

KERNELS = Path(_jit.__file__).parent
MODULES = [
    importlib.import_module(f"searcher.kernels.{path.stem}")
    for path in sorted(KERNELS.glob("*.py"))
    if "@kernel(" in path.read_text() and path.stem != "_jit"
]


def test_the_cache_folder_is_named_by_the_sources():
    assert os.environ["NUMBA_CACHE_DIR"] == numba.config.CACHE_DIR
    assert numba.config.CACHE_DIR.endswith(_jit.sources_digest())


def test_an_edit_in_any_kernel_moves_the_cache(tmp_path, monkeypatch):
    copy = tmp_path / "kernels"
    shutil.copytree(KERNELS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(_jit, "SOURCES", copy)
    before = _jit.sources_digest()
    assert before == _jit.sources_digest()
    with (copy / "sizing.py").open("a") as file:
        file.write("# an edit\n")
    assert _jit.sources_digest() != before


def test_the_cache_moves_even_when_numba_was_imported_first(tmp_path):
    code = (
        "import numba, os, searcher.kernels._jit as j;"
        "assert numba.config.CACHE_DIR == str(j.cache_folder()), numba.config.CACHE_DIR"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR")
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


CALLEE = """
from searcher.kernels._jit import kernel

@kernel("i8(i8)")
def callee(x):
    return x + {}
"""
CALLER = """
from searcher.kernels._jit import kernel
from searcher.kernels.callee import callee

@kernel("i8(i8)")
def caller(x):
    return callee(x) * 2
"""


@pytest.fixture
def program(tmp_path):
    """Run code in a new process, on a package of two kernels with a cache of its own."""
    package = tmp_path / "searcher" / "kernels"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    for name in ("_jit.py", "_loading.py", "_word.py"):
        shutil.copy(KERNELS / name, package)
    (package / "callee.py").write_text(CALLEE.format(1))
    (package / "caller.py").write_text(CALLER)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR")

    def run(code):
        done = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        return ast.literal_eval(done.stdout)

    return run


def test_an_edit_in_a_callees_file_is_seen_by_its_caller(tmp_path, program):
    """The trap: numba alone keeps the caller's machine code, with the old callee inside."""
    code = "from searcher.kernels.caller import caller; print(caller(1))"
    assert program(code) == 4
    assert program(code) == 4
    assert len(list(tmp_path.glob("searcher/numba/*"))) == 1, "the second process used the cache"
    (tmp_path / "searcher" / "kernels" / "callee.py").write_text(CALLEE.format(5))
    assert program(code) == 12
    assert len(list(tmp_path.glob("searcher/numba/*"))) == 2


WATCHED = """
import sys
from numba.core.registry import cpu_target
from searcher.kernels.callee import callee
from searcher.kernels.caller import caller

said = []
for kernel in ({}):
    said += [kernel(1), bool(cpu_target.target_context._registries)]
    said += [sum(counts.values()) for counts in kernel.stats[1:]]
print(said)
"""


def test_what_is_cached_runs_without_what_compiling_needs_and_the_rest_compiles(program):
    """Each kernel's answer, whether numba is ready to compile, cache hits, cache misses."""
    assert program(WATCHED.format("callee,")) == [2, True, 0, 1]
    assert program(WATCHED.format("callee,")) == [2, False, 1, 0]
    assert program(WATCHED.format("callee, caller")) == [2, False, 1, 0, 4, True, 0, 1]
    assert program(WATCHED.format("caller, callee")) == [4, False, 1, 0, 2, False, 1, 0]


LOADED = """
import importlib, sys, pytest
from numba.core.dispatcher import _FunctionCompiler
from numba.core.registry import cpu_target
from searcher.kernels import _jit

def compile(self, *_):
    raise AssertionError(f"{self.py_func.__qualname__} is compiled")

_FunctionCompiler.compile = compile
modules, tests = (argument.split(",") for argument in sys.argv[1:])
for module in modules:
    importlib.import_module(module)
_jit.load_all()
assert not cpu_target.target_context._registries, "numba is ready to compile"
sys.exit(pytest.main(["-q", "-m", "not full", "-p", "no:cacheprovider", *tests]))
"""
REPRESENTATIVES = (
    "test_algebra.py::test_swaps_to_a_limit_are_the_references",
    "test_balancer_fixed_point.py::test_powers_as_swaps_take_them",
    "test_balancer_stable.py::test_the_kernel_is_the_reference",
    "test_balancer_weighted.py::test_the_kernel_is_the_reference",
    "test_concentrated.py::test_steps_are_the_references",
    "test_curve_crypto_least.py::test_what_is_found_pays_and_one_less_does_not",
    "test_curve_meta.py::test_metapools_equal_reference",
    "test_curve_stable.py::test_kernel_equals_reference",
    "test_curve_stable_ng.py::test_kernels_give_the_references_amounts_and_refusals",
    "test_curve_tricrypto.py::test_kernel_is_the_reference",
    "test_curve_twocrypto.py::test_kernel_is_the_reference",
    "test_divisors.py::test_signs_are_those_of_a_signed_division",
    "test_elimination.py::test_what_is_too_large_is_left_as_a_core",
    "test_liquidity_book.py::test_the_kernel_is_the_reference",
    "test_recorded_market.py::test_a_swap_that_moves_a_pool_opens_the_right_cycle",
    "test_sizing.py::test_two_pools_have_the_closed_form",
    "test_solidly.py::test_the_kernel_is_the_reference",
    "test_splitting.py::test_a_pool_trades_until_its_rate_is_the_price",
    "test_u256.py::test_the_boundary_takes_and_returns_any_word",
    "test_uniswap_v2.py::test_the_marginal_rate_is_the_references",
    "test_uniswap_v3.py::test_amounts_that_end_exactly_on_a_stop_are_the_references",
    "test_uniswap_v4.py::test_the_combined_fee_is_the_references_and_within_the_whole",
)


@pytest.mark.timeout(600)
def test_every_kernel_runs_from_the_cache_in_a_process_that_compiles_nothing():
    _jit.load_all()  # compiles what the cache lacks
    folder = Path(__file__).parent
    modules = ",".join(module.__name__ for module in MODULES)
    tests = ",".join(f"{folder}/{name}" for name in REPRESENTATIVES)
    done = subprocess.run(
        [sys.executable, "-c", LOADED, modules, tests],
        check=False,
        cwd=folder.parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__.rpartition(".")[2])
def test_every_kernel_is_compiled_once_for_one_signature(module):
    _jit.load_all()
    kernels = [value for value in vars(module).values() if hasattr(value, "signatures")]
    assert kernels
    for kernel in kernels:
        assert len(kernel.signatures) == 1
        assert not kernel._can_compile


@pytest.mark.parametrize(
    "path", sorted(p for p in KERNELS.glob("*.py") if p.stem != "_jit"), ids=lambda p: p.stem
)
def test_unsigned_constants_are_written_as_such(path):
    """Numba makes int64, or float64, of uint64 and a plain literal: both wrap or round silently.

    A kernel with a scalar u8 (uint64) must write every constant it calculates with as np.uint64(n).
    """
    names = vars(importlib.import_module(f"searcher.kernels.{path.stem}"))
    for function in ast.walk(ast.parse(path.read_text())):
        if not isinstance(function, ast.FunctionDef) or not _takes_uint64(function, names):
            continue
        operands = [
            operand
            for node in ast.walk(function)
            for operand in _operands(node)
            if isinstance(operand, ast.Constant) and type(operand.value) is int
        ]
        assert not operands, f"{path.name}: {function.name} line {operands[0].lineno}"


def _operands(node):
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if isinstance(node, ast.Compare):
        return [node.left, *node.comparators]
    if isinstance(node, ast.AugAssign):
        return [node.value]
    return []


def _takes_uint64(function, names):
    signatures = [
        eval(ast.unparse(d.args[0]), dict(names))  # a signature may be put together from names
        for d in function.decorator_list
        if isinstance(d, ast.Call) and ast.unparse(d.func) == "kernel"
    ]
    return any(re.search(r"\bu8\b(?!\[)", signature) for signature in signatures)


def test_the_rule_about_constants_sees_what_it_should():
    source = '@kernel("u8(u8)")\ndef wrong(x):\n    return x + 1\n'
    (function,) = ast.parse(source).body
    assert _takes_uint64(function, {})
    assert [o.value for n in ast.walk(function) for o in _operands(n) if hasattr(o, "value")] == [1]
