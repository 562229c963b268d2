"""No file at all: what imports have said of boxes is taken back, so that the detector here looks again."""

from __future__ import annotations

from pathlib import Path

from django.utils.translation import gettext_noop

from .reading import Kind, Options, Reading


def looks_like(path: Path) -> bool:
    """Never: it is asked for by name."""
    return False


def read(path: Path, options: Options) -> Reading:
    """Nothing is read."""
    return Reading()


KIND = Kind(
    "forget",
    gettext_noop("Take imported boxes back"),
    read,
    looks_like,
    help=gettext_noop("The detector looks again where boxes were imported; what people have said of boxes stays."),
    writer="identification.services.imports_forget.write",
    of_photos=True,
)
