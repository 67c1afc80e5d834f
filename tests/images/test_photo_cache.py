"""A cache of photos that others share, and a neighbor who swaps pictures in it."""

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import needs_root
from local_server import serve
from PIL import Image

from courseai_helpers.images import ImageError, load_image_from_url, photo_cache

NEIGHBOUR = 4321  # the id of another user, who needs no name


def draw(color: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache that a neighbor can reach; the notes are the user's own."""
    folder = Path(tempfile.mkdtemp(dir="/tmp" if os.name == "posix" else None))
    folder.chmod(0o755)
    monkeypatch.setenv("COURSEAI_CACHE", str(folder / "photos"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "notes"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("COURSEAI_OFFLINE", raising=False)
    (folder / "photos").mkdir()
    yield folder / "photos"
    shutil.rmtree(folder)


@pytest.fixture
def web():
    with serve() as server:
        yield server


def act_as_neighbor(act: Callable[[], object]) -> None:
    """Does something as another user of the machine."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.setgroups([])
            os.setresgid(NEIGHBOUR, NEIGHBOUR, NEIGHBOUR)
            os.setresuid(NEIGHBOUR, NEIGHBOUR, NEIGHBOUR)
            act()
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def see(url: str) -> tuple[int, int, int]:
    return load_image_from_url(url).getpixel((0, 0))


RED, BLUE = (255, 0, 0), (0, 0, 255)


@needs_root
@pytest.mark.parametrize("mode", [0o1777, 0o777])
def test_a_picture_that_a_neighbor_planted_is_not_shown(cache, web, mode):
    url = web.add("/red", draw("red"))
    cache.chmod(mode)
    path = photo_cache.find_place(url)
    act_as_neighbor(lambda: path.write_bytes(draw("blue")))
    assert see(url) == RED and len(web.requests) == 1
    assert see(url) == RED and len(web.requests) == 1  # kept, and noted


@needs_root
def test_pictures_that_a_neighbor_swaps_are_fetched_anew(cache, web, monkeypatch):
    red, blue = web.add("/red", draw("red")), web.add("/blue", draw("blue"))
    cache.chmod(0o777)
    assert (see(red), see(blue)) == (RED, BLUE)
    one, two = (photo_cache.find_place(url) for url in (red, blue))

    def swap() -> None:
        one.rename(cache / "aside")
        two.rename(one)
        (cache / "aside").rename(two)

    act_as_neighbor(swap)
    monkeypatch.setenv("COURSEAI_OFFLINE", "1")
    with pytest.raises(ImageError, match="COURSEAI_OFFLINE"):
        see(red)
    monkeypatch.delenv("COURSEAI_OFFLINE")
    assert (see(red), see(blue)) == (RED, BLUE) and len(web.requests) == 4


@needs_root
def test_a_cache_that_a_neighbor_made_in_our_way_is_not_believed(cache, web):
    url = web.add("/red", draw("red"))
    cache.rmdir()
    cache.parent.chmod(0o1777)
    path = photo_cache.find_place(url)
    act_as_neighbor(lambda: cache.mkdir() or path.write_bytes(draw("blue")))
    assert path.is_file() and not path.stat().st_mode & 0o022
    assert see(url) == RED


@needs_root
def test_a_cache_that_somebody_keeps_for_all_serves_all(cache, web, monkeypatch):
    url = web.add("/red", draw("red"))
    see(url)
    photo_cache.find_notes().unlink()
    os.chown(cache, NEIGHBOUR, NEIGHBOUR)
    os.chown(photo_cache.find_place(url), NEIGHBOUR, NEIGHBOUR)
    monkeypatch.setenv("COURSEAI_OFFLINE", "1")
    assert see(url) == RED


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff"])
def test_damaged_notes_are_no_trouble(cache, web, content):
    url = web.add("/red", draw("red"))
    assert see(url) == RED
    photo_cache.find_notes().write_bytes(content)
    assert see(url) == RED and len(web.requests) == 1


def test_without_a_place_for_notes_pictures_are_kept_all_the_same(
    cache, web, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    url = web.add("/red", draw("red"))
    assert see(url) == see(url) == RED and len(web.requests) == 1
