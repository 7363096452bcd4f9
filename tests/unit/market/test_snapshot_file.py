from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.domain.events import BlockRef
from searcher.market import snapshot_file
from searcher.market.snapshot_file import (
    Cause,
    Heading,
    SnapshotFile,
    SnapshotRefused,
    prune,
    stored,
    write,
)

WRITER = Path(__file__).with_name("killed_snapshot_writer.py")
ROOT = Path(__file__).parents[3]
HEADING = Heading("somechain", 7, "0x" + "0e" * 32, BlockRef(9, "0x" + "99" * 32), "c", "s")
SECTIONS = [
    ("text", [b"a ", b"", b"market"]),
    ("none", []),
    ("numbers", [np.arange(600, dtype=np.int64).reshape(200, 3).data]),
    ("no rows", [np.zeros((0, 4), np.uint64).data]),
]


def whole(path):
    """Everything in a file, verified."""
    with SnapshotFile(path) as file:
        file.verify()
        return file.heading, {name: file.section(name) for name, _ in SECTIONS}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.snapshot"
    write(path, HEADING, SECTIONS)
    return path


def test_what_was_written_is_read(path):
    heading, sections = whole(path)
    assert heading == HEADING
    assert sections == {name: b"".join(map(bytes, data)) for name, data in SECTIONS}
    assert [p.name for p in path.parent.iterdir()] == ["a.snapshot"]


def test_a_section_is_copied_to_where_it_belongs(path):
    target = np.zeros((200, 3), np.int64)
    with SnapshotFile(path) as file:
        file.copy_into("numbers", target.data)
        file.copy_into("no rows", np.zeros((0, 4), np.uint64).data)
        with pytest.raises(SnapshotRefused, match="4800 bytes instead of 4776"):
            file.copy_into("numbers", target[1:].data)
        with pytest.raises(SnapshotRefused, match="no section letters"):
            file.section("letters")
    assert (target == np.arange(600).reshape(200, 3)).all()


# ---- whatever is changed, missing or added is noticed


def refused(path, data):
    path.write_bytes(data)
    with pytest.raises(SnapshotRefused) as refusal:
        whole(path)
    assert str(path) in str(refusal.value)
    return refusal.value.cause


def test_any_flipped_byte_is_noticed(path):
    data = path.read_bytes()
    causes = set()
    # Every byte of the preamble, and a good part of the sections and the index.
    edges = [*range(64), *range(64, len(data) - 800, 61), *range(len(data) - 800, len(data), 7)]
    for place in edges:
        spoiled = bytearray(data)
        spoiled[place] ^= 1 << place % 8
        causes.add(refused(path, bytes(spoiled)))
    assert causes == {Cause.CORRUPTED, Cause.OTHER_VERSION, Cause.TRUNCATED}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "a.snapshot"
    write(path, HEADING, SECTIONS)
    return path, path.read_bytes()


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_byte_replaced_by_any_other_is_noticed(written, data):
    path, sound = written
    place = data.draw(st.integers(0, len(sound) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != sound[place]))
    refused(path, sound[:place] + bytes([byte]) + sound[place + 1 :])


def test_any_truncation_is_noticed(path):
    data = path.read_bytes()
    for length in [*range(130), *range(130, len(data), 31), len(data) - 1]:
        assert refused(path, data[:length]) is Cause.TRUNCATED


def test_what_is_added_is_noticed(path):
    assert refused(path, path.read_bytes() + b"\0") is Cause.TRUNCATED


def test_another_file_is_none(path):
    assert refused(path, b"\x7fELF" + bytes(4096)) is Cause.CORRUPTED
    path.unlink()
    with pytest.raises(SnapshotRefused, match="No such file") as refusal:
        SnapshotFile(path)
    assert refusal.value.cause is Cause.UNREADABLE


def test_another_format_is_another_version(path, monkeypatch):
    monkeypatch.setattr(snapshot_file, "FORMAT", snapshot_file.FORMAT + 1)
    with pytest.raises(SnapshotRefused, match="this version reads 2") as refusal:
        SnapshotFile(path)
    assert refusal.value.cause is Cause.OTHER_VERSION


# ---- old or new, never half


@pytest.mark.parametrize("begun_before_the_kill", [2, 9, 30])
async def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path, begun_before_the_kill):
    path = tmp_path / "a.snapshot"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        WRITER,
        path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        stdout=asyncio.subprocess.PIPE,
    )
    begun = 0
    async with asyncio.timeout(60):
        while begun < begun_before_the_kill:
            begun = int(await process.stdout.readline())
        process.kill()
        rest = (await process.stdout.read()).split()
        await process.wait()
    last = max([begun, *map(int, rest)])
    with SnapshotFile(path) as file:
        file.verify()
        number = file.heading.block.number
        assert file.section("same") == number.to_bytes(8, "big") * 100_000
    assert number in {last - 1, last}
    prune(tmp_path, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["a.snapshot"]


def test_a_write_that_fails_leaves_the_old_file_alone(path):
    before = path.read_bytes()

    def sections():
        yield "numbers", [bytes(10_000)]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write(path, HEADING, sections())
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["a.snapshot"]


def test_the_last_two_are_kept_and_what_the_dead_left_is_swept(tmp_path):
    paths = [tmp_path / f"{name}.snapshot" for name in "cab"]
    for age, path in enumerate(paths):
        write(path, HEADING, SECTIONS)
        os.utime(path, ns=(age, age))
    left, busy = tmp_path / ".x.snapshot.1.part", tmp_path / ".y.snapshot.2.part"
    left.touch()
    with busy.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        prune(tmp_path, 2)
        assert stored(tmp_path) == [paths[2], paths[1]]
        assert sorted(p.name for p in tmp_path.glob(".*")) == [busy.name]


def test_a_folder_that_is_not_there_holds_none(tmp_path):
    assert stored(tmp_path / "nowhere") == []
