"""A QR code made of characters, for a phone that is held to the terminal."""

from __future__ import annotations


def qr_code(url: str) -> str:
    """Return ``url`` as a QR code."""
    import io

    import segno

    drawn = io.StringIO()
    # The least correction and half of the usual rim: a screen has no scratches, and few lines.
    segno.make(url, error="l", micro=False).terminal(drawn, compact=True, border=2)
    return drawn.getvalue()
