"""MegaDetector's output, format 1.x: boxes of animals, people and vehicles, perhaps with classifications.

Category *names* are read, never numbers. A photo with `failure` is left for the detector here. A box's species is its
most probable classification from 0.5 on; the photo's, in formats that classify sequences, is not read.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.utils.translation import gettext_noop

from . import jsonstream
from .boxes import MOST_BOXES, WORDS, box_of, share
from .reading import BoxRecord, Issue, Kind, Options, PhotoRecord, Photos, Reading, UnusableFile
from .taxonomy import taxon_of

LEAST_SPECIES = 0.5
_GLANCE = 1 << 18
_IMAGES = re.compile(r'"images"\s*:\s*\[')
_LONG = ("images", "annotations", "predictions", "instances")


def looks_like(path: Path) -> bool:
    """A JSON file with `images` and `detection_categories`."""
    glance = json_glance(path)
    return bool(_IMAGES.search(glance)) and '"detection_categories"' in glance


def json_glance(path: Path) -> str:
    """The beginning and the end of a JSON object's text, without spaces around colons; "" for anything else."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as handle:
            data = handle.read(_GLANCE)
            if path.stat().st_size > 2 * _GLANCE:
                handle.seek(-_GLANCE, os.SEEK_END)
            data += b" " + handle.read(_GLANCE)
    except OSError:
        return ""
    for mark in (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        data = data.removeprefix(mark)
    text = data.replace(b"\x00", b"").decode("utf-8", "replace").lstrip()
    return text if text.startswith("{") else ""


def read(path: Path, options: Options) -> Reading:
    top = jsonstream.top_of(path, long=_LONG)
    if "images" not in top:
        raise UnusableFile("no_images", "The file has no list of images: it is no MegaDetector output.")
    if "annotations" in top and "detection_categories" not in top:
        raise UnusableFile("coco", "This is a COCO file made of MegaDetector's output. Give MegaDetector's own JSON.")
    categories = _names(top.get("detection_categories"))
    if not categories:
        raise UnusableFile("no_categories", "The file names no detection_categories; numbers alone say nothing.")
    said = top.get("info")
    info: dict[str, Any] = said if isinstance(said, dict) else {}
    detector = str(info.get("detector") or "MegaDetector")
    version = str(info.get("format_version") or "")
    notes = [f"MegaDetector format {version or 'without version'}, made by {detector[:80]}."]
    if version and not version.startswith("1."):
        notes.append("The format is newer than 1.x; what is not known of it is left out.")
    classes = _species(top)

    def photos() -> Iterator[PhotoRecord | Issue]:
        yield from _records(path, detector, categories, classes, options.threshold)

    return Reading(notes=tuple(notes), photos=Photos(photos))


def _names(said: Any) -> dict[str, str]:
    return {str(number): str(name) for number, name in said.items()} if isinstance(said, dict) else {}


def _species(top: dict[str, Any]) -> dict[str, str]:
    """Species by the number of the class: from its taxonomic description where there is one."""
    described = _names(top.get("classification_category_descriptions"))
    names = _names(top.get("classification_categories"))
    found = {}
    for number, name in names.items():
        text = described.get(number, "")
        # `class;order;family;genus;species;common` here, without the identifier in front.
        text = f";{text}" if text.count(";") == 5 else text if text.count(";") == 6 else name
        found[number] = taxon_of(text).species
    return found


def _records(
    path: Path, detector: str, categories: dict[str, str], classes: dict[str, str], threshold: float
) -> Iterator[PhotoRecord | Issue]:
    for row, item in enumerate(jsonstream.items_of(path, "images"), 1):
        name = item.get("file") if isinstance(item, dict) else None
        if not isinstance(name, str) or not name.strip():
            yield Issue("no_name", "A record names no photo.", path.name, row)
            continue
        if item.get("failure"):
            words = "The detector could not read the photo; it is looked at here."
            yield Issue("failure", words, path.name, row, f"{name}: {item['failure']}"[:500])
            continue
        found = item.get("detections")
        if not isinstance(found, list):
            yield Issue("no_detections", "A record has no list of detections.", path.name, row, name[:500])
            continue
        boxes: list[BoxRecord] = []
        for code, detail, box in _boxes(found, categories, classes, threshold):
            if box is not None:
                boxes.append(box)
            else:
                yield Issue(code, WORDS[code], path.name, row, f"{name} {detail}"[:500])
        md5 = item.get("md5") if isinstance(item.get("md5"), str) else ""
        yield PhotoRecord(row, name, md5=str(md5), looked=True, engine=detector[:100], boxes=tuple(boxes))


def _boxes(
    found: list[Any], categories: dict[str, str], classes: dict[str, str], threshold: float
) -> Iterator[tuple[str, str, BoxRecord | None]]:
    """(code, what it was, None) of what cannot be used, ("", "", box) of what can; the most confident first."""
    ordered = sorted(found, key=lambda one: -(share(one.get("conf")) or 0) if isinstance(one, dict) else 0)
    if len(ordered) > MOST_BOXES:
        yield "too_many_boxes", "", None
    for one in ordered[:MOST_BOXES]:
        box = box_of(one, categories, threshold, _classified(one, classes))
        if isinstance(box, str):
            said = categories.get(str(one.get("category")), one.get("category")) if isinstance(one, dict) else ""
            yield box, str(said)[:80], None
        elif box is not None:
            yield "", "", box


def _classified(found: Any, classes: dict[str, str]) -> str:
    """The species of a box's most probable class, "" below one half."""
    said = found.get("classifications") if isinstance(found, dict) else None
    best: tuple[float, str] = (LEAST_SPECIES, "")
    for pair in said if isinstance(said, list) else []:
        if isinstance(pair, list) and len(pair) == 2:
            score = share(pair[1])
            if score is not None and score >= best[0]:
                best = (score, classes.get(str(pair[0]), ""))
    return best[1]


KIND = Kind(
    "megadetector",
    "MegaDetector",
    read,
    looks_like,
    accepts=(".json",),
    asks=("threshold",),
    help=gettext_noop(
        "Boxes of animals, people and vehicles (JSON, format 1.x), with species where they were classified."
    ),
)
