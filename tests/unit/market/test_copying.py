from __future__ import annotations

import random

import numpy as np
import pytest

from searcher.kernels.memory import CHANGED, CONCENTRATED, COUNT, FIRST, KIND, PLACE, ROOM
from searcher.market import copying
from searcher.market.copying import MemoryCopy, extent_of, fits, lay_out
from searcher.market.memory import MarketMemory
from searcher.market.ticks import TickTable

SPACING = 10


def tables(draw, count):
    """Return a concentrated row's ticks: positions that overlap at random."""
    table = TickTable()
    for _ in range(count):
        lower, upper = sorted(draw.sample(range(-500, 500), 2))
        table = table.positioned(SPACING * lower, SPACING * upper, draw.randrange(1, 10**20))
    return table


class Busy:
    """A memory whose rows are written, added and removed at random."""

    def __init__(self, seed, rows=60):
        self.draw = random.Random(seed)
        self.memory = MarketMemory(400)
        for _ in range(rows):
            self.add()

    def add(self):
        self.write(self.memory.add())

    def write(self, row):
        draw, memory = self.draw, self.memory
        kind = row % 3
        if kind == 0:
            memory.write_product(row, draw.randrange(2**112), draw.randrange(2**112), 3000)
        elif kind == 1:
            table = tables(draw, draw.randrange(1, 12))
            memory.write_ticks(row, table, fee_pips=3000, spacing=SPACING)
            memory.write_price(row, draw.randrange(2**160), draw.randrange(2**128), 0)
        else:
            sides = [np.full((draw.randrange(1, 9), 4), draw.random()) for _ in range(2)]
            memory.write_pieces(row, tuple(sides))
        memory.real[row] = draw.random()
        memory.rate[2 * row : 2 * row + 2] = draw.random()
        memory.changed(row, ticks=True)

    def step(self):
        action = self.draw.randrange(10)
        if action == 0:
            self.add()
        elif action == 1:
            self.memory.remove_last()
        elif action == 2:
            # Whether rows are searched is written without a stamp.
            self.memory.set_alive(self.draw.randrange(self.memory.rows), alive=False)
        else:
            for _ in range(self.draw.randrange(4)):
                self.write(self.draw.randrange(self.memory.rows))


def held(parts, rows):
    """Everything that rows hold, wherever it lies."""
    found = []
    for row in range(rows):
        about = parts["shape"][row]
        first, count, room = (int(about[c]) for c in (FIRST, COUNT, ROOM))
        found.append([parts[name][row].tolist() for name in ("shape", "real")])
        found[-1] += [parts[name][2 * row : 2 * row + 2].tolist() for name in ("exact", "rate")]
        if about[KIND] == CONCENTRATED:
            for name in ("ticks", "gross", "bounds", "depths"):
                found[-1].append(parts[name][first : first + count].tolist())
            found[-1].append(parts["words"][2 * first : 2 * (first + count)].tolist())
        else:
            found[-1].append(parts["pieces"][first : first + count].tolist())
            behind = first + room
            found[-1].append(parts["pieces"][behind : behind + int(about[PLACE])].tolist())
    return found


def test_a_memory_at_rest_is_copied_to_the_bit():
    memory = Busy(1).memory
    copy = MemoryCopy(memory)
    list(copy.slices())
    copy.complete()
    assert copy.extent == extent_of(memory)
    assert copy.extent.rows == 60
    for name, part in memory.parts().items():
        assert copy.parts[name].tobytes() == part.tobytes(), name


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("at_once", [1, 64])
def test_a_memory_at_work_is_copied_as_it_is_at_the_end(monkeypatch, seed, at_once):
    monkeypatch.setattr(copying, "SLICE_BYTES", 512)
    monkeypatch.setattr(copying, "MOST_AT_ONCE", at_once)
    busy = Busy(seed)
    copy = MemoryCopy(busy.memory)
    steps = 0
    for _ in copy.slices():
        steps += 1
        if steps < 300:
            busy.step()
    copy.complete()
    assert steps > 100
    rows = busy.memory.rows
    assert held(copy.parts, rows) == held(busy.memory.parts(), rows)
    assert copy.extent == extent_of(busy.memory)
    before = held(copy.parts, rows)
    for row in range(rows):
        busy.write(row)
    assert held(copy.parts, rows) == before


def filled(copy):
    parts = {name: part.tobytes() for name, part in copy.parts.items()}

    def fill(name, target):
        if target.nbytes:
            target.cast("B")[:] = parts[name]

    return fill


def test_another_memory_goes_on_where_the_copied_one_stood():
    first = Busy(3)
    for _ in range(100):
        first.step()
    copy = MemoryCopy(first.memory)
    list(copy.slices())
    copy.complete()
    second = Busy(0, rows=0)
    lay_out(second.memory, copy.extent, filled(copy))
    assert (second.memory.stamps[: second.memory.rows, CHANGED] > 0).all()
    first.draw, second.draw = random.Random(9), random.Random(9)
    for _ in range(200):
        first.step()
        second.step()
    assert extent_of(second.memory) == extent_of(first.memory)
    for name, part in first.memory.parts().items():
        assert second.memory.parts()[name].tobytes() == part.tobytes(), name


def test_what_is_larger_does_not_fit():
    extent = extent_of(Busy(1).memory)
    assert fits(MarketMemory(60), extent)
    assert not fits(MarketMemory(59), extent)
