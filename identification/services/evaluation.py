"""How well a survey's photos are ranked, against a truth that plays no part in the ranking."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

from django.db.models import Avg

from ..errors import SpotIDError
from ..inference import engines
from ..inference.evaluating import Evaluation, Options, Photo, Stored, evaluate_survey, write_report
from ..inference.ranking import rank_photos, report
from ..matching.candidates import Side
from ..models import Detection, EmbeddingModel, Image, Survey, Work
from ..spreadsheets import restore, visible
from .coats import load_coats
from .media import media_path

# The label of a photo on which the truth names several animals: it has no single answer.
AMBIGUOUS = "\0several"

# A label that ends in a flank names one side of an individual: BRL17_Left.
_FLANK = re.compile(r"[ _-]+(?:left|right)\Z", re.IGNORECASE)

Progress = Callable[[int, int, str], None]


def survey_evaluate(
    *,
    survey: Survey,
    truth: str,
    options: Options | None = None,
    report_file: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Rank every photo of the survey by embedding, local features and both; see `evaluate` for the meaning.

    `truth`: "folders" (the first folder below the ingested root) or the path of a CSV whose first two columns are
    photo and individual. report_file: where the page goes; it shows photos and their names. Raises SpotIDError when
    nothing is labelled or the page cannot be written.
    """
    options = options or Options()
    images = list(survey.images.order_by("relative_path", "pk").values_list("pk", "relative_path"))
    labels = _from_folders(images) if truth == "folders" else _from_table(Path(truth), images)
    if not set(labels.values()) - {AMBIGUOUS}:
        raise SpotIDError("No photo of this survey has a label in that truth.")
    chosen = [pk for pk, _ in images if labels.get(pk) != AMBIGUOUS]
    position = {pk: index for index, pk in enumerate(chosen)}
    sides, coats = load_coats(survey.population, only_images=set(chosen), scenery=False)
    ranked = rank_photos(coats, [position[side.image] for side in sides], len(chosen), progress=progress)
    # A photo without label is nobody's match, and stands between the others as it would in a review.
    names: list[Hashable] = [labels.get(pk, pk) for pk in chosen]
    known = {labels[pk] for pk in chosen if pk in labels}
    model = None if coats.model is None else EmbeddingModel.objects.get(pk=coats.model)
    files = _files(sides)
    photos = _photos(chosen, labels, {side.image: files[side.detection][0] for side in reversed(sides)})
    stored = [
        Stored(position[side.image], side.flank, *(_file(name) for name in files[side.detection])) for side in sides
    ]
    found = evaluate_survey(photos, stored, coats, ranked, model, options, progress)
    values = {
        "photos": len(chosen),
        "identities": len(known),
        "without_label": len([pk for pk in chosen if pk not in labels]),
        "left_out": len(images) - len(chosen),
        "without_detection": len(chosen) - len({side.image for side in sides}),
        "model": None if model is None else {"name": model.name, "trained": model.trained},
        "local_features": engines.local_version(),
        "extraction_seconds_per_photo": Work.objects.filter(image__in=chosen).aggregate(mean=Avg("seconds"))["mean"],
        "embedding": report(ranked["embedding"], names) if "embedding" in ranked else None,
        "local": report(ranked["local"], names),
        "combined": report(ranked["combined"], names),
        "untrained": None if found.baseline is None else report(found.baseline, names) | {"seconds_per_query": None},
        "evaluation": {key: said.to_dict() for key, said in found.reports.items()},
        "shortcuts": None if found.shortcuts is None else found.shortcuts.to_dict(),
    }
    if report_file is not None:
        _write(report_file, survey, truth, values, found)
    return values


def _photos(chosen: Sequence[int], labels: dict[int, str], crops: dict[int, str]) -> list[Photo]:
    """In the order of the ids. crops: one crop's file for each photo that has any."""
    rows = Image.objects.filter(pk__in=chosen).values_list("pk", "relative_path", "event_id", "thumbnail")
    facts = {pk: (path, event, thumbnail) for pk, path, event, thumbnail in rows}
    photos = []
    for pk in chosen:
        path, event, thumbnail = facts[pk]
        identity = labels.get(pk, f"without label ({pk})")
        photos.append(
            Photo(
                # Names that are not UTF-8 may be shown the same: the number tells them apart.
                key=f"{visible(path)} ({pk})",
                identity=identity,
                individual=_FLANK.sub("", identity) or identity,
                event=None if event is None else str(event),
                picture=_file(crops.get(pk) or thumbnail),
                labelled=pk in labels,
            )
        )
    return photos


def _files(sides: Sequence[Side]) -> dict[int, tuple[str, str, str]]:
    """Crop, edge map and mask of each detection, as stored."""
    rows = Detection.objects.filter(pk__in=[side.detection for side in sides]).values_list(
        "pk", "crop", "edges", "mask"
    )
    return {pk: (crop, edges, mask) for pk, crop, edges, mask in rows}


def _file(name: str) -> Path | None:
    return media_path(name) if name else None


def _write(path: Path, survey: Survey, truth: str, values: dict[str, Any], found: Evaluation) -> None:
    model = values["model"]
    about = {
        "Survey": f"{survey.name} ({survey.population.name})",
        "Truth": "the first folder of each photo" if truth == "folders" else Path(truth).name,
        "Left out": f"{values['left_out']} photos with several animals in the truth; {values['without_label']} without "
        f"label and {values['without_detection']} without detection count as nobody's match",
        "Model": "none" if model is None else model["name"] + ("" if model["trained"] else ", untrained"),
        "Local features": values["local_features"],
    }
    try:
        write_report(path, f"Evaluation of {survey.name}", found, about)
    except OSError as error:
        raise SpotIDError(f"The report cannot be written to {path}: {error.strerror or error}.") from None


def _from_folders(images: list[tuple[int, str]]) -> dict[int, str]:
    return {pk: path.split("/", 1)[0] for pk, path in images if "/" in path}


def _from_table(path: Path, images: list[tuple[int, str]]) -> dict[int, str]:
    """Photo → individual of a CSV, as `export_survey` writes it; AMBIGUOUS for a photo with several individuals."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SpotIDError(f"{path} cannot be read as a table: {error}") from None
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    found: dict[str, set[str]] = defaultdict(set)
    for row in list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))[1:]:
        if len(row) >= 2 and row[0].strip() and row[1].strip():
            found[restore(row[0]).strip().removeprefix("./")].add(restore(row[1]).strip())
    labels = {pk: found.get(name) or found.get(visible(name).strip(), set()) for pk, name in images}
    return {pk: min(names) if len(names) == 1 else AMBIGUOUS for pk, names in labels.items() if names}
