"""How a bridge delivers: each alert at least once, in order, whatever fails in between."""

import os
from pathlib import Path

import pytest

from monitor.bridges.delivery import Feed, deliver
from monitor.bridges.outlet import UnavailableError, record_id
from monitor.bridges.targets import parse_url, read_secret
from pipeline.client import Position
from pipeline.clients.cursor import load_position
from pipeline.errors import ConfigError, EndpointError
from pipeline.schema.public import Alert, Gap, LogReplaced, Unrecorded
from pipeline.schema.public import PublishedAlert as Published
from tests.support.bridges import ListOutlet, fill, running_bridge
from tests.support.ports import free_ports
from tests.support.running import running_hub, until

pytestmark = pytest.mark.system

PORT = free_ports()
ENDPOINT = f"tcp://127.0.0.1:{PORT}"


def numbers(outlet: ListOutlet, last: int) -> list[int]:
    """Return the numbers of what was delivered, up to alert ``last``."""
    seen: list[int] = []
    while last not in seen:
        message = outlet.next()
        if isinstance(message, Alert):
            seen.append(message.seq)
    return seen


def test_each_alert_is_delivered_and_a_second_bridge_goes_on_behind_it(tmp_path: Path) -> None:
    """The position is stored at the end: nothing comes twice."""
    log, position = tmp_path / "log", tmp_path / "position"
    log_id = fill(log, 1, 20)
    first, second = ListOutlet(), ListOutlet()
    with running_hub(log, port=PORT), running_bridge(first, ENDPOINT, position):
        assert numbers(first, 20) == list(range(1, 21))
        assert first.contacts.get(timeout=60)
    assert load_position(position).log_id == log_id
    assert load_position(position).seq >= 20  # the hub has alerts of its own
    fill(log, 21, 25)
    with running_hub(log, port=PORT), running_bridge(second, ENDPOINT, position):
        seen = numbers(second, 25)
    assert seen[0] > 20
    assert seen == sorted(set(seen))


def test_what_fails_is_tried_again_in_order_and_said_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One line when it begins, one when it is over, and no alert missing."""
    fill(tmp_path / "log", 1, 5)
    outlet = ListOutlet()
    outlet.failures = [UnavailableError("it is asleep", retry_s=0.01) for _ in range(5)]
    with (
        running_hub(tmp_path / "log", port=PORT),
        running_bridge(outlet, ENDPOINT, tmp_path / "position"),
    ):
        assert numbers(outlet, 5) == [1, 2, 3, 4, 5]
    lines = [line for line in capfd.readouterr().err.splitlines() if "a list" in line]
    assert lines == [
        "monitor: cannot deliver to a list: it is asleep; trying again",
        "monitor: delivering to a list again",
    ]


def test_the_position_waits_for_the_confirmation(tmp_path: Path) -> None:
    """A bridge that ends before the other system confirmed delivers the same again."""
    log, position = tmp_path / "log", tmp_path / "position"
    fill(log, 1, 5)
    deaf, hearing = ListOutlet(), ListOutlet()
    deaf.confirms = False
    with running_hub(log, port=PORT):
        with running_bridge(deaf, ENDPOINT, position):
            numbers(deaf, 5)
        assert load_position(position) == Position()
        with running_bridge(hearing, ENDPOINT, position):
            assert numbers(hearing, 5) == [1, 2, 3, 4, 5]


def test_it_ends_while_the_other_system_is_unreachable(tmp_path: Path) -> None:
    """A stop during the back-off ends it, and what was not delivered stays undelivered."""
    log, position = tmp_path / "log", tmp_path / "position"
    fill(log, 1, 5)
    outlet = ListOutlet()
    outlet.failures = [UnavailableError("it is away", retry_s=3_600.0)]
    with running_hub(log, port=PORT):
        with running_bridge(outlet, ENDPOINT, position):
            until(lambda: not outlet.failures)
        assert load_position(position) == Position()


def test_a_refusal_ends_it(tmp_path: Path) -> None:
    """What will be refused again is an error for the command line, and moves no position."""
    log, position = tmp_path / "log", tmp_path / "position"
    fill(log, 1, 5)
    outlet = ListOutlet()
    outlet.failures = [EndpointError("wrong password")]
    with running_hub(log, port=PORT), pytest.raises(EndpointError, match="wrong password"):
        deliver(outlet, Feed(ENDPOINT), position, lambda: False)
    assert load_position(position) == Position()


def test_alerts_go_on_while_the_position_cannot_be_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A full or lost disk keeps no alarm from anybody; one line says that alerts may repeat."""
    log, folder = tmp_path / "log", tmp_path / "folder"
    folder.mkdir()
    outlet = ListOutlet()
    position = folder / "position"

    def lose_the_disk() -> None:
        with running_bridge(outlet, ENDPOINT, position):
            until(position.exists)
            position.unlink()
            folder.rmdir()
            fill(log, 1, 5)
            with running_hub(log, port=PORT):
                assert numbers(outlet, 5) == [1, 2, 3, 4, 5]
                outlet.contacts.get(timeout=60)

    with pytest.raises(ConfigError, match="cannot write the position"):
        lose_the_disk()
    assert "will repeat alerts" in capfd.readouterr().err


def test_a_silent_monitor_is_reported_to_the_outlet(tmp_path: Path) -> None:
    """Nobody takes the silence of a dead monitor for health."""
    outlet, port = ListOutlet(), free_ports()
    with running_bridge(outlet, f"tcp://127.0.0.1:{port}", tmp_path / "position"):
        assert outlet.contacts.get(timeout=60) is False


def test_ids_are_unique_and_safe_in_a_header() -> None:
    """Of what has no number, too; characters that could end a header are escaped."""
    alert = Published(
        stream="s", kind="asystole", category="physiological", priority="high", sample=7,
        time_s=0.1, reason="", log_id="ab\r\nX: y/", episode="asystole-0-7",
    )  # fmt: skip
    gap = Gap(log_id="ab", seq=9, from_seq=8, to_seq=9, reason="")
    replaced = LogReplaced(log_id="cd", old_log_id="ab", old_seq=9, reason="")
    assert record_id(alert) == "ab%0D%0AX%3A%20y%2F/0"
    assert record_id(gap) == "ab/9"
    assert record_id(replaced) == "cd/replaced-ab-9"
    assert record_id(Unrecorded(alert=alert)).endswith("/unrecorded-s-asystole-0-7-on-7")


@pytest.mark.parametrize(
    "url",
    ["mqtt://user:secret@host", "mqtt://user@host", "http://host", "mqtt://", "mqtt://host:99999",
     "mqtt://host:0", "mqtt://ho\nst", "host", "", "mqtt://[::1", "mqtt://host/bed 1",
     "mqtt://host/?name=bed 1", "mqtt://ho st", "mqtt://host/l\u00e4rm"],
)  # fmt: skip
def test_addresses_that_cannot_be_used_are_refused(url: str) -> None:
    """One line, and a password is never repeated in it."""
    with pytest.raises(ConfigError) as refused:
        parse_url(url, {"mqtt": 1883}, "mqtt://host:1883")
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_secret_is_closed_to_others(tmp_path: Path) -> None:
    """A file that others can read, an empty one and a pipe are refused."""
    file = tmp_path / "secret"
    file.write_bytes(b"abc\n")
    file.chmod(0o600)
    assert read_secret(file) == b"abc"
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_secret(file)
    file.chmod(0o600)
    file.write_bytes(b"\n")
    with pytest.raises(ConfigError, match="no secret"):
        read_secret(file)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigError, match="no secret"):
        read_secret(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="cannot read"):
        read_secret(tmp_path / "nowhere")
