"""Photos: what the network sees, and what broken files and the web can do to us."""

import io
import random
import struct
import threading
import time
import zlib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import requests
import torch
from local_server import LocalServer, find_closed_port, serve
from PIL import Image
from torchvision.models import ResNet18_Weights

from courseai_helpers._common import http
from courseai_helpers.images import (
    GALLERY,
    ImageError,
    crop_seen,
    gallery_names,
    join_crops,
    load_image,
    load_image_from_url,
    load_photo,
    load_photos,
    photos,
    preprocess,
    preprocess_crop,
)

BUNDLED = [name for name, photo in GALLERY.items() if photo.file]
ONLINE = [name for name, photo in GALLERY.items() if photo.url]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An online computer with an empty cache and no proxy."""
    monkeypatch.setenv("COURSEAI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "notes"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("COURSEAI_OFFLINE", raising=False)
    monkeypatch.setattr(http, "_silent_since", {})
    photos._tell_not_kept.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def server():
    with serve() as server:
        yield server


def draw_photo(width: int = 320, height: int = 200, seed: int = 0) -> Image.Image:
    """A photo-like picture: smooth patches of random color."""
    colors = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return Image.fromarray(colors).resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def measure_difference(one: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference of two pictures of one size, in levels of 255."""
    assert one.size == other.size
    pixels = [np.asarray(image.convert("RGB"), dtype=float) for image in (one, other)]
    return float(np.abs(pixels[0] - pixels[1]).mean())


# What the network sees


@pytest.mark.parametrize("size", [(320, 200), (200, 321), (256, 256), (90, 64)])
def test_preprocessing_is_that_of_the_published_weights(size: tuple[int, int]):
    photo = draw_photo(*size)
    expected = ResNet18_Weights.IMAGENET1K_V1.transforms()(photo)[None]
    result = preprocess(photo)
    assert result.dtype == torch.float32
    assert result.shape == (1, 3, 224, 224)
    assert torch.equal(result, expected)


@pytest.mark.parametrize("size", [(320, 200), (200, 321), (256, 256), (90, 64)])
def test_crop_seen_is_pixel_for_pixel_what_the_network_sees(size: tuple[int, int]):
    photo = draw_photo(*size)
    weights = ResNet18_Weights.IMAGENET1K_V1.transforms()
    mean, std = (torch.tensor(v)[:, None, None] for v in (weights.mean, weights.std))
    levels = (weights(photo) * std + mean) * 255
    seen = torch.from_numpy(np.array(crop_seen(photo))).permute(2, 0, 1)
    assert crop_seen(photo).mode == "RGB"
    assert torch.equal(levels.round().to(torch.uint8), seen)


MODES = "1 L P RGB RGBA CMYK YCbCr LAB HSV I F LA PA RGBX RGBa La I;16 I;16B"


@pytest.mark.parametrize("mode", MODES.split())
def test_a_picture_of_any_mode_can_be_prepared(mode: str):
    image = Image.new(mode, (300, 260))
    assert preprocess(image).isfinite().all()
    assert crop_seen(image).size == (224, 224)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (np.full((9, 9), 32768, np.uint16), 128),
        (np.full((9, 9), 200, np.uint16), 1),
        (np.full((9, 9), 200, np.int32), 200),
        (np.full((9, 9), 0.5, np.float32), 128),
        (np.full((9, 9), 100.0, np.float32), 100),
        (np.full((9, 9), np.nan, np.float32), 0),
    ],
)
def test_deep_levels_keep_their_brightness(levels: np.ndarray, expected: int):
    assert crop_seen(Image.fromarray(levels)).getpixel((5, 5)) == (expected,) * 3


@pytest.mark.parametrize("function", [preprocess, crop_seen])
def test_what_cannot_be_prepared_is_refused_with_advice(function):
    with pytest.raises(ImageError, match="PIL image is wanted.*ndarray.*load_photo"):
        function(np.zeros((224, 224, 3)))
    with pytest.raises(ImageError, match="no pixels"):
        function(Image.new("RGB", (0, 9)))
    with pytest.raises(ImageError, match="9000x100 pixels, a mere strip"):
        function(Image.new("RGB", (9000, 100)))


# Files: the right picture


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP"])
def test_a_picture_of_a_common_format_is_read(format: str, tmp_path: Path):
    photo = draw_photo()
    path = tmp_path / "photo"
    path.write_bytes(encode(photo, format))
    for source in (path, str(path), path.read_bytes()):
        image = load_image(source)
        assert image.mode == "RGB"
        assert measure_difference(image, photo) < 12


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_a_picture_of_another_mode_shows_the_same(mode: str):
    photo = draw_photo().convert(mode)
    data = encode(photo, "JPEG" if mode == "CMYK" else "PNG")
    assert measure_difference(load_image(data), photo) < 6


def test_sixteen_bits_are_scaled_to_eight():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(40, axis=0)
    image = load_image(encode(Image.fromarray(ramp)))
    assert [image.getpixel((x, 9))[0] for x in (0, 100, 255)] == [0, 100, 255]


@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette", "color key"])
def test_transparent_parts_come_out_white(kind: str):
    image = Image.new("RGB", (40, 40), "black")
    image.paste("red", (20, 0, 40, 40))
    options = {}
    if kind == "palette":
        image = image.quantize(2)
        options["transparency"] = image.getpixel((5, 20))
    elif kind == "color key":
        options["transparency"] = (0, 0, 0)
    else:
        alpha = Image.new("L", (40, 40), 0)
        alpha.paste(255, (20, 0, 40, 40))
        image = image.convert(kind)
        image.putalpha(alpha)
    opaque = image.convert("RGB").getpixel((35, 20))
    result = load_image(encode(image, **options))
    assert result.getpixel((5, 20)) == (255, 255, 255)
    assert result.getpixel((35, 20)) == opaque != (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_rotation_in_the_exif_data_is_applied(format: str, orientation: int):
    upright = draw_photo(64, 40)
    stored = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }[orientation]
    image = upright
    for step in stored:
        image = image.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = load_image(encode(image, format, exif=exif, quality=95))
    assert measure_difference(result, upright) < 8


def test_unreadable_exif_data_does_not_hide_the_picture():
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = draw_photo(64, 40)
    data = encode(photo, "WEBP", exif=exif, lossless=True)
    broken = data.replace(b"MM\0*", b"??\0*").replace(b"II*\0", b"??*\0")
    assert broken != data
    assert measure_difference(load_image(broken), photo) == 0


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_read(format: str):
    first, second = Image.new("RGB", (40, 30), "red"), Image.new("RGB", (40, 30))
    data = encode(first, format, save_all=True, append_images=[second])
    assert measure_difference(load_image(data), first) < 3


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_huge_picture_is_scaled_down(format: str):
    image = load_image(encode(draw_photo(3000, 2000), format))
    assert image.size == (1024, 683)
    assert measure_difference(image, draw_photo(1024, 683)) < 3


# Files: the clear error


def make_bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""

    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


@pytest.mark.parametrize("size", [(10_000, 10_000), (60_000, 60_000)])
def test_a_decompression_bomb_is_refused(size: tuple[int, int], recwarn):
    with pytest.raises(ImageError, match="more pixels than fit in memory.*Scale it"):
        load_image(make_bomb(*size))
    assert not recwarn.list


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP"])
def test_a_picture_that_is_cut_off_is_refused(format: str, tmp_path: Path):
    data = encode(draw_photo(), format)
    path = tmp_path / "half.picture"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"half\.picture is.* damaged"):
        load_image(path)


def test_no_damage_to_a_file_leads_to_another_error_or_to_noise(
    capfd: pytest.CaptureFixture[str], recwarn
):
    generator = random.Random(0)
    palette = draw_photo().quantize(16)
    seeds = [encode(draw_photo(), "JPEG", exif=Image.Exif(), progressive=True)]
    seeds += [encode(draw_photo(), format) for format in ("PNG", "WEBP", "AVIF", "BMP")]
    seeds += [encode(palette, "GIF", save_all=True, append_images=[palette])]
    refused = 0
    for round_ in range(300):
        data = bytearray(seeds[round_ % len(seeds)])
        for _ in range(generator.choice([1, 3, 20])):
            reach = min(len(data), generator.choice([40, 200, len(data)]))
            data[generator.randrange(reach)] = generator.randrange(256)
        try:
            assert load_image(bytes(data)).mode == "RGB"
        except ImageError:
            refused += 1
    assert 30 < refused < 270
    assert capfd.readouterr().err == ""
    assert not recwarn.list


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html>Not found</html>", "web page.*Copy Image Address"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "drawing in text, not a photo"),
        (b"PK\x03\x04 some archive", "not a picture that.*Save it as PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture that"),
        (encode(draw_photo(), "TIFF"), "not a picture that.*Save it as PNG"),
    ],
)
def test_what_is_no_picture_is_named_as_such(data: bytes, message: str):
    with pytest.raises(ImageError, match=message):
        load_image(data)


def test_a_wrong_path_is_named_with_the_folder_it_counts_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    here = tmp_path / "where the notebook is"
    here.mkdir()
    monkeypatch.chdir(here)
    for path in (tmp_path / "nothing.jpg", tmp_path, "nul\0.jpg", None):
        with pytest.raises(ImageError, match="cannot be read: ") as caught:
            load_image(path)
        assert str(here) in str(caught.value)
    with pytest.raises(ImageError, match="goes to load_image_from_url"):
        load_image("https://example.org/cat.jpg")


# The gallery


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_photos_need_no_network(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(requests, "get", None)
    photo = load_photo(name)
    assert photo.mode == "RGB"
    assert min(photo.size) >= 300
    assert photo.info["photo"] == name


def test_the_gallery_credits_every_photo_and_has_a_way_out_for_it():
    assert gallery_names() == list(GALLERY)
    assert len(ONLINE) >= 4
    for name, photo in GALLERY.items():
        assert photo.author and photo.license, name
        assert photo.page.startswith("https://"), name
        if name in BUNDLED:
            assert files("skimage.data").joinpath(photo.file).is_file(), name
        else:
            assert photo.url.startswith("https://") and photo.fallback in BUNDLED, name
            # https://www.mediawiki.org/wiki/Common_thumbnail_sizes
            assert photo.url.endswith(("?width=500", "?width=960")), name


def test_a_photo_from_the_web_is_loaded(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, capsys
):
    url = server.add("/car.png", encode(draw_photo(seed=1)))
    monkeypatch.setitem(GALLERY, "car", GALLERY["car"]._replace(url=url))
    photo = load_photo("car")
    assert photo.info["photo"] == "car"
    assert measure_difference(photo, draw_photo(seed=1)) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ONLINE)
def test_a_photo_that_cannot_be_had_is_replaced_with_a_notice(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys
):
    url = f"http://127.0.0.1:{find_closed_port()}/photo.jpg"
    monkeypatch.setitem(GALLERY, name, GALLERY[name]._replace(url=url))
    photo = load_photo(name)
    fallback = GALLERY[name].fallback
    assert photo.info["photo"] == fallback
    assert measure_difference(photo, load_photo(fallback)) == 0
    output = capsys.readouterr()
    assert f"The photo {name!r} is on the web and could not be loaded" in output.out
    assert f"You see the photo {fallback!r} in its place" in output.out
    assert output.err == ""


def test_offline_the_bundled_photo_is_shown_whatever_is_kept(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, capsys
):
    url = server.add("/car.png", encode(draw_photo(seed=1)))
    monkeypatch.setitem(GALLERY, "car", GALLERY["car"]._replace(url=url))
    load_photo("car")
    monkeypatch.setenv("COURSEAI_OFFLINE", "1")
    assert load_photo("car").info["photo"] == "motorcycle"
    assert "COURSEAI_OFFLINE" in capsys.readouterr().out
    assert len(server.requests) == 1


def test_of_several_photos_one_notice_names_those_that_could_not_be_had(
    monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setenv("COURSEAI_OFFLINE", "1")
    photos = load_photos(["coffee", "bird", "husky"])
    shown = [photo.info["photo"] for photo in photos.values()]
    assert list(photos) == ["coffee", "bird", "husky"]
    assert shown == ["coffee", GALLERY["bird"].fallback, GALLERY["husky"].fallback]
    said = capsys.readouterr().out
    assert said.count("Notice") == 1
    assert "Not loaded from the web: bird, husky. COURSEAI_OFFLINE" in said
    assert list(load_photos(["cat"])) == ["cat"] and capsys.readouterr().out == ""


def test_two_photos_become_one_picture_of_both_crops():
    cat, cup = load_photo("cat"), load_photo("coffee")
    both = join_crops(cat, cup)
    assert both.size == (448, 224)
    assert measure_difference(both.crop((0, 0, 224, 224)), crop_seen(cat)) == 0
    assert measure_difference(both.crop((224, 0, 448, 224)), crop_seen(cup)) == 0
    assert preprocess_crop(both).shape == (3, 224, 448)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ImageError, match="no photo 'dog'. Take one of motorcycle, cat"):
        load_photo("dog")


# The web


def test_a_picture_is_fetched_once_and_then_found_on_disk(cache: Path):
    with serve() as server:
        url = server.add("/photo.png", encode(draw_photo()))
        first = load_image_from_url(url)
    again = load_image_from_url(url)
    assert len(server.requests) == 1
    assert measure_difference(first, again) == 0
    assert measure_difference(first, draw_photo()) == 0
    assert [path.suffix for path in cache.iterdir()] == [".image"]


def test_the_host_learns_who_asks(server: LocalServer):
    def refuse_strangers(handler) -> None:
        agent = handler.headers.get("User-Agent", "")
        known = agent.startswith("courseai-helpers ")
        handler.send_response(200 if known else 403)
        handler.end_headers()
        handler.wfile.write(encode(draw_photo()))

    url = server.add_answer("/photo.png", refuse_strangers)
    assert load_image_from_url(url).size == (320, 200)
    assert requests.get(url).status_code == 403


def test_redirects_are_followed(server: LocalServer):
    server.add("/photo.png", encode(draw_photo()))
    url = server.add("/moved", b"", 302, Location="/photo.png")
    assert load_image_from_url(url).size == (320, 200)


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (403, "refuses this request: save the file by hand"),
        (404, "nothing at this address: check it"),
        (429, "wait some minutes"),
        (500, "Try again later"),
    ],
)
def test_an_error_status_is_reported(server: LocalServer, status: int, advice: str):
    url = server.add("/photo.png", encode(draw_photo()), status)
    with pytest.raises(ImageError, match=f"answers with status {status}.*{advice}"):
        load_image_from_url(url)


@pytest.mark.parametrize(
    ("location", "message"),
    [("/loop", "Exceeded 30 redirects"), ("file:///etc/passwd", "No connection adap")],
)
def test_a_redirect_that_leads_nowhere_is_reported(
    server: LocalServer, location: str, message: str
):
    url = server.add("/loop", b"", 302, Location=location)
    with pytest.raises(ImageError, match=message):
        load_image_from_url(url)


def test_a_web_page_is_not_taken_for_a_picture(server: LocalServer, cache: Path):
    url = server.add("/photo.jpg", b"<html>Sorry</html>", Content_Type="image/jpeg")
    with pytest.raises(ImageError, match=r"/photo\.jpg is a web page.*Copy Image Addr"):
        load_image_from_url(url)
    assert not cache.exists()


def test_a_download_that_breaks_off_is_reported(server: LocalServer, cache: Path):
    data = encode(draw_photo())
    url = server.add("/photo.png", data, Content_Length=str(len(data) + 1))
    with pytest.raises(ImageError, match="failed or broke off. Check"):
        load_image_from_url(url)
    assert not cache.exists()


def test_a_file_that_is_too_large_is_not_fetched(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(photos, "MAX_BYTES", 1_000_000)

    def pour(handler) -> None:  # without saying how much it will be
        handler.send_response(200)
        handler.end_headers()
        while not server.released.is_set():
            handler.wfile.write(bytes(100_000))

    announced = server.add("/announced", b"", Content_Length="1000001")
    for url in (announced, server.add_answer("/endless", pour)):
        with pytest.raises(ImageError, match="larger than 1 MB. Take a smaller"):
            load_image_from_url(url)


def test_a_silent_host_is_given_up_soon_and_then_left_alone(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(http, "ANSWER_SECONDS", 0.2)
    url = server.add_answer("/photo.png", lambda handler: server.released.wait())
    for _ in range(2):
        with pytest.raises(ImageError, match="127.0.0.1 does not answer. Try again in"):
            load_image_from_url(url)
    assert len(server.requests) == 1
    monkeypatch.setattr(http, "REST_SECONDS", 0.0)
    server.add("/photo.png", encode(draw_photo()))
    assert load_image_from_url(url).size == (320, 200)


def test_a_download_that_stalls_or_crawls_is_given_up(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
):
    def stall(handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b"x")
        server.released.wait()

    def crawl(handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not server.released.wait(0.01):
            handler.wfile.write(bytes(http.CHUNK_BYTES))

    monkeypatch.setattr(http, "READ_SECONDS", 0.2)
    with pytest.raises(ImageError, match="connection to 127.0.0.1 failed or broke off"):
        load_image_from_url(server.add_answer("/stall", stall))
    monkeypatch.setattr(photos, "MAX_SECONDS", 0.1)
    with pytest.raises(ImageError, match="comes too slowly"):
        load_image_from_url(server.add_answer("/crawl", crawl))


def drip(handler, *parts: bytes, released: threading.Event) -> None:
    """Sends each part at once, and what stands last again and again, bit by bit."""
    for part in parts:
        handler.wfile.write(part)
    while not released.wait(0.02):
        handler.wfile.write(parts[-1])


OK = b"HTTP/1.1 200 OK\r\n"
DRIPS = {
    "a byte now and then": (OK + b"\r\n", b"x"),
    "a byte of what was announced": (OK + b"Content-Length: 99999\r\n\r\n", b"x"),
    "chunks of one byte": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "a chunk's size": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "one long header": (OK + b"X-Long: ", b"x"),
    "header after header": (OK, b"X: y\r\n"),
    "a status that does not end": (b"HTTP/1.1 200 ", b"O"),
    "hints before the answer": (b"HTTP/1.1 100 Continue\r\n\r\n",),
}


@pytest.mark.parametrize("kind", DRIPS)
def test_a_host_that_sends_a_little_again_and_again_gets_no_more_time(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, kind: str
):
    monkeypatch.setattr(photos, "MAX_SECONDS", 0.5)

    def answer(handler) -> None:
        drip(handler, *DRIPS[kind], released=server.released)

    check_that_it_ends(server.add_answer("/drip", answer))


def test_a_body_that_was_given_up_is_not_read_on(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(photos, "MAX_SECONDS", 0.5)
    ended = threading.Event()

    def pour_slowly(handler) -> None:
        try:
            drip(handler, OK + b"\r\n", b"x", released=server.released)
        finally:
            ended.set()  # the other end is closed

    with pytest.raises(ImageError, match="comes too slowly"):
        load_image_from_url(server.add_answer("/drip", pour_slowly))
    assert ended.wait(5)


def test_redirects_that_take_their_time_get_no_more_of_it(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(photos, "MAX_SECONDS", 0.5)

    def send_on(handler) -> None:
        server.released.wait(0.1)
        handler.send_response(302)
        handler.send_header("Location", f"/{len(server.requests)}")
        handler.end_headers()

    for number in range(40):
        server.add_answer(f"/{number}", send_on)
    check_that_it_ends(f"{server.url}/0")


def check_that_it_ends(url: str) -> None:
    """Loads a picture from an address that never gives all of it, for half a second."""
    start = time.monotonic()
    with pytest.raises(ImageError, match="comes too slowly|does not answer"):
        load_image_from_url(url)
    assert 0.4 < time.monotonic() - start < 8  # less than the longest silence


def test_no_connection_and_no_host_are_reported():
    with pytest.raises(
        ImageError, match="connection to 127.0.0.1 failed or broke off. Check that"
    ):
        load_image_from_url(f"http://127.0.0.1:{find_closed_port()}/photo.png")
    with pytest.raises(ImageError, match="certificate is not accepted"), serve() as web:
        load_image_from_url(web.url.replace("http", "https"))


@pytest.mark.parametrize(
    "start",
    [
        "data:image/png;base64,",
        "http://",
        "http://127.0.0.1:9/",
        "http://[",
        "ftp://x/",
    ],
)
@pytest.mark.parametrize("offline", ["", "1"])
def test_a_message_about_a_long_address_can_be_read(start, offline, monkeypatch):
    monkeypatch.setenv("COURSEAI_OFFLINE", offline)
    with pytest.raises(ImageError) as caught:
        load_image_from_url(start + "A" * 36_000)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    "url",
    ["cat.jpg", "file:///etc/passwd", "ftp://h/cat.jpg", "http://", "http://[", 7],
)
def test_only_web_addresses_are_fetched(url: object):
    with pytest.raises(ImageError, match="is not a web address: it must begin with"):
        load_image_from_url(url)


def test_a_damaged_copy_on_disk_is_fetched_again(server: LocalServer, cache: Path):
    url = server.add("/photo.png", encode(draw_photo()))
    load_image_from_url(url)
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:100])
    assert measure_difference(load_image_from_url(url), draw_photo()) == 0
    assert kept.read_bytes() == whole


def test_without_a_writable_cache_pictures_load_with_one_notice(
    server: LocalServer, cache: Path, capsys
):
    cache.write_text("a file where the directory should be")
    url = server.add("/photo.png", encode(draw_photo()))
    for _ in range(2):
        assert load_image_from_url(url).size == (320, 200)
    output = capsys.readouterr().out
    assert output.count("cannot be kept") == 1
    assert "COURSEAI_CACHE" in output


def test_a_full_disk_keeps_no_half_picture(server: LocalServer, cache: Path, capsys):
    resource = pytest.importorskip("resource", reason="limits of POSIX systems")
    url = server.add("/photo.bmp", encode(draw_photo(), "BMP"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        assert load_image_from_url(url).size == (320, 200)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(cache.iterdir()) == []
    assert "cannot be kept" in capsys.readouterr().out


def test_offline_what_is_kept_is_found_and_nothing_is_fetched(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
):
    url = server.add("/photo.png", encode(draw_photo()))
    load_image_from_url(url)
    monkeypatch.setenv("COURSEAI_OFFLINE", "1")
    assert measure_difference(load_image_from_url(url), draw_photo()) == 0
    with pytest.raises(ImageError, match="COURSEAI_OFFLINE forbids the network. Unset"):
        load_image_from_url(server.add("/other.png", encode(draw_photo())))
    assert len(server.requests) == 1
