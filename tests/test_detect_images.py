"""Images from strangers: the good ones are decoded the same way everywhere, the others refused with a fixed text."""

from __future__ import annotations

import struct
import time
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles import grey, jpeg, png
from robo_dialog.detect.image import decode_rgb, image_size
from robo_dialog.detect.preprocess import check_rgb, resize_rgb
from robo_dialog.errors import RequestError

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
REASONS = {
    "is not a JPEG or PNG image",
    "is damaged or truncated",
    "is animated",
    "each side must have 16 to 4096 pixels",
    "has more than 16 million pixels",
    "has more than 32 MiB",
    "must have 8 bits a channel",
    "must be RGB or grey",
    "must be a baseline or progressive JPEG",
}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_file(width: int, height: int, *more: bytes, depth: int = 8, body: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def jpeg_file(width: int, height: int, *, marker: int = 0xC0, depth: int = 8, channels: int = 3) -> bytes:
    frame = struct.pack(">BHHB", depth, height, width, channels) + b"\x01\x11\x00" * channels
    return b"\xff\xd8\xff" + bytes([marker]) + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xd9"


def reason(data: bytes) -> str:
    with pytest.raises(RequestError) as caught:
        decode_rgb(data, "frames[3].image")
    assert caught.value.field == "frames[3].image"
    return caught.value.reason


def test_png_is_decoded_exactly_as_rgb():
    assert np.array_equal(decode_rgb(png(PICTURE)), PICTURE)


def test_jpeg_is_decoded_as_rgb():
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 250
    assert np.abs(decode_rgb(jpeg(red)).astype(int) - red).max() <= 3


def test_grey_becomes_rgb_and_transparency_is_ignored():
    level = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(decode_rgb(cv2.imencode(".png", level)[1].tobytes()), np.stack([level] * 3, axis=-1))
    clear = np.dstack([PICTURE[:, :, ::-1], np.zeros((40, 60), np.uint8)])
    assert np.array_equal(decode_rgb(cv2.imencode(".png", clear)[1].tobytes()), PICTURE)


def test_exif_orientation_is_ignored():
    tag = b"\x01\x00" + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + b"\0\0\0\0"
    exif = b"Exif\0\0II*\0\x08\0\0\0" + tag
    plain = jpeg(PICTURE)
    turned = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (60, 40, 3)
    assert np.array_equal(decode_rgb(turned), decode_rgb(plain))


def test_progressive_and_restarting_jpegs_are_read():
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]
    data = cv2.imencode(".jpg", PICTURE[:, :, ::-1], options)[1].tobytes()
    assert decode_rgb(data).shape == PICTURE.shape


@pytest.mark.parametrize("encode", [png, jpeg])
def test_every_truncation_is_refused(encode):
    data = encode(PICTURE)
    for length in range(len(data)):
        assert reason(data[:length]) in REASONS


def test_a_damaged_png_is_refused_wherever_the_damage_is():
    data = bytearray(png(grey(100, 20)))
    for place in range(len(data)):
        data[place] ^= 0x10
        assert reason(bytes(data)) in REASONS
        data[place] ^= 0x10


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a" + bytes(64),
        b"II*\0" + bytes(64),
        b"MM\0*" + bytes(64),
        b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'/>",
        b"RIFF\x24\0\0\0WEBPVP8 " + bytes(64),
        b"BM" + bytes(64),
        b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(64),
        b"#?RADIANCE\n",
    ],
    ids=["empty", "gif", "tiff", "tiff-big-endian", "svg", "webp", "bmp", "jpeg2000", "hdr"],
)
def test_other_formats_are_not_even_looked_at(data):
    assert reason(data) == "is not a JPEG or PNG image"


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (15, 64), (64, 15), (4097, 64), (64, 4097), (0, 0), (50000, 50000)]
)
def test_sides_are_checked_before_anything_is_decoded(width, height, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("the decoder was asked"))
    assert reason(png_file(width, height)) == "each side must have 16 to 4096 pixels"
    assert reason(jpeg_file(width, height)) == "each side must have 16 to 4096 pixels"


def test_pixels_are_counted_before_anything_is_decoded(monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("the decoder was asked"))
    assert reason(png_file(4096, 4096)) == "has more than 16 million pixels"
    assert reason(jpeg_file(4096, 4096)) == "has more than 16 million pixels"


def test_an_animated_png_is_refused():
    assert reason(png_file(64, 64, chunk(b"acTL", struct.pack(">II", 2, 0)))) == "is animated"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png_file(64, 64, depth=16), "must have 8 bits a channel"),
        (jpeg_file(64, 64, marker=0xC1, depth=12), "must have 8 bits a channel"),
        (jpeg_file(64, 64, channels=4), "must be RGB or grey"),
        (jpeg_file(64, 64, marker=0xC3), "must be a baseline or progressive JPEG"),
        (png_file(64, 64, chunk(b"IHDR", bytes(13))), "is damaged or truncated"),
        (png_file(64, 64, body=zlib.compress(bytes(100))), "is damaged or truncated"),
        (jpeg_file(64, 64)[:-2] + jpeg_file(32, 32)[2:], "is damaged or truncated"),
        (jpeg_file(64, 64), "is damaged or truncated"),
        (b"\xff\xd8\xff\xff\xff", "is damaged or truncated"),
    ],
)
def test_unusual_files_are_refused_with_their_reason(data, expected):
    assert reason(data) == expected


def test_a_file_that_is_too_long_is_refused_by_its_length():
    assert reason(png_file(64, 64) + bytes(33 << 20)) == "has more than 32 MiB"


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
        + chunk(b"teXt", b"") * 600_000,
        b"\xff\xd8" + b"\xff\xfe\x00\x02" * 2_000_000,
        b"\xff\xd8" + b"\xff" * 8_000_000,
    ],
    ids=["chunks", "segments", "fill"],
)
def test_a_header_of_millions_of_parts_costs_no_time(data):
    started = time.process_time()
    assert reason(data) == "is damaged or truncated"
    assert time.process_time() - started < 0.5


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_mutated_image_is_decoded_or_refused_with_a_known_text(data):
    image = bytearray(data.draw(st.sampled_from([png(PICTURE), jpeg(PICTURE)])))
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(image) - 1), st.integers(0, 255)), max_size=8)):
        image[place] = value
    try:
        decoded = decode_rgb(bytes(image))
    except RequestError as error:
        assert error.reason in REASONS  # noqa: PT017  both ways out are right
    else:
        assert decoded.shape[:2] == image_size(bytes(image))[::-1]


def test_shrinking_averages_and_whole_factors_are_exact():
    blocks = np.kron(np.arange(16).reshape(4, 4), np.ones((8, 8))).astype(np.uint8)
    image = np.stack([blocks] * 3, axis=-1)
    assert np.array_equal(resize_rgb(image, 4)[..., 0], np.arange(16).reshape(4, 4))


def test_enlarging_interpolates_without_leaving_the_range():
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, 8:] = 200
    row = resize_rgb(image, 64)[30, :, 0].astype(int)
    assert (np.diff(row) >= 0).all()
    assert len(set(row)) > 2


def test_an_image_of_the_right_size_is_left_alone_and_others_are_squashed_not_cropped():
    assert resize_rgb(PICTURE[:40, :40], 40) is not None
    assert np.array_equal(resize_rgb(PICTURE[:40, :40], 40), PICTURE[:40, :40])
    edge = np.zeros((32, 64, 3), np.uint8)
    edge[:, -4:] = 255
    assert resize_rgb(edge, 16)[:, -1].min() == 255


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((32, 32), np.uint8),
        np.zeros((32, 32, 4), np.uint8),
        np.zeros((3, 32, 32), np.uint8),
        np.zeros((32, 32, 3), np.float32),
        np.zeros((8, 32, 3), np.uint8),
        np.zeros((32, 5000, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_rgb_images_are_refused(array):
    with pytest.raises(RequestError):
        check_rgb(array, "frames[0].image")
