"""The rules of the house that no linter knows: sizes, names, plug-ins, and what files may hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "searcher"
MOST_LINES = 600
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
PLUGIN_FOLDERS = {
    "networks",
    "sources",
    "protocols",
    "funding",
    "strategies",
    "backends",
    "signers",
    "relays",
    "stores",
    "models",
    "notifiers",
}
SOURCES = sorted(PACKAGE.rglob("*.py"))
PLUGINS = [
    path for path in SOURCES if path.parent.name in PLUGIN_FOLDERS and path.stem != "__init__"
]
# Spelled in pieces, so that this file passes its own test.
MACHINE_PATH = re.compile(r"(?<![\w.~$}-])/(?:work|root)/" + r"\w")
REGISTRY = re.compile(r"https?://[^\s\"']*(?:pypi|npmjs|artifactory|/simple/?\b)", re.IGNORECASE)
ADDRESS = re.compile(r"https?://", re.IGNORECASE)


def tracked() -> list[Path]:
    """Every text file of the repository, or of the tree when it is no repository."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        paths = [ROOT / line for line in listed.stdout.splitlines()]
    else:
        paths = [p for d in (PACKAGE, ROOT / "tests", ROOT / "docs") for p in d.rglob("*")]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_a_house_to_look_at():
    assert len(SOURCES) > 10
    assert any(path.suffix == ".toml" for path, _ in texts())


def test_files_stay_short():
    long = {name(p): n for p in SOURCES if (n := len(p.read_text().splitlines())) > MOST_LINES}
    assert not long


def test_no_module_has_a_name_that_means_anything():
    parts = {name(p): {*p.relative_to(PACKAGE).parent.parts, p.stem} for p in SOURCES}
    assert not [path for path, words in parts.items() if words & VAGUE_NAMES]


def test_every_folder_is_a_package():
    folders = {path.parent for path in SOURCES}
    assert not [name(folder) for folder in folders if not (folder / "__init__.py").is_file()]


def test_every_module_says_what_it_is():
    silent = [name(p) for p in SOURCES if not ast.get_docstring(ast.parse(p.read_text()))]
    assert not silent


@pytest.mark.parametrize("path", PLUGINS, ids=name)
def test_every_plugin_names_its_class(path: Path):
    module = ast.parse(path.read_text())
    classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    chosen = [
        node.value.id
        for node in module.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Name)
        and [t.id for t in node.targets if isinstance(t, ast.Name)] == ["PLUGIN"]
    ]
    assert len(chosen) == 1
    assert chosen[0] in classes
    assert ast.get_docstring(classes[chosen[0]])


def test_nothing_names_the_machine_it_was_made_on():
    found = [name(path) for path, text in texts() if MACHINE_PATH.search(text)]
    assert not found


def test_locks_hold_hashes_and_no_addresses():
    locks = [path for path in tracked() if path.parent.name == "locks" and path.suffix == ".txt"]
    assert locks
    for path in locks:
        text = path.read_text()
        assert not ADDRESS.search(text), name(path)
        assert "--index-url" not in text, name(path)
        assert text.count("--hash=sha256:") > 10, name(path)
    npm = (ROOT / "contracts" / "package-lock.json").read_text()
    assert '"resolved"' not in npm
    assert '"integrity": "sha512-' in npm


def test_no_file_names_a_registry():
    prose = {".md"}
    found = [
        name(path) for path, text in texts() if path.suffix not in prose and REGISTRY.search(text)
    ]
    assert not found


def run_contracts(folder: Path, config: str) -> subprocess.CompletedProcess[str]:
    (folder / ".importlinter").write_text(config)
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    env = {"PYTHONPATH": f"{folder}:{ROOT}", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60
    )


CONTRACTS = """
[importlinter]
root_package = cottage
include_external_packages = True
contract_types =
    allow_list: tests.house.import_contracts.AllowListContract
    plug_ins: tests.house.import_contracts.PlugInContract
    visitors: tests.house.import_contracts.VisitorsContract
[importlinter:contract:sums]
name = sums
type = allow_list
source_package = cottage.sums
allowed_packages = numpy
[importlinter:contract:plugs]
name = plugs
type = plug_ins
root_package = cottage
folders = relays
[importlinter:contract:lab]
name = lab
type = visitors
package = cottage.lab
visitors = cottage.ops
[importlinter:contract:absent]
name = absent
type = visitors
package = cottage.nowhere
visitors = cottage.ops
"""
COTTAGE = {
    "__init__.py": "",
    "sums/__init__.py": "import math\nimport numpy\n",
    "relays/__init__.py": "",
    "relays/a.py": "",
    "relays/b.py": "",
    "lab/__init__.py": "",
    "ops/__init__.py": "import cottage.lab\n",
}


@pytest.mark.parametrize(
    ("file", "text", "broken"),
    [
        ("ops/__init__.py", "import cottage.lab\n", None),
        ("sums/__init__.py", "import orjson\n", "cottage.sums imports orjson"),
        ("sums/__init__.py", "import cottage.lab\n", "cottage.sums imports cottage.lab"),
        ("relays/b.py", "import cottage.relays.a\n", "cottage.relays.b imports cottage.relays.a"),
        (
            "ops/__init__.py",
            "from cottage.relays import a\n",
            "cottage.ops imports cottage.relays.a",
        ),
        ("relays/__init__.py", "import cottage.lab\n", "cottage.relays imports cottage.lab"),
    ],
)
def test_import_contracts_break_when_they_should(
    tmp_path: Path, file: str, text: str, broken: str | None
):
    for path, content in {**COTTAGE, file: text}.items():
        target = tmp_path / "cottage" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    done = run_contracts(tmp_path, CONTRACTS)
    assert (done.returncode == 0) is (broken is None), done.stdout
    assert broken is None or broken in done.stdout
