"""Fetching, with npm replaced by a script: the registry is not there to be asked in a test."""

import asyncio
import hashlib
import io
import tarfile

import msgspec
import pytest

from searcher.devnet import packages
from searcher.devnet.packages import Package, fetch, find_npm, pinned
from searcher.domain.errors import NotReady


def archive(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


GOOD = archive({"package/build/Thing.json": b'{"a": 1}', "package/other.txt": b"unwanted"})
PACKAGE = Package(
    name="@maker/thing",
    version="1.0.0",
    sha512=hashlib.sha512(GOOD).hexdigest(),
    files={"Thing": "build/Thing.json"},
)


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """A program that packs what is in `served`, and notes that it was called."""
    served, calls, script = tmp_path / "served.tgz", tmp_path / "calls", tmp_path / "npm"
    served.write_bytes(GOOD)
    script.write_text(
        "#!/bin/sh\n"
        f"echo called >> {calls}\n"
        f'if [ -f {served} ]; then cp {served} "$5/thing.tgz"; '
        "else echo 'npm error 404 Not Found' >&2; exit 1; fi\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(packages, "find_npm", lambda: script)
    return served, calls


async def test_only_the_wanted_files_are_kept_and_fetched_once(npm, tmp_path):
    cache = tmp_path / "cache"
    for _ in range(2):
        assert await fetch([PACKAGE], cache) == {"Thing": '{"a": 1}'}
    assert npm[1].read_text().count("called") == 1
    kept = [path.name for path in cache.rglob("*") if path.is_file()]
    assert kept == ["Thing.json"]


async def test_another_hash_than_the_pinned_one_is_refused_and_leaves_nothing(npm, tmp_path):
    npm[0].write_bytes(archive({"package/build/Thing.json": b'{"a": 2}'}))
    cache = tmp_path / "cache"
    with pytest.raises(NotReady, match=r"@maker/thing@1\.0\.0 has sha512 .* is pinned"):
        await fetch([PACKAGE], cache)
    assert list(cache.iterdir()) == []


async def test_a_file_that_the_package_lacks_is_named(npm, tmp_path):
    wrong = msgspec.structs.replace(PACKAGE, files={"Absent": "build/Absent.json"})
    with pytest.raises(NotReady, match=r"lacks Absent\.json"):
        await fetch([wrong], tmp_path / "cache")
    assert npm[1].exists()


@pytest.mark.usefixtures("npm")
async def test_a_pin_that_wants_another_file_is_fetched_again(tmp_path):
    cache = tmp_path / "cache"
    await fetch([PACKAGE], cache)
    renamed = msgspec.structs.replace(PACKAGE, files={"Same": PACKAGE.files["Thing"]})
    assert await fetch([renamed], cache) == {"Same": '{"a": 1}'}
    assert await fetch([PACKAGE], cache) == {"Thing": '{"a": 1}'}


async def test_what_npm_says_is_passed_on(npm, tmp_path):
    npm[0].unlink()
    with pytest.raises(NotReady, match="404 Not Found"):
        await fetch([PACKAGE], tmp_path / "cache")


async def test_two_fetches_at_once_do_not_disturb_each_other(npm, tmp_path):
    cache = tmp_path / "cache"
    results = await asyncio.gather(*(fetch([PACKAGE], cache) for _ in range(4)))
    assert results == [{"Thing": '{"a": 1}'}] * 4
    assert [path.name for path in cache.iterdir()] == [PACKAGE.folder]
    assert npm[1].exists()


def test_a_missing_npm_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(packages.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotReady, match="make setup"):
        find_npm()


def test_every_pin_is_whole():
    pins = pinned()
    assert all(len(bytes.fromhex(package.sha512)) == 64 for package in pins)
    names = [name for package in pins for name in package.files]
    assert len(set(names)) == len(names)
