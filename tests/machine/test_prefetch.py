"""`courseai fetch`: weights and photos, from the web, into a file, and from a file."""

import errno
import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest
from local_server import find_closed_port, serve
from PIL import Image

from courseai_helpers._common import files, http
from courseai_helpers.cli.main import main
from courseai_helpers.images import gallery, photo_cache, photos
from courseai_helpers.models import weights

WEIGHTS = b"weights that stand for the published ones" * 1000


def draw(color: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def web(tmp_path, monkeypatch):
    """A web with the course's files, and a computer that has none of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("COURSEAI_OFFLINE", raising=False)
    monkeypatch.setattr(http, "_silent_since", {})
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    monkeypatch.setattr(weights, "WEIGHTS_SHA256", digest)
    move_to(tmp_path / "first", monkeypatch)
    with serve() as server:
        url = server.add("/resnet18-abc.pth", WEIGHTS)
        monkeypatch.setattr(weights, "WEIGHTS_URL", url)
        for name, color in (("car", "red"), ("bird", "blue")):
            photo = gallery.Photo("", "", "", "", server.add(f"/{name}", draw(color)))
            monkeypatch.setitem(gallery.GALLERY, name, photo)
        for name, photo in list(gallery.GALLERY.items()):
            if photo.url and name not in ("car", "bird"):
                monkeypatch.delitem(gallery.GALLERY, name)
        yield server


def move_to(place: Path, monkeypatch) -> None:
    """Continues on a computer that keeps its files in another place."""
    monkeypatch.setenv("TORCH_HOME", str(place / "torch"))
    monkeypatch.setenv("COURSEAI_CACHE", str(place / "photos"))
    monkeypatch.setenv("XDG_DATA_HOME", str(place / "notes"))


def list_kept(place: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()]


def test_everything_is_fetched_once(web, tmp_path, capsys):
    assert main(["fetch"]) == 0
    assert capsys.readouterr().out.count("fetched: ") == 3
    assert weights.read_kept() == WEIGHTS and len(list_kept(tmp_path / "first")) == 4
    assert main(["fetch"]) == 0
    assert capsys.readouterr().out.count("is kept already") == 3
    assert len(web.requests) == 3


def test_what_is_damaged_is_fetched_anew(web, tmp_path):
    main(["fetch"])
    weights.find_place().write_bytes(b"damaged")
    photo_cache.find_place(gallery.GALLERY["car"].url).write_bytes(b"damaged")
    assert main(["fetch"]) == 0 and len(web.requests) == 5
    assert b"damaged" not in list_kept(tmp_path / "first")


def test_a_pack_takes_everything_to_a_machine_without_a_network(
    web, tmp_path, monkeypatch, capsys
):
    assert main(["fetch", "--pack", "room.zip"]) == 0
    assert "courseai fetch --from room.zip" in capsys.readouterr().out
    asked = len(web.requests)
    move_to(tmp_path / "second", monkeypatch)
    monkeypatch.setenv("COURSEAI_OFFLINE", "1")
    assert main(["fetch", "--from", "room.zip"]) == 0
    assert list_kept(tmp_path / "second") == list_kept(tmp_path / "first")
    assert len(web.requests) == asked
    assert main(["fetch", "--pack", "again.zip"]) == 0  # all there, so no network


def test_a_photo_of_a_pack_is_compared_with_its_hash_ever_after(
    web, tmp_path, monkeypatch, capsys
):
    main(["fetch", "--pack", "room.zip"])
    move_to(tmp_path / "second", monkeypatch)
    monkeypatch.setenv("COURSEAI_OFFLINE", "1")
    main(["fetch", "--from", "room.zip"])
    urls = [gallery.GALLERY[name].url for name in ("car", "bird")]
    car, bird = map(photo_cache.find_place, urls)
    car.rename(tmp_path / "aside"), bird.rename(car), (tmp_path / "aside").rename(bird)
    assert [photo_cache.read_kept(url) for url in urls] == [b"", b""]
    assert main(["fetch", "--pack", "again.zip"]) == 1  # nobody gets swapped ones
    assert main(["fetch", "--from", "room.zip"]) == 0
    assert [photo_cache.read_kept(url) for url in urls] == [draw("red"), draw("blue")]


def test_offline_nothing_is_fetched_and_the_way_out_is_said(web, monkeypatch, capsys):
    monkeypatch.setenv("COURSEAI_OFFLINE", "1")
    for arguments in (["fetch"], ["fetch", "--pack", "room.zip"]):
        assert main(arguments) == 1
        assert "courseai fetch --from FILE.zip" in capsys.readouterr().err
    assert not web.requests and not Path("room.zip").exists()


def test_without_a_network_the_next_step_is_said(tmp_path, monkeypatch, capsys):
    url = f"http://127.0.0.1:{find_closed_port()}/resnet18-abc.pth"
    monkeypatch.setattr(weights, "WEIGHTS_URL", url)
    assert main(["fetch", "--pack", "room.zip"]) == 1
    error = capsys.readouterr().err
    assert "Check that this computer is online" in error and error.count("\n") == 1
    assert not Path("room.zip").exists() and not list_kept(tmp_path / "first")


def test_a_wrong_hash_is_not_kept(web, tmp_path, capsys):
    web.add("/resnet18-abc.pth", b"a page that asks to log in")
    assert main(["fetch"]) == 1
    assert "its hash is not the expected one" in capsys.readouterr().err
    assert not list_kept(tmp_path / "first")


def test_a_missing_photo_is_said_and_the_rest_is_kept(web, capsys):
    web.add("/bird", b"gone", status=404)
    assert main(["fetch"]) == 1
    assert "goes on from there" in capsys.readouterr().err
    assert weights.read_kept() == WEIGHTS


def test_a_full_disk_is_said_and_leaves_nothing_half(
    web, tmp_path, monkeypatch, capsys
):
    def fail(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(files.os, "replace", fail)
    assert main(["fetch"]) == 1
    error = capsys.readouterr().err
    assert "No space left on device" in error and "Make room there" in error
    assert not list_kept(tmp_path / "first")


def test_a_pack_that_can_not_be_written_leaves_nothing_half(web, capsys):
    assert main(["fetch", "--pack", "nowhere/room.zip"]) == 1
    assert "can't be written" in capsys.readouterr().err
    assert not list(Path.cwd().glob("**/*.partial"))


def repack(change) -> None:
    """Packs room.zip anew, with something changed."""
    with zipfile.ZipFile("room.zip") as pack:
        files = {name: pack.read(name) for name in pack.namelist()}
    change(files)
    with zipfile.ZipFile("room.zip", "w") as pack:
        for name, data in files.items():
            pack.writestr(name, data)


def replace_weights(files) -> None:
    files["weights.pth"] = b"other weights"
    hashes = json.loads(files["manifest.json"])
    hashes["weights.pth"] = hashlib.sha256(b"other weights").hexdigest()
    files["manifest.json"] = json.dumps(hashes).encode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace_weights, "the weights are not those of this course"),
        (lambda files: files.update({"photos/car": b"x"}), "photos/car has another"),
        (lambda files: files.pop("photos/car"), "photos/car"),
        (lambda files: files.pop("manifest.json"), "manifest.json"),
        (lambda files: files.update({"manifest.json": b"["}), "damaged or no file"),
        (lambda files: files.update({"manifest.json": b"[]"}), "damaged or no file"),
    ],
)
def test_from_a_pack_that_is_not_whole_nothing_is_taken(
    tmp_path, monkeypatch, capsys, change, message
):
    main(["fetch", "--pack", "room.zip"])
    repack(change)
    move_to(tmp_path / "second", monkeypatch)
    assert main(["fetch", "--from", "room.zip"]) == 1
    error = capsys.readouterr().err
    assert message in error and "nothing was taken" in error
    assert not list_kept(tmp_path / "second")


def test_a_pack_that_is_cut_off_or_missing_is_said(tmp_path, monkeypatch, capsys):
    main(["fetch", "--pack", "room.zip"])
    data = Path("room.zip").read_bytes()
    Path("room.zip").write_bytes(data[: len(data) // 2])
    move_to(tmp_path / "second", monkeypatch)
    assert main(["fetch", "--from", "room.zip"]) == 1
    assert "Copy it again" in capsys.readouterr().err
    assert main(["fetch", "--from", "nowhere.zip"]) == 1
    assert "There is no nowhere.zip" in capsys.readouterr().err


def test_an_entry_that_is_too_large_is_not_read(tmp_path, monkeypatch, capsys):
    main(["fetch", "--pack", "room.zip"])
    monkeypatch.setattr(photos, "MAX_BYTES", 10)
    move_to(tmp_path / "second", monkeypatch)
    assert main(["fetch", "--from", "room.zip"]) == 1
    assert "is too large" in capsys.readouterr().err
