"""Machine code from numba's cache, without the means to compile.

Before numba looks for machine code it prepares for compiling: it fills its registries and compiles
its memory runtime. With a kernel's machine code it reads the intermediate code of that kernel, with
which callers are compiled. Machine code runs without any of it, so here it is left until a kernel
has to be compiled: numba then prepares by itself, and asks for the intermediate code of callees.
"""

# numba's internals are private and untyped.
# ruff: noqa: SLF001

from __future__ import annotations

from functools import cache
from typing import Any, cast

import llvmlite.binding as llvm
from numba.core import caching, codegen
from numba.core.runtime import _nrt_python  # type: ignore[attr-defined]  # made when it is built


class MachineCode(caching.FunctionCache):
    """Numba's cache of one kernel."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what is cached for a signature, or None."""
        _name_runtime()
        target_context.codegen()._library_class = _Library
        return cast("Any", self)._load_overload(sig, target_context)


class _Library(codegen.JITCodeLibrary):
    """The code of one kernel; when it is loaded, its intermediate code waits until it is asked for.

    Of a kernel that is compiled nothing waits, and all is numba's own.
    """

    _waiting: bytes | None = None

    @classmethod
    def _unserialize(cls, maker: Any, state: Any) -> Any:
        name, _kind, (machine_code, intermediate_code) = state  # the one kind a kernel is kept as
        library = maker.create_library(name)
        library.enable_object_caching()
        library._set_compiled_object(machine_code)
        library._waiting = intermediate_code
        library._finalize_final_module()
        return library

    def _get_module_for_linking(self) -> Any:
        if self._waiting is not None:
            self._shared_module = llvm.parse_bitcode(self._waiting)
            self._waiting = None
            cast("Any", self)._codegen._engine._load_defined_symbols(self._shared_module)
        return cast("Any", super())._get_module_for_linking()

    def get_pointer_to_function(self, name: str) -> Any:
        """Return the address of one of the kernel's functions.

        Numba looks first whether the intermediate code defines it. Of a loaded kernel only the
        wrapper that Python calls is asked for, and every kernel is cached with one.
        """
        if self._waiting is not None:
            return cast("Any", self)._codegen._engine.get_function_address(name)
        return cast("Any", super()).get_pointer_to_function(name)


@cache
def _name_runtime() -> None:
    """Tell LLVM where the functions of numba's memory runtime are, as numba's own set-up does."""
    for name, address in _nrt_python.c_helpers.items():
        llvm.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)
