"""What every registered protocol promises of its states and quotes, on random states of its own.

A protocol brings `states/<name>.py` with

    def states(rng: random.Random) -> Iterator[tuple[dict, QuoteBlock]]

an endless, seeded series of states as a person would write them, and the block to quote them in.
Beside it may stand

    def tokens(state) -> Sequence[Address]     where they are not `tokens`, `coins`, `token0/1`
    def drowns(state, token, amount) -> bool   whether an amount is less than what the contract's
                                               iteration leaves open: it is not compared
    ROUNDING = (wei, share)                    where the contract rounds an exact output in its own
                                               favour by more than one wei of the input: how much it
                                               may take too much, a wei of the output's worth or
                                               these of the input
    SHORT = (wei, share)                       how much less than was asked an exact input of what
                                               an exact output takes may pay, ROUNDING if left out:
                                               nothing, where the contract has no exact output
    TOLD = True                                where a swap is told its output, which may then be
                                               more than the view says of that input: it is the
                                               view's own input that the view is asked for

That the kernel equals the reference, and both the bytecode, is for each curve's own tests.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import random
import re
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from searcher.domain.events import Log
from searcher.domain.settings import Settings
from searcher.domain.units import Address, Hash32
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import PROTOCOLS, Quote, QuoteBlock, ReadCall, UnreadablePool
from searcher.market.state import MalformedState, state_from
from tests.conformance.draws import addresses, sized

ROOT = Path(__file__).parents[2]
STRANGER = Address("0x" + "5a" * 20)
EDGES = [1, 2, 2**112 - 1, 2**112, 2**128 - 1, 2**128, 2**255 - 1, 2**255, 2**256 - 1]
CLOSED = {Status.PAUSED, Status.UNMODELLED, Status.BAD_STATE}
"""A pool in such a state refuses whatever is asked."""
COUNTS = [20, pytest.param(400, marks=pytest.mark.full)]
SLOPE_TOLERANCE = 0.05
"""Fees that grow with imbalance bend a curve; wrong decimals or a rate upside down are no bend."""


class Subject(NamedTuple):
    """A protocol and where its random states come from."""

    protocol: Any
    module: Any

    def draw(self, count, seed=1):
        """Return random states with their blocks, and the dicts they were built from."""
        drawn = itertools.islice(self.module.states(random.Random(seed)), count)
        return [(state_from(self.protocol.State, raw), block, raw) for raw, block in drawn]

    def tokens(self, state):
        if hasattr(self.module, "tokens"):
            return list(self.module.tokens(state))
        for name in ("tokens", "coins"):
            if hasattr(state, name):
                return list(getattr(state, name))
        return [state.token0, state.token1]

    def drowns(self, state, *amounts):
        """Return whether one of (token, amount) is below what the contract's iteration resolves."""
        asked = getattr(self.module, "drowns", lambda *_: False)
        return any(asked(state, token, amount) for token, amount in amounts)

    def ways(self, rng, state, most=4):
        """Return some of the ordered pairs of a pool's tokens."""
        every = list(itertools.permutations(self.tokens(state), 2))
        return rng.sample(every, min(most, len(every)))


def module_of(name):
    """Return a protocol's random states."""
    where = f"tests.conformance.states.{name}"
    if importlib.util.find_spec(where) is None:
        pytest.fail(
            f"{where.replace('.', '/')}.py is missing: write states(rng) there, an endless series"
            " of (state as a dict, QuoteBlock); tests/conformance/test_curves.py says how"
        )
    return importlib.import_module(where)


@pytest.fixture(params=PROTOCOLS.names())
def subject(request):
    plugin = PROTOCOLS.load(request.param)
    return Subject(plugin(plugin.Config()), module_of(request.param))


def answer(function, *args):
    """Return a quote, or the status of the refusal; anything else is a fault of the curve."""
    try:
        quote = function(*args)
    except SwapRefused as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert refused.status is not Status.OK
        assert refused.why
        return refused.status
    assert isinstance(quote, Quote)
    assert all(type(number) is int for number in quote), quote
    assert 0 <= quote.amount < 2**256
    assert 0 <= quote.realised < 2**256
    assert quote.crossings >= 0
    return quote


def hints(struct):
    return typing.get_type_hints(struct, include_extras=True)


def parts(kind):
    """Return the struct types inside a field's type."""
    found = [kind] if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else []
    return found + [part for inner in typing.get_args(kind) for part in parts(inner)]


def structs(root):
    """Return a struct and those nested in it."""
    waiting, found = [root], []
    while waiting:
        struct = waiting.pop()
        if struct not in found:
            found.append(struct)
            waiting += [part for kind in hints(struct).values() for part in parts(kind)]
    return found


# ---- the form


def test_the_plugin_is_documented_and_complete(subject):
    protocol = subject.protocol
    assert len(type(protocol).__doc__.split()) > 3
    assert issubclass(protocol.Config, Settings)
    assert isinstance(protocol.topics, frozenset)
    assert all(re.fullmatch("0x[0-9a-f]{64}", topic) for topic in protocol.topics)


@pytest.mark.parametrize("which", ["State", "Identity"])
def test_structs_are_frozen_and_every_field_is_described(subject, which):
    for struct in structs(getattr(subject.protocol, which)):
        assert struct.__struct_config__.frozen, struct
        text = " ".join(base.__doc__ or "" for base in struct.__mro__[:-2])
        assert text.strip(), struct
        if which == "Identity":
            continue
        families = tuple(re.findall(r"`(\w+_)…`", text))  # such as `should_call_…`
        missing = [
            name
            for name in struct.__struct_fields__
            if not re.search(rf"\b{name}\b", text)
            and not (families and name.startswith(families))
            and not re.fullmatch(r"(token|currency)_?[01xy]", name)  # they say it themselves
        ]
        assert not missing, f"{struct.__name__}'s docstring does not say what {missing} are"


def test_what_is_volatile_is_a_field(subject):
    assert subject.protocol.volatile <= set(subject.protocol.State.__struct_fields__)


# ---- states from dicts


def spelled(value, spell):
    """Return a state's plain form with every integer spelled another way."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return spell(value)
    if isinstance(value, dict):
        return {name: spelled(inner, spell) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [spelled(inner, spell) for inner in value]
    return value


@pytest.mark.parametrize("spell", [int, str, hex], ids=["number", "decimal", "hex"])
def test_a_state_written_as_json_is_the_same_state(subject, spell):
    for state, _, raw in subject.draw(20):
        plain = spelled(msgspec.to_builtins(state), spell)
        assert state_from(type(state), json.loads(json.dumps(plain))) == state
        assert state_from(type(state), json.loads(json.dumps(spelled(raw, spell)))) == state


def broken(value, path):
    """Return (how to break it, the path that must be named) for everything inside a plain state."""
    if isinstance(value, dict):
        yield from (
            ((name, *how), at)
            for name in value
            for how, at in broken(value[name], f"{path}.{name}")
        )
        yield (("nonsense",), f"{path}.nonsense: there is no such field")
    elif isinstance(value, (list, tuple)):
        yield from (
            ((i, *how), at)
            for i in range(min(len(value), 2))
            for how, at in broken(value[i], f"{path}[{i}]")
        )
    yield ((), f"{path}: expected")


def changed(value, how, new):
    if not how:
        return new
    if isinstance(value, dict):
        return {**value, how[0]: changed(value.get(how[0]), how[1:], new)}
    return [changed(v, how[1:], new) if i == how[0] else v for i, v in enumerate(value)]


def test_a_field_of_another_kind_is_named_with_its_path(subject):
    for state, _, _ in subject.draw(5):
        plain = msgspec.to_builtins(state)
        for how, says in broken(plain, "state"):
            # A text field takes any text.
            texts = [] if isinstance(value_at(plain, how), str) else ["nonsense"]
            for new in (object(), 1.5, *texts):
                with pytest.raises(MalformedState) as refused:
                    state_from(type(state), changed(plain, how, new))
                assert str(refused.value).startswith(says.partition(":")[0])


def value_at(plain, how):
    for step in how:
        plain = plain.get(step) if isinstance(plain, dict) else plain[step]
    return plain


def test_a_missing_field_is_named(subject):
    state, _, _ = subject.draw(1)[0]
    plain = msgspec.to_builtins(state)
    required = [f.name for f in msgspec.structs.fields(type(state)) if f.required]
    assert required
    for name in required:
        with pytest.raises(MalformedState, match=rf"state\.{name}: missing"):
            state_from(type(state), {n: v for n, v in plain.items() if n != name})


def test_what_is_no_object_is_refused(subject):
    for raw in (None, 1, "state", []):
        with pytest.raises(MalformedState, match="state: expected an object"):
            state_from(subject.protocol.State, raw)


# ---- quotes


def test_a_token_must_be_the_pools_and_another(subject):
    for state, block, _ in subject.draw(10):
        first, second = subject.tokens(state)[:2]
        for quote in (subject.protocol.quote_exact_in, subject.protocol.quote_exact_out):
            for pair, status in (
                ((first, first), Status.SAME_TOKEN),
                ((first, STRANGER), Status.UNKNOWN_TOKEN),
                ((STRANGER, second), Status.UNKNOWN_TOKEN),
            ):
                assert answer(quote, state, block, *pair, 1000) in {status, *CLOSED}
        with pytest.raises(SwapRefused):
            subject.protocol.marginal_rate(state, block, first, STRANGER, 0)


@pytest.mark.parametrize("count", COUNTS)
def test_every_amount_gets_an_exact_number_or_a_named_refusal(subject, count):
    rng = random.Random(count)
    for state, block, _ in subject.draw(count, seed=count):
        for way in subject.ways(rng, state):
            for quote in (subject.protocol.quote_exact_in, subject.protocol.quote_exact_out):
                nothing = answer(quote, state, block, *way, 0)
                if quote == subject.protocol.quote_exact_in:
                    # A view may answer something for nothing, which no swap pays.
                    assert isinstance(nothing, Status) or nothing.realised == 0
                before = 0
                for amount in sorted((*EDGES, sized(rng, 100), sized(rng, 120), sized(rng, 256))):
                    said = answer(quote, state, block, *way, amount)
                    assert said == answer(quote, state, block, *way, amount)
                    if isinstance(said, Status):
                        continue
                    # Fees that grow with imbalance may take back what more input would give.
                    assert said.amount >= before * (1 - SLOPE_TOLERANCE) - 3, (way, amount)
                    before = said.amount


@pytest.mark.parametrize("count", COUNTS)
def test_what_an_output_costs_is_what_gave_it(subject, count):
    rng = random.Random(count + 1)
    wei, share = getattr(subject.module, "ROUNDING", (0, 0.0))
    short_wei, short_share = getattr(subject.module, "SHORT", (wei, share))
    asked = answered = 0
    for state, block, _ in subject.draw(count, seed=count + 1):
        for way in subject.ways(rng, state):
            for bits in (20, 60, 90, 112):
                amount = sized(rng, bits)
                forth = answer(subject.protocol.quote_exact_in, state, block, *way, amount)
                if isinstance(forth, Status) or forth.realised == 0:
                    continue
                if subject.drowns(state, (way[0], amount), (way[1], forth.realised)):
                    continue
                back = answer(subject.protocol.quote_exact_out, state, block, *way, forth.realised)
                if back is Status.UNKNOWN_TOKEN:
                    continue  # two coins of a metapool's base pool
                asked += 1
                if isinstance(back, Status):
                    continue
                # What the contract's view asks for may be an estimate; what a swap needs is not
                # more than what was given, and pays what was asked for. Libraries that add one to
                # what they have rounded down ask for one too much.
                worth = math.ceil(amount / forth.realised)
                over = (max(wei, worth) if wei else 0) + math.ceil(share * amount)
                assert back.realised <= amount + 1 + over, (forth, back)
                forward = subject.protocol.quote_exact_in
                told = getattr(subject.module, "TOLD", False)
                given = back.amount if told else back.realised
                paid = answer(forward, state, block, *way, given)
                least = forth.realised - short_wei - math.ceil(short_share * forth.realised)
                assert not isinstance(paid, Status), (back, paid)
                assert (paid.amount if told else paid.realised) >= least, (back, paid)
                answered += 1
    assert asked > count, "hardly any of the random states lets anything be swapped"
    assert answered > asked // 2, f"only {answered} of {asked} outputs have an input"


@pytest.mark.parametrize("count", COUNTS)
def test_the_marginal_rate_goes_with_the_quotes(subject, count):
    rng = random.Random(count + 2)
    wei, _ = getattr(subject.module, "ROUNDING", (0, 0.0))
    compared = 0
    for state, block, _ in subject.draw(count, seed=count + 2):
        for way, bits in itertools.product(subject.ways(rng, state, most=2), (60, 80, 100)):
            amount = sized(rng, bits)
            quote = answer(subject.protocol.quote_exact_in, state, block, *way, amount)
            # Below that, rounding alone moves the ratio.
            if isinstance(quote, Status) or min(quote.realised, amount) < max(10**9, 1000 * wei):
                continue
            if subject.drowns(state, (way[0], amount), (way[1], quote.realised)):
                continue
            try:
                spot, there = (
                    subject.protocol.marginal_rate(state, block, *way, at) for at in (0, amount)
                )
            except SwapRefused:
                continue
            assert isinstance(spot, float)
            ratio = quote.realised / amount
            assert there * (1 - SLOPE_TOLERANCE) <= ratio <= spot * (1 + SLOPE_TOLERANCE)
            compared += 1
    assert compared > count // 10, "hardly any of the random states pays more than dust"


FIRST_CALLS = """
from searcher.kernels.refusal import SwapRefused
from tests.conformance.test_curves import PROTOCOLS, Subject, module_of

for name in PROTOCOLS.names():
    plugin = PROTOCOLS.load(name)
    subject = Subject(plugin(plugin.Config()), module_of(name))
    state, block, _ = subject.draw(1)[0]
    protocol, way = subject.protocol, subject.tokens(state)[:2]
    for ask in (protocol.quote_exact_in, protocol.quote_exact_out, protocol.marginal_rate):
        try:
            ask(state, block, *way, 2**100 + 1)
        except SwapRefused:
            pass
        except Exception as error:
            print(name, ask.__name__, repr(error)[:200])
"""


def test_the_first_call_of_a_process_may_be_about_a_great_amount():
    """A kernel handed an enum is matched in another way, which takes no int over 64 bits."""
    code = [sys.executable, "-c", FIRST_CALLS]
    finished = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert not finished.stdout, finished.stdout


def test_volatile_values_come_from_the_block(subject):
    protocol = subject.protocol
    for state, block, _ in subject.draw(10):
        same = {name: getattr(state, name) for name in protocol.volatile}
        given = QuoteBlock(block.number, block.timestamp, {**same, **block.volatile})
        way = subject.tokens(state)[:2]
        for amount in (10**6, 10**12, 10**18):
            ask = (protocol.quote_exact_in, state)
            assert answer(*ask, given, *way, amount) == answer(*ask, block, *way, amount)
        if isinstance(answer(protocol.quote_exact_in, state, block, *way, 10**6), Status):
            continue  # what is refused whatever the block says need not look at it
        unheard = QuoteBlock(block.number, block.timestamp, {"nonsense": 1})
        for ask in (protocol.quote_exact_in, protocol.quote_exact_out, protocol.marginal_rate):
            with pytest.raises(ValueError, match="nonsense"):
                ask(state, unheard, *way, 10**6)


# ---- reads and events


def driven(reads, reply, asked=None):
    """Answer every call in the same way; returns what the reads say in the end."""
    asked = [] if asked is None else asked
    try:
        calls = next(reads)
        for _ in range(20):
            assert calls
            asked += calls
            for call in calls:
                assert isinstance(call, ReadCall)
                assert re.fullmatch("0x[0-9a-f]{40}", call.to), call
                assert re.fullmatch("0x(?:[0-9a-f]{2}){4,}", call.data), call
            calls = reads.send([reply] * len(calls))
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the reads go on for ever")


REPLIES = ["the call was refused", (), (2**256 - 1,), (2**256 - 1,) * 40]


def an_identity(rng, struct):
    """Build the smallest identity: what has no default gets a value of its kind."""
    ascending = iter(addresses(rng, 20))
    makers = {
        Address: lambda: Address(next(ascending)),
        Hash32: lambda: Hash32(f"0x{rng.getrandbits(256):064x}"),
        bool: lambda: False,
    }
    values = {}
    for field in msgspec.structs.fields(struct):
        if field.required:
            kind = hints(struct)[field.name]
            kind = typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
            if parts(kind):
                values[field.name] = an_identity(rng, parts(kind)[0])
            elif typing.get_origin(kind) is tuple:
                inner = typing.get_args(kind)[0]
                values[field.name] = tuple(makers[inner]() for _ in range(2))
            else:
                values[field.name] = makers.get(kind, lambda: 3000)()
    return struct(**values)


@pytest.mark.parametrize("reply", REPLIES, ids=["refused", "nothing", "one word", "many words"])
def test_answers_that_are_no_pools_are_refused(subject, reply):
    identity = an_identity(random.Random(3), subject.protocol.Identity)
    with pytest.raises(UnreadablePool):
        driven(subject.protocol.reads(identity), reply)


def test_volatile_fields_are_read_again(subject):
    for state, _, _ in subject.draw(5):
        asked = []
        try:
            said = driven(subject.protocol.refresh(state), REPLIES[0], asked)
        except UnreadablePool:
            continue  # what is volatile was asked for, and no answer is no value
        # Nothing of this very pool moves, or not knowing is a value.
        assert said.keys() <= subject.protocol.volatile
        assert said or not asked


def test_logs_that_are_no_events_of_a_pool_are_refused(subject):
    for state, _, _ in subject.draw(3):
        with pytest.raises(MalformedLog):
            subject.protocol.apply(state, Log(STRANGER, ("0x" + "13" * 32,), "0x"))
        for topic in sorted(subject.protocol.topics):
            for topics, data in (
                ((topic,), "0x"),
                ((topic,), "0x" + "ff" * 7),
                ((topic,) + ("0x" + "ff" * 32,) * 3, "0x" + "ff" * 32 * 9),
                ((topic,), "0x" + "zz" * 64),
            ):
                try:
                    after = subject.protocol.apply(state, Log(STRANGER, topics, data))
                except MalformedLog:
                    continue
                # An event that carries nothing has no wrong shape.
                assert isinstance(after, type(state))
