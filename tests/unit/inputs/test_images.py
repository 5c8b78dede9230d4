import base64
import io

import numpy as np
import pytest
from PIL import Image

from prism_core.inputs.images import FORMATS
from prism_core.plugin import (
    ConfigError,
    InvalidInput,
    MalformedBody,
    PayloadTooLarge,
    Signature,
    TensorSpec,
    UnsupportedInput,
)

OUTPUTS = (TensorSpec("predictions", "FP64", (-1,)),)
# 2 rows of 3 pixels: red, green, blue over black, gray, white.
PIXELS = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[0, 0, 0], [51, 51, 51], [255, 255, 255]]], dtype=np.uint8
)


def signature(*shape, datatype="UINT8", batch_axis=True):
    return Signature((TensorSpec("image", datatype, shape),), OUTPUTS, batch_axis=batch_axis)


def picture(pixels=PIXELS, kind="PNG", **named):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **named)
    return file.getvalue()


PNG = picture()
BASE64 = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((-1, -1, -1, 3), PIXELS[None]),
        ((-1, 2, 3, 3), PIXELS[None]),
        ((-1, 3, -1, -1), PIXELS.transpose(2, 0, 1)[None]),
        ((-1, -1, -1, -1), PIXELS.transpose(2, 0, 1)[None]),
        ((-1, 4, 2, 3), np.dstack([PIXELS, np.full((2, 3), 255)]).transpose(2, 0, 1)[None]),
        ((-1, 1, 2, 3), np.array([[[[76, 150, 29], [0, 51, 255]]]])),
        ((-1, 2, 3), np.array([[[76, 150, 29], [0, 51, 255]]])),
    ],
)
def test_the_layout_follows_from_the_shape(read, shape, expected):
    assert read(PNG, signature(*shape), "image/png")["image"].tolist() == expected.tolist()


@pytest.mark.parametrize(("media_type", "kind"), FORMATS.items())
def test_every_format(read, media_type, kind):
    red = np.full((8, 8, 3), (255, 0, 0), dtype=np.uint8)
    image = read(picture(red, kind), signature(-1, 8, 8, 3), media_type)["image"]

    assert np.abs(image.astype(int) - red).max() < 5


def test_floats_are_scaled_to_one(read):
    image = read(PNG, signature(-1, -1, -1, 3, datatype="FP32"), "image/png")["image"]

    assert np.allclose(image, PIXELS / 255)


def test_options_say_what_the_shape_does_not(read):
    options = {
        "image": {"layout": "nhwc", "size": [4, 6], "channels": 1, "scale": 1, "mean": [1], "std": "2"}
    }
    image = read(PNG, signature(-1, -1, -1, -1, datatype="FP64"), "image/png", options)["image"]

    assert image.shape == (1, 4, 6, 1)
    assert image.max() <= 127


def test_options_may_come_as_text_from_a_command_line(read):
    options = {"image": {"scale": "1/255", "mean": "0.5,0.5,0.5", "std": "0.5", "size": "2x3"}}
    image = read(PNG, signature(-1, 3, -1, -1, datatype="FP32"), "image/png", options)["image"]

    assert np.allclose(image[0].transpose(1, 2, 0), (PIXELS / 255 - 0.5) / 0.5, atol=1e-6)


def test_a_picture_is_resized_to_a_fixed_shape(read):
    assert read(PNG, signature(1, 3, 8, 8, batch_axis=False), "image/png")["image"].shape == (1, 3, 8, 8)


def test_a_flat_matrix_whose_width_is_a_square_is_a_gray_picture(read):
    gray = np.arange(64, dtype=np.uint8).reshape(8, 8)
    image = read(picture(gray), signature(-1, 64, datatype="FP64"), "image/png")["image"]

    assert image.tolist() == [gray.ravel().tolist()]


def test_sixteen_bit_gray_is_not_clipped(read):
    deep = np.array([[0, 32768, 65535]], dtype=np.uint16)

    assert read(picture(deep), signature(-1, 1, 1, 3), "image/png")["image"].tolist() == [[[[0, 127, 255]]]]


def test_the_camera_says_which_way_is_up(read):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    upright = read(picture(PIXELS, "PNG", exif=exif), signature(-1, -1, -1, 3), "image/png")["image"]

    assert upright.shape == (1, 3, 2, 3)


@pytest.mark.parametrize(
    "value",
    [
        BASE64,
        [BASE64],
        {"b64": BASE64},
        [{"b64": BASE64}],
        {"image": {"b64": BASE64}},
        {"image": [BASE64]},
        [{"image": {"b64": BASE64}}],
        f"data:image/png;base64,{BASE64}",
    ],
)
def test_a_picture_in_json(read, value):
    assert read({"input": value}, signature(-1, -1, -1, 3))["image"].tolist() == [PIXELS.tolist()]


def test_several_pictures_in_json(read):
    assert read({"input": [BASE64, BASE64]}, signature(-1, -1, -1, 3))["image"].shape == (2, 2, 3, 3)


def test_every_bad_picture_in_json_is_told(faults):
    value = [BASE64, "zz", {"b64": 3}, base64.b64encode(PNG[:30]).decode()]

    assert faults({"input": value}, signature(-1, -1, -1, 3)) == [(1, "image"), (2, "image"), (3, "image")]


def test_pictures_of_different_sizes_cannot_be_joined(read):
    other = base64.b64encode(picture(np.zeros((4, 4, 3), dtype=np.uint8))).decode()

    with pytest.raises(InvalidInput, match="size"):
        read({"input": [BASE64, other]}, signature(-1, -1, -1, 3))


@pytest.mark.parametrize("body", [b"", b"hello", PNG[:48], PNG[:20], picture(kind="BMP")])
def test_what_is_no_whole_picture_of_its_type_is_malformed(read, body):
    with pytest.raises(MalformedBody):
        read(body, signature(-1, -1, -1, 3), "image/png")


def test_a_bomb_is_refused_before_it_is_unpacked(read):
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")

    with pytest.raises(PayloadTooLarge):
        read(file.getvalue(), signature(-1, 8, 8, 3), "image/png")


@pytest.mark.parametrize(
    "model",
    [
        signature(-1, 3),
        signature(-1, 64, datatype="BYTES"),
        signature(
            -1,
        ),
        signature(3, 3, 8, 8, batch_axis=False),
    ],
)
def test_a_model_that_takes_no_pictures_says_so(read, model):
    with pytest.raises(UnsupportedInput):
        read(PNG, model, "image/png")


@pytest.mark.parametrize(
    "image",
    [
        {"layout": "hcwn"},
        {"size": 0},
        {"size": [1, 2, 3]},
        {"size": "big"},
        {"channels": 2},
        {"std": 0},
        {"mean": [1, 2]},
        {"scale": True},
        {"colour": 1},
        "nchw",
        {"scale": "1/0"},
    ],
)
def test_wrong_options_name_themselves(read, image):
    with pytest.raises(ConfigError, match=r"options\.image"):
        read(PNG, signature(-1, 3, -1, -1, datatype="FP32"), "image/png", {"image": image})
