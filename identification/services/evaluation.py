"""How well a survey's photos are ranked, against a truth that plays no part in the ranking."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db.models import Avg

from ..errors import SpotIDError
from ..inference import engines
from ..inference.ranking import rank_photos, report
from ..models import Survey, Work
from ..spreadsheets import restore
from .matching_run import load_coats

Progress = Callable[[int, int, str], None]


def survey_evaluate(*, survey: Survey, truth: str, progress: Progress | None = None) -> dict[str, Any]:
    """Rank every photo of the survey by embedding, local features and both; see `evaluate` for the meaning.

    `truth`: "folders" (the first folder below the ingested root) or the path of a CSV whose first two columns are
    photo and individual. Raises SpotIDError when nothing is labelled.
    """
    images = list(survey.images.order_by("relative_path", "pk").values_list("pk", "relative_path"))
    labels = _from_folders(images) if truth == "folders" else _from_table(Path(truth), images)
    if not labels:
        raise SpotIDError("No photo of this survey has a label in that truth.")
    chosen = [pk for pk, _ in images if pk in labels]
    position = {pk: index for index, pk in enumerate(chosen)}
    sides, coats = load_coats(survey.population, only_images=set(chosen), scenery=False)
    ranked = rank_photos(coats, [position[side.image] for side in sides], len(chosen), progress=progress)
    names = [labels[pk] for pk in chosen]
    model = engines.active_model()
    with_detection = {side.image for side in sides}
    return {
        "photos": len(chosen),
        "identities": len(set(names)),
        "without_label": len(images) - len(chosen),
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
    """Photo → individual of a CSV. A photo with two individuals on it has no single answer and is left out."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SpotIDError(f"{path} cannot be read as a table: {error}") from None
    try:
        dialect: Any = csv.Sniffer().sniff(text.split("\n", 1)[0], delimiters=",;\t")
    except csv.Error:
        dialect = csv.excel
    found: dict[str, set[str]] = defaultdict(set)
    for row in list(csv.reader(text.splitlines(), dialect))[1:]:
        if len(row) >= 2 and row[0].strip() and row[1].strip():
            found[restore(row[0]).strip().removeprefix("./")].add(restore(row[1]).strip())
    return {pk: min(found[name]) for pk, name in images if len(found.get(name, ())) == 1}
