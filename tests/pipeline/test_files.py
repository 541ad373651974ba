"""Pipes, devices and links where a regular file is expected."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from models.files.atomic_write import write_atomically
from monitor.inputs import load_alarm_settings
from pipeline.clients.cursor import Position, load_position, store_position
from pipeline.errors import ConfigError
from pipeline.files import create_new, read_regular

Reader = Callable[[Path], object]


@pytest.mark.parametrize("reader", [load_alarm_settings, load_position])
def test_what_is_no_regular_file_is_refused(tmp_path: Path, reader: Reader) -> None:
    """A pipe is not read as empty, nor waited for; ``<(...)`` of a shell is one."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read, write = os.pipe()
    os.write(write, b"asystole_s = 5\n")
    os.close(write)
    for path in (fifo, Path(f"/dev/fd/{read}"), Path(os.devnull), tmp_path):
        with pytest.raises(ConfigError, match=r"no regular file|Is a directory"):
            reader(path)
    os.close(read)


def test_a_link_to_a_regular_file_is_read(tmp_path: Path) -> None:
    """Settings may be kept elsewhere."""
    (tmp_path / "settings").write_text("asystole_s = 5\n")
    (tmp_path / "link").symlink_to("settings")
    assert load_alarm_settings(tmp_path / "link").asystole_s == 5
    assert read_regular(tmp_path / "link", 3) == b"asy"


@pytest.mark.parametrize(
    ("write", "beside"),
    [
        (lambda path: store_position(path, Position("5f0c", 1)), ".p.new"),
        (lambda path: write_atomically(path, "text"), ".p.new"),
    ],
)
def test_files_beside_another_follow_no_link(
    tmp_path: Path, write: Callable[[Path], None], beside: str
) -> None:
    """A link that somebody put in their place is replaced, and the file it leads to unchanged."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / beside).symlink_to(victim)
    write(tmp_path / "p")

    assert victim.read_text() == "precious"
    assert (tmp_path / "p").is_file()
    assert not (tmp_path / "p").is_symlink()
    assert not os.path.lexists(tmp_path / beside)


def test_a_link_that_appears_at_the_last_moment_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written then."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "new").symlink_to(victim)
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok: None)
    with pytest.raises(FileExistsError):
        create_new(tmp_path / "new")
    assert victim.read_text() == "precious"
