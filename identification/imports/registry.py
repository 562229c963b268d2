"""The kinds of imports there are. One line each."""

from __future__ import annotations

import zipfile
from pathlib import Path

from . import (
    animals,
    camtrapdp,
    camtrapr,
    forget,
    hotspotter,
    labelled,
    megadetector,
    speciesnet,
    spotid,
    stations,
    timelapse,
)
from .reading import Kind

KINDS: dict[str, Kind] = {
    kind.code: kind
    for kind in (
        megadetector.KIND,
        speciesnet.KIND,
        timelapse.KIND,
        stations.KIND,
        camtrapr.KIND,
        camtrapdp.KIND,
        labelled.KIND,
        hotspotter.KIND,
        spotid.KIND,
        animals.KIND,
        forget.KIND,
    )
}


def kind_of(path: Path) -> Kind | None:
    """The first kind that a file or folder looks like; None when it looks like nothing that is known."""
    return next((kind for kind in KINDS.values() if kind.looks_like(path)), None)


def kind_of_archive(path: Path) -> Kind | None:
    """The first kind one of whose files a zip archive names; None where it names none, or is no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rsplit("/", 1)[-1] for name in archive.namelist()}
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return None
    return next((kind for kind in KINDS.values() if names.intersection(kind.inside)), None)
