"""The numba type of a 256-bit unsigned integer, and what needs LLVM to be said.

A `U256` is one LLVM `i256` value, so that `+ - * & | ^ << >>` and comparisons become a few machine
instructions each. Everything that can be written in terms of these is in `u256`, in Python.
Nothing here divides: LLVM's own 256-bit division is bit-serial (0.3 us).
"""

# numba counts an intrinsic's arguments from its signature, used or not; its internals are private.
# ruff: noqa: ARG001, SLF001

from __future__ import annotations

import operator
import platform
import sys
from collections.abc import Callable
from typing import Any, Final, cast

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin
from numba.core.typeconv.rules import default_casting_rules
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import NativeValue, box, intrinsic, models, register_model, unbox

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
llvm.initialize_native_asmparser()  # inline assembly is parsed when a kernel is compiled or loaded

I1, I32, I64, I128, I256, I512 = (ir.IntType(bits) for bits in (1, 32, 64, 128, 256, 512))
BYTES: Final = I256.width // 8
LIMBS: Final = I256.width // 64

HARDWARE_DIVISION: Final = platform.machine() in {"x86_64", "AMD64"}
"""Whether the processor divides 128 bits by 64 in one instruction."""


def _intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register an intrinsic; to the type checker it stays a function of what kernels pass."""
    return intrinsic(function)


class U256Type(types.Type):
    """An unsigned integer of 256 bits; arithmetic wraps."""

    def __init__(self) -> None:
        super().__init__(name="U256")


U256: Final = U256Type()


@register_model(U256Type)
class _U256Model(models.PrimitiveModel):
    def __init__(self, manager: Any, front_end: Any) -> None:
        super().__init__(manager, front_end, I256)


# ---- between Python and kernels

# A dispatcher takes a Python int for an int64 before it looks at signatures; this lets it pass the
# very same object on to a U256 parameter. Inside kernels nothing converts by itself: `u256(x)`.
default_casting_rules.unsafe(types.int64, U256)


@unbox(U256Type)
def _unbox(_typ: Any, obj: Any, c: Any) -> NativeValue:
    """Take any Python integer from 0 to 2^256 - 1; TypeError or OverflowError otherwise."""
    index = c.pyapi._get_function(ir.FunctionType(c.pyapi.pyobj, [c.pyapi.pyobj]), "PyNumber_Index")
    to_bytes = c.pyapi._get_function(
        ir.FunctionType(
            I32, [c.pyapi.pyobj, ir.IntType(8).as_pointer(), I64, *[I32] * _AS_BYTES_FLAGS]
        ),
        "_PyLong_AsByteArray",
    )
    place = cgutils.alloca_once(c.builder, I256)
    c.builder.store(ir.Constant(I256, 0), place)
    failed = cgutils.alloca_once_value(c.builder, ir.Constant(I1, 1))
    number = c.builder.call(index, [obj])
    with cgutils.if_likely(c.builder, cgutils.is_not_null(c.builder, number)):
        raw = c.builder.bitcast(place, ir.IntType(8).as_pointer())
        # little-endian, unsigned, and from 3.13 on: with exceptions
        flags = [ir.Constant(I32, flag) for flag in (1, 0, 1)[:_AS_BYTES_FLAGS]]
        done = c.builder.call(to_bytes, [number, raw, ir.Constant(I64, BYTES), *flags])
        c.pyapi.decref(number)
        c.builder.store(c.builder.icmp_signed("!=", done, ir.Constant(I32, 0)), failed)
    return NativeValue(c.builder.load(place, align=8), is_error=c.builder.load(failed))


_AS_BYTES_FLAGS: Final = 3 if sys.version_info >= (3, 13) else 2


@box(U256Type)
def _box(_typ: Any, value: Any, c: Any) -> Any:
    from_bytes = c.pyapi._get_function(
        ir.FunctionType(c.pyapi.pyobj, [ir.IntType(8).as_pointer(), I64, I32, I32]),
        "_PyLong_FromByteArray",
    )
    place = cgutils.alloca_once(c.builder, I256)
    c.builder.store(value, place, align=8)
    raw = c.builder.bitcast(place, ir.IntType(8).as_pointer())
    little, unsigned = ir.Constant(I32, 1), ir.Constant(I32, 0)
    return c.builder.call(from_bytes, [raw, ir.Constant(I64, BYTES), little, unsigned])


# ---- operators


def _binary(symbol: Any, method: str) -> None:
    @infer_global(symbol)
    class _Template(ConcreteTemplate):
        cases = (signature(U256, U256, U256),)

    @lower_builtin(symbol, U256, U256)
    def _lower(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return getattr(builder, method)(*args)


def _compare(symbol: Any, relation: str) -> None:
    @infer_global(symbol)
    class _Template(ConcreteTemplate):
        cases = (signature(types.boolean, U256, U256),)

    @lower_builtin(symbol, U256, U256)
    def _lower(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.icmp_unsigned(relation, *args)


def _shift(symbol: Any, method: str) -> None:
    @infer_global(symbol)
    class _Template(ConcreteTemplate):
        cases = (signature(U256, U256, types.int64), signature(U256, U256, types.uint64))

    def lower(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        shifted = getattr(builder, method)(args[0], builder.zext(args[1], I256))
        # LLVM leaves a shift by the whole width undefined; the EVM gives 0.
        inside = builder.icmp_unsigned("<", args[1], ir.Constant(I64, I256.width))
        return builder.select(inside, shifted, ir.Constant(I256, 0))

    lower_builtin(symbol, U256, types.int64)(lower)
    lower_builtin(symbol, U256, types.uint64)(lower)


for _symbols, _method in (
    ((operator.add, operator.iadd), "add"),
    ((operator.sub, operator.isub), "sub"),
    ((operator.mul, operator.imul), "mul"),
    ((operator.and_, operator.iand), "and_"),
    ((operator.or_, operator.ior), "or_"),
    ((operator.xor, operator.ixor), "xor"),
):
    for _symbol in _symbols:
        _binary(_symbol, _method)
for _symbol, _relation in (
    (operator.eq, "=="),
    (operator.ne, "!="),
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
):
    _compare(_symbol, _relation)
for _symbols, _method in (
    ((operator.lshift, operator.ilshift), "shl"),
    ((operator.rshift, operator.irshift), "lshr"),
):
    for _symbol in _symbols:
        _shift(_symbol, _method)


# ---- making and taking apart


@_intrinsic
def u256(_context: Any, x: Any) -> Any:
    """Return a non-negative integer of 64 bits, or a literal, as a U256."""
    if not isinstance(x, types.Integer):
        return None
    extend = "sext" if cast("Any", x).signed else "zext"

    def lower(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return getattr(builder, extend)(args[0], I256)

    return U256(x), lower


def constant(value: int) -> Callable[[], Any]:
    """Return a function that kernels call for a U256 known when they are compiled.

    Raises:
        OverflowError: the value has not 256 bits.
    """
    if not 0 <= value < 1 << I256.width:
        raise OverflowError(f"{value} does not fit 256 bits")

    @_intrinsic
    def known(_context: Any) -> Any:
        return U256(), lambda _context, _builder, _sig, _args: ir.Constant(I256, value)

    return known


@_intrinsic
def limb(_context: Any, x: Any, k: Any) -> Any:
    """Return the 64 bits of `x` from bit `64 * k` on, as uint64."""

    def lower(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        bits = builder.zext(builder.shl(args[1], ir.Constant(I64, 6)), I256)
        return builder.trunc(builder.lshr(args[0], bits), I64)

    return types.uint64(U256, types.int64), lower


@_intrinsic
def from_limbs(_context: Any, l3: Any, l2: Any, l1: Any, l0: Any) -> Any:
    """Return the U256 of four uint64, most significant first."""

    def lower(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        whole = builder.zext(args[3], I256)
        for k in (1, 2, 3):
            part = builder.shl(builder.zext(args[3 - k], I256), ir.Constant(I256, 64 * k))
            whole = builder.or_(whole, part)
        return whole

    return U256(types.uint64, types.uint64, types.uint64, types.uint64), lower


def _place(context: Any, builder: Any, array_type: Any, array: Any, row: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    limbs = builder.mul(row, ir.Constant(I64, LIMBS))
    at = builder.gep(builder.bitcast(data, I64.as_pointer()), [limbs])
    return builder.bitcast(at, I256.as_pointer())


@_intrinsic
def load(_context: Any, array: Any, row: Any) -> Any:
    """Return a row of a C-contiguous uint64[n, 4]: limbs, least significant first. Unchecked."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_place(context, builder, sig.args[0], *args), align=8)

    return U256(array, types.int64), lower


@_intrinsic
def store(_context: Any, array: Any, row: Any, value: Any) -> Any:
    """Write a row of a C-contiguous uint64[n, 4]. Unchecked."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], _place(context, builder, sig.args[0], *args[:2]), align=8)
        return context.get_dummy_value()

    return types.void(array, types.int64, U256), lower


# ---- bits


@_intrinsic
def bit_length(_context: Any, x: Any) -> Any:
    """Return the number of bits of `x` (int64); 0 for 0."""

    def lower(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        count = _function(builder, "llvm.ctlz.i256", I256, [I256, I1])
        zeros = builder.trunc(builder.call(count, [args[0], ir.Constant(I1, 0)]), I64)
        return builder.sub(ir.Constant(I64, I256.width), zeros)

    return types.int64(U256), lower


@_intrinsic
def leading_zeros(_context: Any, x: Any) -> Any:
    """Return how many of a uint64's upper bits are 0 (uint64); 64 for 0."""

    def lower(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        count = _function(builder, "llvm.ctlz.i64", I64, [I64, I1])
        return builder.call(count, [args[0], ir.Constant(I1, 0)])

    return types.uint64(types.uint64), lower


@_intrinsic
def sar(_context: Any, x: Any, bits: Any) -> Any:
    """Return `x` shifted right as a two's complement number; beyond 255 bits, its sign."""

    def lower(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        most = ir.Constant(I64, I256.width - 1)
        inside = builder.icmp_unsigned("<", args[1], most)
        return builder.ashr(args[0], builder.zext(builder.select(inside, args[1], most), I256))

    return U256(U256, types.int64), lower


@_intrinsic
def slt(_context: Any, a: Any, b: Any) -> Any:
    """Return whether `a < b` as two's complement numbers."""

    def lower(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.icmp_signed("<", *args)

    return types.boolean(U256, U256), lower


@_intrinsic
def select(_context: Any, condition: Any, a: Any, b: Any) -> Any:
    """Return `a` where the condition holds, else `b`, without a branch."""

    def lower(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.select(*args)

    return U256(types.boolean, U256, U256), lower


@_intrinsic
def when(_context: Any, condition: Any, x: Any) -> Any:
    """Return a uint64 where the condition holds, else 0, without a branch.

    For conditions that hold at random: a branch that is guessed wrongly costs some fifteen cycles.
    """

    def lower(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.and_(builder.sext(args[0], I64), args[1])

    return types.uint64(types.boolean, types.uint64), lower


# ---- wide products, and the one division that hardware does


@_intrinsic
def mul128(_context: Any, a: Any, b: Any) -> Any:
    """Return the 128-bit product of two uint64: (high, low)."""
    pair = types.UniTuple(types.uint64, 2)

    def lower(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        product = builder.mul(*(builder.zext(arg, I128) for arg in args))
        high = builder.trunc(builder.lshr(product, ir.Constant(I128, 64)), I64)
        return context.make_tuple(builder, pair, (high, builder.trunc(product, I64)))

    return pair(types.uint64, types.uint64), lower


@_intrinsic
def mul512(_context: Any, a: Any, b: Any) -> Any:
    """Return the 512-bit product of two U256: (high, low)."""
    pair = types.UniTuple(U256, 2)

    def lower(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        product = builder.mul(*(builder.zext(arg, I512) for arg in args))
        high = builder.trunc(builder.lshr(product, ir.Constant(I512, 256)), I256)
        return context.make_tuple(builder, pair, (high, builder.trunc(product, I256)))

    return pair(U256, U256), lower


@_intrinsic
def divq(_context: Any, high: Any, low: Any, divisor: Any) -> Any:
    """Divide 128 bits by 64 with x86-64's instruction: (quotient, remainder), all uint64.

    `high < divisor` is demanded; the processor faults otherwise.
    """
    pair = types.UniTuple(types.uint64, 2)

    def lower(context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        both = ir.LiteralStructType([I64, I64])
        instruction = ir.InlineAsm(
            ir.FunctionType(both, [I64, I64, I64]),
            "divq $4",
            "={ax},={dx},{ax},{dx},r,~{cc},~{dirflag},~{fpsr},~{flags}",
        )
        answer = builder.call(instruction, [args[1], args[0], args[2]])
        parts = [builder.extract_value(answer, k) for k in (0, 1)]
        return context.make_tuple(builder, pair, parts)

    return pair(types.uint64, types.uint64, types.uint64), lower


def _function(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)
