"""How well a survey's photos are ranked, against a truth that plays no part in the ranking."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from django.db.models import Avg

from ..errors import SpotIDError
from ..inference import engines
from ..inference.ranking import rank_photos, report
from ..models import Survey, Work
from ..spreadsheets import restore, visible
from .matching_run import load_coats

# The label of a photo on which the truth names several animals: it has no single answer.
AMBIGUOUS = "\0several"

Progress = Callable[[int, int, str], None]


def survey_evaluate(*, survey: Survey, truth: str, progress: Progress | None = None) -> dict[str, Any]:
    """Rank every photo of the survey by embedding, local features and both; see `evaluate` for the meaning.

    `truth`: "folders" (the first folder below the ingested root) or the path of a CSV whose first two columns are
    photo and individual. Raises SpotIDError when nothing is labelled.
    """
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
    model = engines.active_model()
    with_detection = {side.image for side in sides}
    return {
        "photos": len(chosen),
        "identities": len(known),
        "without_label": len([pk for pk in chosen if pk not in labels]),
        "left_out": len(images) - len(chosen),
        "without_detection": len(chosen) - len(with_detection),
        "model": None if model is None else {"name": model.name, "trained": model.trained},
        "local_features": engines.local_version(),
        "extraction_seconds_per_photo": Work.objects.filter(image__in=chosen).aggregate(mean=Avg("seconds"))["mean"],
        "embedding": report(ranked["embedding"], names) if "embedding" in ranked else None,
        "local": report(ranked["local"], names),
        "combined": report(ranked["combined"], names),
    }


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
