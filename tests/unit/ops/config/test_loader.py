from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from searcher.domain.errors import ExitStatus, Misconfigured
from searcher.ops.config.problems import ConfigInvalid, Problem, Source

Read = Callable[..., Any]


def faults(read: Read, *flags: str, **variables: str) -> list[Problem]:
    with pytest.raises(ConfigInvalid) as caught:
        read(*flags, **variables)
    assert caught.value.exit_status is ExitStatus.CONFIG
    return caught.value.problems


def put(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_valid_configuration_is_read(read: Read):
    config = read().config
    assert config.main.chains == ("alpha",)
    assert config.alpha.chain.chain_id == 7
    assert config.alpha.node.http_url == "https://user:key@node.example/v3/s3cret"
    assert config.alpha.relays["first"].name == "courier"
    assert config.alpha.relays["first"].settings.timeout_ms == 500
    assert config.files["risk", "default"].max_loss_gwei == 5


def test_all_faults_of_all_files_come_at_once(read: Read, folder: Path):
    put(folder, "searcher.toml", 'mode = "observe"', 'mode = "observ"')
    put(folder, "chains/alpha.toml", 'pending = "full"', "max_inflight = 65\nhttp_ur = 1")
    put(folder, "chains/alpha.toml", "decimals = 18", "decimals = true")
    put(folder, "chains/alpha.toml", '"courier"', '"courier"\ntimeout_ms = 0')
    put(folder, "risk/default.toml", "5", '"many"')
    found = {(p.path, p.what, p.remedy) for p in faults(read)}
    assert found == {
        (("mode",), "mode = 'observ' is not known", "did you mean 'observe'?"),
        (
            ("chains", "alpha", "node", "max_inflight"),
            "max_inflight = 65 is out of range",
            "write at most 64 requests",
        ),
        (
            ("chains", "alpha", "node", "http_ur"),
            "unknown key 'http_ur' in [node]",
            "did you mean 'http_url'?",
        ),
        (
            ("chains", "alpha", "tokens", "WETH", "decimals"),
            "decimals = True has the wrong type",
            "write a number without quotes",
        ),
        (
            ("chains", "alpha", "relays", "first", "timeout_ms"),
            "timeout_ms = 0 is out of range",
            "write at least 1 ms",
        ),
        (
            ("risk", "default", "max_loss_gwei"),
            "max_loss_gwei = 'many' has the wrong type",
            "write a number without quotes",
        ),
    }


def test_a_fault_is_shown_like_a_compiler_does(read: Read, folder: Path):
    put(folder, "chains/alpha.toml", "http_url =", "http_ur =")
    rendered = [p.render() for p in faults(read)]
    label = str(folder / "chains" / "alpha.toml")
    assert rendered[1] == (
        f"{label}:6:1: unknown key 'http_ur' in [node]\n"
        '    6 | http_ur = "env:ALPHA_URL" # where\n'
        "      | ^^^^^^^\n"
        "    help: did you mean 'http_url'?"
    )
    assert rendered[0].startswith(f"{label}:5:1: 'http_url' is missing in [node]\n    5 | [node]\n")


def test_a_fault_of_syntax_hides_no_fault_of_another_file(read: Read, folder: Path):
    put(folder, "chains/alpha.toml", "chain_id = 7", "chain_id = ")
    put(folder, "risk/default.toml", "5", "-1")
    syntax, risk = faults(read)
    assert (syntax.origin.position.line, syntax.what) == (3, "this is not TOML: Invalid value")
    assert risk.what == "max_loss_gwei = -1 is out of range"


def test_flags_win_over_variables_over_files_over_defaults(read: Read):
    variable = {"SEARCHER__CHAINS__ALPHA__NODE__MAX_INFLIGHT": "3"}
    flag = "chains.alpha.node.max_inflight=4"
    for arguments, variables, value, source in (
        ((), {}, 8, Source.DEFAULT),
        ((), variable, 3, Source.ENVIRONMENT),
        ((flag,), variable, 4, Source.FLAG),
    ):
        loaded = read(*arguments, **variables)
        assert loaded.config.alpha.node.max_inflight == value
        path = ("chains", "alpha", "node", "max_inflight")
        setting = next(s for s in loaded.settings if s.path == path)
        assert (setting.value, setting.origin.source) == (value, source)


def test_every_value_has_its_origin(read: Read):
    origins = {s.path: s.origin for s in read().settings}
    assert origins["log", "level"].position == (7, 9, 6)
    assert origins["chains", "alpha", "node", "max_inflight"].source is Source.DEFAULT
    assert origins["chains", "alpha", "relays", "first", "plugin"].position.line == 14
    assert origins["risk",].source is Source.DEFAULT
    assert origins["risk", "default", "max_loss_gwei"].position.line == 1


def test_variables_match_names_of_any_case(read: Read):
    config = read(SEARCHER__CHAINS__ALPHA__TOKENS__WETH__DECIMALS="6").config
    assert config.alpha.tokens["WETH"].decimals == 6
    assert list(config.alpha.tokens) == ["WETH"]


def test_text_stays_text_where_toml_would_see_a_number(read: Read):
    address = "0x" + "ab" * 20
    config = read(f"chains.alpha.tokens.WETH.address={address}").config
    assert config.alpha.tokens["WETH"].address == address


def test_lists_and_quoted_names_can_be_set(read: Read):
    config = read(
        'chains=["alpha", "beta"]',
        f'chains.alpha.tokens."USDC.e"={{address = "0x{"ab" * 20}", decimals = 6}}',
        ALPHA_URL="https://node.example",
    ).config
    assert config.main.chains == ("alpha", "beta")
    assert config.alpha.tokens["USDC.e"].decimals == 6


def test_a_wrong_override_points_at_itself(read: Read):
    (fault,) = faults(read, SEARCHER__CHAINS__ALPHA__NODE__MAX_INFLIHT="3")
    assert fault.render() == (
        "environment SEARCHER__CHAINS__ALPHA__NODE__MAX_INFLIHT:"
        " unknown key 'max_infliht' in [node]\n    help: did you mean 'max_inflight'?"
    )
    (fault,) = faults(read, "chains.alpha.node.max_inflight.x=1")
    assert fault.render().startswith("flag --set chains.alpha.node.max_inflight.x: ")


@pytest.mark.parametrize("flag", ["mode", "=1", "a b=1", ""])
def test_a_flag_that_sets_nothing_is_refused(read: Read, flag: str):
    with pytest.raises(Misconfigured, match="write --set KEY=VALUE"):
        read(flag)


def test_overrides_for_unknown_files_are_refused(read: Read):
    (fault,) = faults(read, SEARCHER__CHAINS__ALPA__NODE__PENDING="off")
    assert (fault.what, fault.remedy) == ("there is no chains/alpa.toml", "did you mean 'alpha'?")


def test_only_flags_are_refused_for_files_that_are_not_enabled(read: Read):
    assert read(SEARCHER__CHAINS__BETA__NODE__PENDING="nonsense").config.main.chains == ("alpha",)
    (fault,) = faults(read, "chains.beta.node.pending=off")
    assert fault.what == "chains/beta.toml is not enabled"


def test_an_unknown_name_in_a_list_points_at_the_item(read: Read, folder: Path):
    put(folder, "searcher.toml", '["alpha"]', '["alpha", "alpho", "alpha"]')
    unknown, twice = faults(read)
    assert unknown.origin.position == (3, 20, 7)
    assert (unknown.what, unknown.remedy) == (
        "there is no chains/alpho.toml",
        "did you mean 'alpha'?",
    )
    assert twice.what == "'alpha' is listed twice"


def test_chains_can_be_chosen_by_name(read: Read):
    assert next(iter(read(chains=["beta"]).config.files)) == ("chains", "beta")


def test_plug_ins_are_looked_up_by_name(read: Read, folder: Path):
    put(folder, "chains/alpha.toml", '"courier"', '"courrier"')
    put(folder, "chains/alpha.toml", "chain_id = 7", 'chain_id = 7\nnetwork = "baer"')
    network, relay = faults(read)
    assert network.remedy == "did you mean 'bare'?"
    assert relay.what == "there is no searcher_test_relay called 'courrier'"
    assert relay.remedy == "did you mean 'courier'?"
    assert relay.origin.position == (15, 10, 10)


def test_a_table_must_say_which_plug_in(read: Read, folder: Path):
    put(folder, "chains/alpha.toml", 'plugin = "courier"\n', "")
    (fault,) = faults(read)
    assert fault.remedy == 'write plugin = one of "bare", "courier"'


def test_a_strategy_file_means_the_plug_in_it_is_called_after(read: Read):
    config = read('strategies=["courier"]').config
    assert config.files["strategies", "courier"].settings.url == "https://relay.example"


def test_tables_in_a_list_choose_plug_ins_too(read: Read, folder: Path):
    put(
        folder,
        "chains/alpha.toml",
        "[relays.first]",
        '[[helpers]]\nplugin = "bare"\n[relays.first]',
    )
    config = read().config
    assert [h.name for h in config.alpha.helpers] == ["bare"]


def test_files_are_compared_once_each_is_right(read: Read, folder: Path):
    put(folder, "chains/alpha.toml", 'name = "alpha"', 'name = "alfa"')
    (fault,) = faults(read)
    assert (fault.what, fault.origin.position.line) == ("the name is not the file's", 2)


def test_a_variable_that_is_not_set_points_at_the_reference(read: Read):
    (fault,) = faults(read, ALPHA_URL="-")
    assert fault.what == "http_url: the variable ALPHA_URL is not set"
    assert fault.origin.position == (6, 12, 15)


def test_what_a_reference_names_is_never_shown(read: Read, folder: Path):
    loaded = read()
    shown = {s.path: s.value for s in loaded.settings}
    assert shown["chains", "alpha", "node", "http_url"] == "env:ALPHA_URL"
    put(folder, "chains/alpha.toml", "http_url = ", "url = 1\nhttp_url = ")
    put(
        folder, "chains/alpha.toml", 'url = "https://relay.example/path"', 'url = ["env:ALPHA_URL"]'
    )
    with pytest.raises(ConfigInvalid) as caught:
        read()
    assert "s3cret" not in str(caught.value)


def test_a_reference_to_a_file_wants_it_private(read: Read, folder: Path):
    secret = folder / "node-url"
    secret.write_text("https://node.example/key\n")
    secret.chmod(0o644)
    put(folder, "chains/alpha.toml", "env:ALPHA_URL", f"file:{secret}")
    (fault,) = faults(read)
    assert fault.what == f"http_url: {secret} can be read by others than its owner"
    assert fault.remedy == f"run chmod 600 {secret}"
    secret.chmod(0o600)
    assert read().config.alpha.node.http_url == "https://node.example/key"


def test_a_faulty_line_shows_no_credentials(read: Read, folder: Path):
    put(folder, "chains/alpha.toml", '"env:ALPHA_URL"', '["https://me:pass@node.example/k3y"]')
    (fault,) = faults(read)
    assert 'http_url = ["https://node.example/***"]' in fault.render()
    assert "k3y" not in fault.render()
    assert "pass" not in fault.render()


def test_a_key_pasted_where_its_name_belongs_is_not_shown(read: Read, folder: Path):
    key = "0x" + "5e" * 32
    put(folder, "chains/alpha.toml", '"courier"', f'"courier"\nvariable = "{key}"')
    (fault,) = faults(read)
    assert fault.path[-1] == "variable"
    assert "5e5e" not in fault.render()


def test_the_fingerprint_changes_with_any_value_and_nothing_else(read: Read):
    assert read().fingerprint == read().fingerprint
    assert read().fingerprint != read("risk.default.max_loss_gwei=6").fingerprint
    assert read().fingerprint == read(ALPHA_URL="https://another.example").fingerprint


def test_a_missing_folder_is_one_sentence(read: Read, folder: Path):
    (folder / "searcher.toml").unlink()
    with pytest.raises(Misconfigured, match=r"give a folder that holds searcher\.toml"):
        read()
