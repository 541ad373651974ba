"""``monitor keys``: what is printed, what is written, and what is refused."""

import json
from pathlib import Path

import pytest

from monitor.cli.keys import allow, list_keys, new, pseudonyms, revoke
from monitor.cli.options import client_keys
from monitor.stages.hub import hub_addresses, hub_authenticator
from pipeline.errors import ConfigError, KeysError
from pipeline.transport.access_list import Rights, load_access_list
from pipeline.transport.curve import new_pair
from pipeline.transport.keystore import KeyStore
from pipeline.transport.pseudonyms import Pseudonyms


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Return a folder of keys that does not exist yet."""
    return tmp_path / "keys"


def test_new_prints_the_public_half_and_the_files(
    keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The secret is written to its file and never printed."""
    new("hub", keys=keys)
    shown = capsys.readouterr().out
    pair = KeyStore(keys).pair("hub")
    assert pair.public in shown
    assert pair.secret not in shown
    assert str(keys / "hub.public") in shown
    new("bed", keys=keys, as_json=True)
    facts = json.loads(capsys.readouterr().out)
    assert facts["public"] == KeyStore(keys).pair("bed").public
    assert KeyStore(keys).pair("bed").secret not in str(facts)


@pytest.mark.parametrize(
    ("options", "rights"),
    [
        ({}, Rights(subscribe=True)),
        ({"subscribe": True}, Rights(subscribe=True)),
        ({"control": True}, Rights(subscribe=True, control=True)),
        ({"score": True}, Rights(score=True)),
        ({"streams": ["a-*", "b"]}, Rights(streams=("a-*", "b"))),
        ({"streams": ["a"], "subscribe": True}, Rights(streams=("a",), subscribe=True)),
    ],
    ids=str,
)
def test_a_key_gets_the_rights_given_and_no_others(
    keys: Path, options: dict[str, object], rights: Rights
) -> None:
    """Without options it may read; sending and scoring do not include reading."""
    new("k", keys=keys)
    allow("k", keys=keys, **options)  # type: ignore[arg-type]
    assert load_access_list(KeyStore(keys))["k"].rights == rights


def test_allowing_again_replaces_and_revoking_ends(
    keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list has the latest rights; a key that is not on it cannot be revoked."""
    new("k", keys=keys)
    allow("k", streams=["a"], keys=keys)
    allow("k", score=True, keys=keys)
    capsys.readouterr()
    list_keys(keys=keys, as_json=True)
    own, allowed = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert own["own"] == allowed["allowed"] == "k"
    assert (allowed["streams"], allowed["score"]) == ([], True)
    revoke("k", keys=keys)
    assert load_access_list(KeyStore(keys)) == {}
    with pytest.raises(KeysError, match="keys list"):
        revoke("k", keys=keys)


def test_a_key_is_allowed_by_itself_or_by_its_file(keys: Path) -> None:
    """A key is given as text or as NAME.public; neither is an error with advice."""
    new("hub", keys=keys)
    public = new_pair().public
    allow("ward", public=public, keys=keys)
    assert load_access_list(KeyStore(keys))["ward"].public == public
    with pytest.raises(KeysError, match="as ward"):
        allow("again", public=public, keys=keys)
    with pytest.raises(KeysError, match=r"copy it there"):
        allow("nobody", keys=keys)


def test_an_empty_folder_lists_nothing_and_advises_how_to_begin(
    keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Listing creates nothing."""
    list_keys(keys=keys)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "monitor keys new" in shown.err
    assert not keys.exists()


def test_the_two_keys_of_a_client_go_together(keys: Path) -> None:
    """One of the two alone is refused."""
    new("hub", keys=keys)
    new("bed", keys=keys)
    assert client_keys(None, None, keys) is None
    shown = client_keys("bed", "hub", keys)
    assert shown is not None
    assert shown.server == KeyStore(keys).pair("hub").public
    for key, server in (("bed", None), (None, "hub")):
        with pytest.raises(ConfigError, match="go together"):
            client_keys(key, server, keys)


def test_a_hub_with_a_key_has_five_ports_in_a_row(keys: Path) -> None:
    """Other machines must know the ports; without a key the kernel chooses two of them."""
    plain = hub_addresses("127.0.0.1", 5570, None, None, with_keys=False)
    assert [plain[name].rpartition(":")[2] for name in ("ingest", "work")] == ["0", "0"]
    fixed = hub_addresses("0.0.0.0", 5570, None, None, with_keys=True)
    assert [address.rpartition(":")[2] for address in fixed.values()] == [
        "5570", "5571", "5572", "5573", "5574",
    ]  # fmt: skip
    assert hub_addresses("127.0.0.1", 5570, "tcp://127.0.0.1:9", None, with_keys=True)[
        "ingest"
    ].endswith(":9")
    for port, with_keys in ((65532, True), (65534, False), (-1, False)):
        with pytest.raises(ConfigError, match="port"):
            hub_addresses("127.0.0.1", port, None, None, with_keys=with_keys)
    with pytest.raises(ConfigError, match="keys"):
        hub_addresses("0.0.0.0", 0, None, None, with_keys=False)
    assert hub_authenticator(None, keys) is None
    with pytest.raises(KeysError):
        hub_authenticator("hub", keys)


def test_pseudonyms_are_printed_to_those_who_hold_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without names the key is made, and not printed; a key that exists is not replaced."""
    file = tmp_path / "key"
    pseudonyms(file)
    made = capsys.readouterr().out
    assert str(file) in made
    assert file.read_text().split("\n")[1] not in made
    key = Pseudonyms.load(file)

    pseudonyms(file, ["100", "bed-3"])
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"100  {key.of('100')}", f"bed-3  {key.of('bed-3')}"]
    pseudonyms(file, ["100"], as_json=True)
    assert json.loads(capsys.readouterr().out) == {"stream": "100", "pseudonym": key.of("100")}
    with pytest.raises(KeysError, match="exists"):
        pseudonyms(file)
    with pytest.raises(KeysError, match="no name"):
        pseudonyms(file, ["100", "a b"])
    assert capsys.readouterr().out == ""
