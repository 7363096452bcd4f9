import sys

import pytest

from searcher.domain.errors import Misconfigured
from searcher.domain.registry import Registry, nearest


class Base:
    """What the plug-ins of the test derive from."""


@pytest.fixture
def relays(tmp_path, monkeypatch):
    package = tmp_path / "plugged" / "relays"
    package.mkdir(parents=True)
    (tmp_path / "plugged" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "_private.py").write_text("raise RuntimeError('imported')")
    (package / "flashbots.py").write_text(
        "import tests_registry_base as b\nclass Flashbots(b.Base): ...\nPLUGIN = Flashbots\n"
    )
    (package / "titan.py").write_text("raise RuntimeError('imported')")
    (package / "wrong.py").write_text("PLUGIN = 7")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = type(sys)("tests_registry_base")
    module.Base = Base
    monkeypatch.setitem(sys.modules, "tests_registry_base", module)
    yield Registry("plugged.relays", Base)
    for name in [n for n in sys.modules if n.startswith("plugged")]:
        del sys.modules[name]


def test_names_are_listed_without_importing(relays):
    assert relays.names() == ["flashbots", "titan", "wrong"]
    assert "plugged.relays.titan" not in sys.modules


def test_only_the_named_plugin_is_imported(relays):
    assert relays.load("flashbots").__name__ == "Flashbots"
    assert "plugged.relays.titan" not in sys.modules


def test_an_unknown_name_answers_with_the_nearest(relays):
    with pytest.raises(Misconfigured, match=r"no relay called 'flashbot'.*'flashbots'"):
        relays.load("flashbot")


def test_a_module_without_a_plugin_class_is_a_fault(relays):
    with pytest.raises(TypeError, match="is not a Base"):
        relays.load("wrong")


def test_nearest_says_nothing_when_nothing_is_close():
    assert nearest("qqqq", ["flashbots", "titan"]) is None
