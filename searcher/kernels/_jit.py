"""The one decorator that owns every numba option, and the cache folder.

numba keys a cached kernel by its own file only: after an edit in a callee's file the caller's
cached machine code stays old and silently wrong. So the cache folder is named by a hash of all
kernel sources, and it is set before numba is imported.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")

SOURCES: Final = Path(__file__).parent


def sources_digest() -> str:
    """Return a short hash over the path and bytes of every kernel source."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*.py")):
        digest.update(path.relative_to(SOURCES).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


PORTABLE_DIVISION: Final = os.environ.get("SEARCHER_PORTABLE_DIVISION", "") not in {"", "0"}
"""Whether kernels divide without x86-64's instruction, as other processors must."""


def cache_folder() -> Path:
    """Return the folder that holds the compiled kernels of exactly these sources."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    variant = "-portable" if PORTABLE_DIVISION else ""
    return Path(base) / "searcher" / "numba" / (sources_digest() + variant)


_FOLDER: Final = str(cache_folder())
_TOO_LATE: Final = "numba" in sys.modules
os.environ["NUMBA_CACHE_DIR"] = _FOLDER

import numba  # noqa: E402  the cache folder must be set first

from searcher.kernels._loading import MachineCode  # noqa: E402  it imports numba
from searcher.kernels._word import U256  # noqa: E402  so does it

if _TOO_LATE:
    # numba reads the variable once, when it is imported; somebody else has imported it before.
    vars(numba.config)["CACHE_DIR"] = _FOLDER


_TYPES: Final = {**vars(numba.types), "U256": U256}
_LOAD: Final[dict[Any, Callable[[], None]]] = {}
"""By dispatcher: what loads or compiles it, and does nothing the second time."""


def kernel(signature: str, *, inlined: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile a function for exactly one signature, when it is first called.

    Division follows numpy (no exception), the interpreter lock is released while it runs, and the
    machine code is cached on disk: a caller's holds its callees', so that a start loads what it
    calls and nothing else.

    Args:
        signature: numba's signature, such as `f8(f8, f8[::1])`; `U256` is a type in it.
        inlined: whether callers hold it in their own code wherever they call it; for a few
            instructions that are cheaper than a call.
    """
    declare = numba.njit(error_model="numpy", nogil=True, forceinline=inlined)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        dispatcher = declare(function)
        _LOAD[dispatcher] = _postponed(dispatcher, signature)
        return cast("Callable[P, R]", dispatcher)

    return decorate


def load_all() -> None:
    """Load, or compile, every kernel of the modules imported so far: no call waits after this."""
    for load in tuple(_LOAD.values()):
        load()


def direct(function: Callable[P, R]) -> Callable[P, R]:
    """Return a kernel's machine code as Python calls it, without the dispatcher before it.

    It saves 0.1 us a call. Arguments are converted to the signature's types, unchecked.
    """
    dispatcher = cast("Any", function)
    _LOAD[dispatcher]()
    (signature,) = dispatcher.signatures
    return cast("Callable[P, R]", dispatcher.overloads[signature].entry_point)


def _postponed(dispatcher: Any, signature: str) -> Callable[[], None]:
    """Let a dispatcher load or compile its one signature when it is called, by whomever.

    Numba asks a dispatcher without machine code to compile for whatever arguments it meets; what it
    asks is answered here once, and the dispatcher is an ordinary one of one signature afterwards.
    """

    def load() -> None:
        if not dispatcher.overloads:
            code = cast("Any", MachineCode)(dispatcher.py_func)
            dispatcher._cache = code  # noqa: SLF001  no public way takes a cache of one's own
            dispatcher.compile(eval(signature, _TYPES))  # noqa: S307  a literal of our own sources
            dispatcher.disable_compile()
            del dispatcher._compile_for_args, dispatcher.get_call_template  # noqa: SLF001  set below

    def called(*_arguments: Any, **_named: Any) -> Any:
        load()
        return dispatcher

    def called_by_kernel(arguments: Any, named: Any) -> Any:
        load()
        return dispatcher.get_call_template(arguments, named)

    dispatcher._compile_for_args = called  # noqa: SLF001  the one place where numba compiles
    dispatcher.get_call_template = called_by_kernel
    return load
