"""Which media type a file is sent as."""

from __future__ import annotations

from pathlib import Path

JSON = "application/json"

MEDIA_TYPES = {
    ".json": JSON,
    ".csv": "text/csv",
    ".txt": "text/plain",
    ".npy": "application/x-npy",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".bin": "application/octet-stream",
}


def media_type_of(path: Path) -> str:
    """Return the media type that a file's suffix means; JSON for one that is not known."""
    return MEDIA_TYPES.get(path.suffix.lower(), JSON)
