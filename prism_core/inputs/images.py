"""``image/*``: a picture becomes the one image-like tensor that the model wants.

What the tensor's shape says is taken from it; what it cannot say comes from the model's
options, under ``image``::

    layout    nchw or nhwc; guessed from where 1, 3 or 4 channels stand, else nchw
    size      [height, width] or one number, where the shape leaves them open
    channels  1 (gray), 3 or 4, where the shape leaves them open
    scale     what a value of 0..255 is multiplied by; 1/255 for float images, else 1
    mean, std per channel, after scaling: (x * scale - mean) / std

A matrix whose width is a square (or three squares) is a flat picture of that size. Its
values are not scaled unless ``scale`` says so: nobody knows what such a model was fed.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import attrs
import numpy as np

from prism_core.fitting.faults import Faults, only_input, quote
from prism_core.fitting.fit import cast, check_shape, column_place, finish
from prism_core.plugin import (
    Batch,
    ConfigError,
    InvalidInput,
    Limits,
    MalformedBody,
    PayloadTooLarge,
    PrismError,
    Request,
    Signature,
    TensorSpec,
    UnsupportedInput,
)

Array = np.ndarray[Any, Any]

# Media type -> the one decoder of Pillow that may see the bytes.
FORMATS: Mapping[str, str] = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/bmp": "BMP",
    "image/gif": "GIF",
    "image/tiff": "TIFF",
}
# Of the option `size`; what a picture may have in all is the server's `limits.max_pixels`.
MAX_SIDE = 1 << 16
CHANNELS = (1, 3, 4)
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
GRAY_DEPTH = 257  # 65535 / 255: a 16-bit gray value as an 8-bit one


def available() -> str:
    """Return "" or why pictures cannot be read here."""
    if find_spec("PIL") is None:  # asked at every start of a replica, so it is not imported
        return "Pillow is not installed; pip install 'prism-core[images]' brings it."
    return ""


@attrs.define
class Budget:
    """The pixels that one request may still have, read or made."""

    limits: Limits
    pixels: int = 0

    def spend(self, width: int, height: int) -> None:
        """Take what a picture needs; `PayloadTooLarge` if that is not there."""
        self.pixels += width * height
        self.limits.check_pixels(self.pixels)


@attrs.frozen
class Layout:
    """How one picture lies in a tensor; None where the picture decides."""

    height: int | None
    width: int | None
    channels: int | None
    first: bool = False
    """Whether the channel axis stands before height and width."""
    axes: int = 3
    """3: with a channel axis, 2: gray without one, 1: flat."""


def may_be_image(spec: TensorSpec, batch_axis: bool) -> bool:
    """Whether a picture can be meant for this tensor, by its type and shape."""
    return spec.dtype.kind in "iuf" and _guess(spec, batch_axis) is not None


def normalize(body: memoryview, media_type: str, signature: Signature, request: Request) -> Batch:
    """Return one row: the picture in ``body``.

    Raises
    ------
    MalformedBody
        If it is not a whole picture of its media type.
    PayloadTooLarge
        If it has too many pixels.
    UnsupportedInput
        If the model does not take pictures.
    """
    spec = only_input(signature, "A picture")
    if not may_be_image(spec, signature.batch_axis):
        raise UnsupportedInput(
            f"The model takes no pictures: its input {spec.name!r} is {spec.datatype} of shape {spec.shape}.",
            hint="Send its values as JSON; GET /model/NAME shows the full signature.",
        )
    budget = Budget(request.limits)
    array = _tensor(body, (FORMATS[media_type],), spec, signature.batch_axis, request.options, budget)
    return finish({spec.name: array}, signature)


def decode_base64(
    value: Any, spec: TensorSpec, batch_axis: bool, request: Request, faults: Faults
) -> Array | None:
    """Return the pictures of base64 strings or ``{"b64": ...}`` objects, one row each.

    What is wrong with one of them stands in ``faults``; None is returned then.
    """
    if problem := available():
        raise UnsupportedInput("This server cannot read pictures.", hint=problem)
    arrays, budget = [], Budget(request.limits)
    for row, one in enumerate(value if isinstance(value, list) else [value]):
        text = one["b64"] if isinstance(one, dict) else one
        try:
            body = memoryview(_bytes_of(text))
            formats = tuple(FORMATS.values())
            arrays.append(_tensor(body, formats, spec, batch_axis, request.options, budget))
        except (MalformedBody, InvalidInput, binascii.Error, ValueError) as error:
            why = f": {error.message}" if isinstance(error, PrismError) else ""
            faults.add(row, spec.name, "a picture in base64", f"{quote(text)}{why}")
    if faults.count or not arrays:
        return None
    if not batch_axis and len(arrays) == 1:
        return arrays[0]
    if len({array.shape for array in arrays}) > 1:
        raise InvalidInput(
            "The pictures differ in size.", hint="Set the model's option image.size, or resize them."
        )
    return np.concatenate(arrays)


def _bytes_of(text: Any) -> bytes:
    if not isinstance(text, str):
        raise ValueError
    head, comma, rest = text[:64].partition(",")
    if comma and head.startswith("data:"):
        text = rest + text[64:]
    return base64.b64decode(text, validate=True)


def _tensor(
    body: memoryview,
    formats: tuple[str, ...],
    spec: TensorSpec,
    batch_axis: bool,
    options: Any,
    budget: Budget,
) -> Array:
    chosen = _Options.of(options)
    layout = chosen.complete(_guess(spec, batch_axis) or Layout(None, None, None))
    pixels = _pixels(_open(body, formats, layout, budget), layout)
    values = _scaled(pixels, spec, chosen, flat=layout.axes == 1)
    if layout.axes == 1:
        values = values.reshape(-1)
    elif layout.axes == 2:
        values = values[:, :, 0]
    elif layout.first:
        values = values.transpose(2, 0, 1)
    while values.ndim < len(spec.shape):
        values = values[None]
    values = np.ascontiguousarray(values)
    check_shape(values, spec)
    faults = Faults()
    done = cast(values, spec, faults, column_place(spec.name))
    faults.check()
    return done


# --- what the shape says ---------------------------------------------------------------------


def _guess(spec: TensorSpec, batch_axis: bool) -> Layout | None:
    """Return how a picture would lie in ``spec``, or None where none can."""
    shape = spec.shape[1:] if batch_axis or len(spec.shape) == 4 else spec.shape
    lead = spec.shape[: len(spec.shape) - len(shape)]
    if not all(size in (-1, 1) for size in lead):
        return None
    if len(shape) == 3:
        first = shape[0] in CHANNELS or shape[2] not in CHANNELS
        channels, height, width = shape if first else (shape[2], shape[0], shape[1])
        return Layout(_known(height), _known(width), _known(channels), first)
    if len(shape) == 2:
        return Layout(_known(shape[0]), _known(shape[1]), 1, axes=2)
    return _flat(shape[0]) if len(shape) == 1 else None


def _flat(size: int) -> Layout | None:
    for channels in (1, 3):
        side = math.isqrt(max(size, 0) // channels)
        if side > 1 and side * side * channels == size:
            return Layout(side, side, channels, axes=1)
    return None


def _known(size: int) -> int | None:
    return None if size < 0 else size


# --- what the options say --------------------------------------------------------------------


@attrs.frozen
class _Options:
    layout: str = ""
    size: tuple[int, ...] = ()
    channels: int | None = None
    scale: float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> _Options:
        given = options.get("image") or {}
        if not isinstance(given, Mapping) or given.keys() - {field.name for field in attrs.fields(cls)}:
            known = ", ".join(field.name for field in attrs.fields(cls))
            raise ConfigError(f"options.image is {quote(given)}; it may hold {known}.")
        layout = str(given.get("layout", "")).lower()
        if layout not in ("", "nchw", "nhwc"):
            raise ConfigError(f"options.image.layout is {quote(layout)}; it may be nchw or nhwc.")
        numbers = {
            name: _numbers(name, given.get(name)) for name in ("size", "channels", "scale", "mean", "std")
        }
        if not all(numbers["std"]):
            raise ConfigError("options.image.std holds a 0; values are divided by it.")
        channels, scale = numbers["channels"], numbers["scale"]
        if channels and channels[0] not in MODES:
            raise ConfigError(f"options.image.channels is {quote(channels[0])}; it may be 1, 3 or 4.")
        if not all(1 <= one <= MAX_SIDE for one in numbers["size"]) or len(numbers["size"]) > 2:
            raise ConfigError("options.image.size must be one or two positive numbers, [height, width].")
        return cls(
            layout,
            tuple(int(one) for one in numbers["size"]),
            int(channels[0]) if channels else None,
            scale[0] if scale else None,
            numbers["mean"],
            numbers["std"],
        )

    def complete(self, layout: Layout) -> Layout:
        """Fill in what the shape leaves open."""
        height, width = (self.size[0], self.size[-1]) if self.size else (None, None)
        first = layout.first
        if self.layout and layout.axes == 3:
            first = self.layout == "nchw"
            if first != layout.first:
                a, b, c = self._sizes(layout)
                layout = Layout(b, c, a, first) if first else Layout(a, b, c, first)
        return attrs.evolve(
            layout,
            height=layout.height or height,
            width=layout.width or width,
            channels=layout.channels or self.channels,
        )

    @staticmethod
    def _sizes(layout: Layout) -> tuple[int | None, int | None, int | None]:
        """Return the sizes of the three axes in the order in which they stand."""
        if layout.first:
            return layout.channels, layout.height, layout.width
        return layout.height, layout.width, layout.channels


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    """Read one number or several; the command line sends them as text, also as ``1/255``."""
    if value is None or value == "":
        return ()
    parts = value.replace("x", ",").split(",") if isinstance(value, str) else value
    try:
        return tuple(_number(part) for part in (parts if isinstance(parts, list | tuple) else [parts]))
    except (TypeError, ValueError, ZeroDivisionError):
        raise ConfigError(
            f"options.image.{name} is {quote(value)}; it must be a number or a list of them."
        ) from None


def _number(part: Any) -> float:
    if isinstance(part, str):
        above, slash, below = part.partition("/")
        part = float(above) / float(below) if slash else float(above)
    if isinstance(part, bool) or not math.isfinite(part):
        raise ValueError
    return float(part)


# --- pixels ----------------------------------------------------------------------------------


def _open(body: memoryview, formats: tuple[str, ...], layout: Layout, budget: Budget) -> Any:
    """Return the picture, decoded, the way up that its camera meant."""
    from PIL import Image, ImageOps

    # Where Pillow itself finds the size, in a frame for instance.
    Image.MAX_IMAGE_PIXELS = budget.limits.max_pixels
    try:
        image: Any = Image.open(io.BytesIO(body), formats=formats)
        # Only the head has been read so far: refuse a bomb before it is unpacked. A picture of
        # one pixel costs as much as the model's input wants.
        width, height = layout.width or image.width, layout.height or image.height
        budget.spend(*max((image.width, image.height), (width, height), key=math.prod))
        image.load()
        return ImageOps.exif_transpose(image)
    except PrismError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PayloadTooLarge(
            f"The picture has more than {budget.limits.max_pixels} pixels.",
            hint="Send a smaller one; limits.max_pixels is the server's setting.",
        ) from None
    except Exception:  # decoders of hostile bytes raise anything; none of it is for the caller
        raise MalformedBody(
            f"The body is not a whole {' or '.join(formats)} picture.",
            hint="Is the Content-Type right? With curl, send files by --data-binary, not by -d.",
        ) from None


def _pixels(image: Any, layout: Layout) -> Array:
    """Return the picture as uint8 of shape (height, width, channels), in the layout's size."""
    from PIL import Image

    channels = layout.channels or (1 if image.mode in ("1", "L", "I", "I;16", "F") else 3)
    if channels not in MODES:
        raise UnsupportedInput(f"The model wants {channels} channels; a picture gives 1, 3 or 4.")
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64) // GRAY_DEPTH
        image = Image.fromarray(np.clip(deep, 0, 255).astype(np.uint8))
    image = image.convert(MODES[channels])
    size = (layout.width or image.width, layout.height or image.height)
    if size != image.size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(size[1], size[0], channels)


def _scaled(pixels: Array, spec: TensorSpec, options: _Options, *, flat: bool) -> Array:
    scale = options.scale
    if scale is None:
        scale = 1 / 255 if spec.dtype.kind == "f" and not flat else 1.0
    if scale == 1.0 and not options.mean and not options.std:
        return pixels
    values = pixels.astype(np.float32) * np.float32(scale)
    for name, numbers in (("mean", options.mean), ("std", options.std)):
        if numbers and len(numbers) not in (1, pixels.shape[2]):
            raise ConfigError(
                f"options.image.{name} has {len(numbers)} values for {pixels.shape[2]} channels."
            )
    if options.mean:
        values -= np.array(options.mean, dtype=np.float32)
    if options.std:
        values /= np.array(options.std, dtype=np.float32)
    return np.rint(values) if spec.dtype.kind in "iu" else values
