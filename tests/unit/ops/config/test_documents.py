from __future__ import annotations

from pathlib import Path

import pytest

from searcher.domain.errors import Misconfigured
from searcher.ops.config.documents import locate, packaged_folder, read_document


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, str]]:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work, {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}


def put(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "searcher.toml").write_text("")
    return folder / "searcher.toml"


def test_the_nearest_place_wins(tmp_path: Path, places: tuple[Path, dict[str, str]]):
    work, environ = places
    assert locate(None, environ) == packaged_folder() / "searcher.toml"
    users = put(tmp_path / "xdg" / "searcher")
    assert locate(None, environ) == users
    put(work / "config")
    assert locate(None, environ) == Path("config/searcher.toml")


def test_a_folder_or_a_file_can_be_named(tmp_path: Path):
    main = put(tmp_path / "mine")
    assert locate(str(main.parent), {}) == main
    assert locate(str(main), {}) == main
    with pytest.raises(Misconfigured, match="there is no configuration at"):
        locate(str(tmp_path / "absent"), {})


def test_the_files_that_come_with_the_package_are_found():
    assert (packaged_folder() / "chains" / "ethereum.toml").is_file()


def test_text_that_is_not_utf8_is_refused(tmp_path: Path):
    path = tmp_path / "x.toml"
    path.write_bytes(b"a = '\xff'")
    with pytest.raises(Misconfigured, match="is not UTF-8"):
        read_document(path, ())


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [("a = 1\nb = \n", 2, 5), ("a = 1\na = 2\n", 2, 6), ("a = [1,\n", 1, 1), ("", 0, 0)],
)
def test_faults_of_syntax_are_placed(tmp_path: Path, text: str, line: int, column: int):
    path = tmp_path / "x.toml"
    path.write_text(text)
    _, problems = read_document(path, ())
    found = [p.origin.position[:2] for p in problems if p.origin.position]
    assert found == ([(line, column)] if line else [])
