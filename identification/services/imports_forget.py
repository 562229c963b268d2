"""Taking imported boxes back: photos are processed again, with the detector that is here."""

from __future__ import annotations

from ..imports.reading import Reading
from ..models import Detection, Image, Work
from .imported import spoken_of
from .imports_write import CHUNK
from .imports_writing import Writing
from .queue import work_requeue

_OF_BOXES = ("engine", "boxes", "people")


def write(writing: Writing, reading: Reading) -> None:
    """Species that were said of photos stay; boxes give way as in any other processing."""
    rows = Image.objects.filter(survey=writing.survey).exclude(imported={}).order_by("pk")
    ids = [pk for pk, said in rows.values_list("pk", "imported").iterator() if set(_OF_BOXES) & said.keys()]
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        with writing.step():
            # Before the photos: a worker holds its work first.
            list(Work.objects.select_for_update().filter(pk__in=part).order_by("pk").values_list("pk"))
            images = list(Image.objects.filter(pk__in=part).select_related("survey"))
            for image in images:
                image.imported = {name: value for name, value in image.imported.items() if name not in _OF_BOXES}
            Image.objects.bulk_update(images, ["imported"], batch_size=CHUNK)
            boxes = Detection.objects.filter(image__in=part, source="imported")
            kept = boxes.filter(pk__in=spoken_of(boxes))
            writing.count("boxes_kept", kept.count())
            # Else the detector's next look would take an imported box for a person's word.
            gone = boxes.exclude(pk__in=kept.values("pk"))
            writing.count("boxes_replaced", gone.count())
            gone.delete()
            work_requeue(images=images)
            writing.count("photos_looked_at_again", len(images))
        writing.progress(start + len(part), len(ids))
