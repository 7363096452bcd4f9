import json
import logging
import pickle
import traceback

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from pydantic import ValidationError

from searcher.domain.errors import Misconfigured
from searcher.domain.registry import Registry
from searcher.submission.secret_reference import read_secret
from searcher.submission.signer import LocalSigner, Signer, parse_key

KEY = "4f3edf983ac636a65a842ce7c78d9aa706d3b113bce9c46f30d7d21715b23b1d"
SIGNERS = Registry("searcher.submission.signers", Signer)
VARIABLE = "SEARCHER_TEST_KEY"


@pytest.fixture
def keystore(tmp_path, monkeypatch):
    path = tmp_path / "operator.json"
    path.write_text(json.dumps(Account.encrypt(bytes.fromhex(KEY), "open sesame", iterations=2)))
    path.chmod(0o600)
    monkeypatch.setenv("SEARCHER_TEST_PASSPHRASE", "open sesame")
    return path


def environment_signer(variable=VARIABLE):
    plugin = SIGNERS.load("environment")
    return plugin(plugin.Config(variable=variable))


def keystore_signer(path, passphrase="env:SEARCHER_TEST_PASSPHRASE"):
    plugin = SIGNERS.load("keystore")
    return plugin(plugin.Config(path=path, passphrase=passphrase))


@pytest.mark.parametrize("form", [KEY, "0x" + KEY, KEY.upper() + "\n"])
def test_environment_takes_every_way_to_write_a_key(monkeypatch, form):
    monkeypatch.setenv(VARIABLE, form)

    assert environment_signer().address == Account.from_key(KEY).address.lower()


async def test_personal_signature_equals_eth_accounts():
    text = "0x" + "ab" * 32
    expected = Account.from_key(KEY).sign_message(encode_defunct(text=text)).signature

    assert await LocalSigner(bytes.fromhex(KEY)).sign_personal(text) == "0x" + expected.hex()


def test_keystore_opens_with_its_passphrase(keystore, tmp_path):
    secret = tmp_path / "passphrase"
    secret.write_text("open sesame\n")
    secret.chmod(0o600)

    assert keystore_signer(keystore).address == Account.from_key(KEY).address.lower()
    assert keystore_signer(keystore, f"file:{secret}").address.startswith("0x")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_keystore_that_others_can_touch_is_refused(keystore, mode):
    keystore.chmod(mode)

    with pytest.raises(Misconfigured, match="chmod 600"):
        keystore_signer(keystore)


def test_passphrase_file_that_others_can_read_is_refused(keystore, tmp_path):
    secret = tmp_path / "passphrase"
    secret.write_text("open sesame")
    secret.chmod(0o644)

    with pytest.raises(Misconfigured, match="chmod 600"):
        keystore_signer(keystore, f"file:{secret}")


def test_wrong_passphrase_says_so(keystore, monkeypatch):
    monkeypatch.setenv("SEARCHER_TEST_PASSPHRASE", "wrong")

    with pytest.raises(Misconfigured, match="does not open"):
        keystore_signer(keystore)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 4}', '{"version": 3}', "\xff"])
def test_what_is_no_keystore_is_refused_in_a_sentence(keystore, content):
    keystore.write_text(content, encoding="latin-1")

    with pytest.raises(Misconfigured, match=r"operator\.json"):
        keystore_signer(keystore)


def test_missing_references_are_named(tmp_path):
    with pytest.raises(Misconfigured, match="SEARCHER_NOT_SET is not set"):
        read_secret("env:SEARCHER_NOT_SET")
    with pytest.raises(Misconfigured, match="gone"):
        read_secret(f"file:{tmp_path / 'gone'}")


@pytest.mark.parametrize("text", ["", "0x12", KEY[:-1], KEY + "00", "0x" + "g" * 64])
def test_what_is_no_key_is_refused(text):
    with pytest.raises(Misconfigured, match="64 hex digits"):
        parse_key(text, origin="the test")


@pytest.mark.parametrize("text", ["00" * 32, "ff" * 32])
def test_a_number_outside_the_group_is_refused(text):
    with pytest.raises(Misconfigured, match="no key of secp256k1"):
        parse_key(text, origin="the test")


async def test_digest_must_have_32_bytes():
    with pytest.raises(ValueError, match="31"):
        await LocalSigner(bytes.fromhex(KEY)).sign_transaction_hash(bytes(31))


def spoken(error):
    return "".join(traceback.format_exception(error, chain=True)) + repr(error)


def test_key_never_shows(monkeypatch, keystore, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(VARIABLE, KEY)
    plugin = SIGNERS.load("environment")
    signer = environment_signer()
    said = [repr(signer), str(signer), repr(vars(signer)), repr(keystore_signer(keystore))]

    for attempt in (
        lambda: pickle.dumps(signer),
        lambda: parse_key(KEY + KEY, origin="the test"),
        lambda: plugin.Config(variable=KEY),
        lambda: plugin.Config(variable=VARIABLE, key=KEY),
        lambda: keystore_signer(keystore, passphrase=KEY),
    ):
        with pytest.raises((TypeError, Misconfigured, ValidationError)) as caught:
            attempt()
        said.append(spoken(caught.value))

    # The traceback quotes this file's source lines, which name the constant but not its value.
    assert KEY not in "".join(said).lower()
    assert KEY not in caplog.text.lower()
