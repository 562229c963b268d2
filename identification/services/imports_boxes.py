"""Which box of a photo an import speaks of, where it names animals; made where nothing stands there yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from ..imports.reading import BoxRecord, PhotoRecord
from ..inference import engines
from ..inference.engines import FoundBox
from ..models import Category, Detection, DetectionSource, Flank, Image, ProcessingState, Triage
from .annotation import detection_annotate
from .imported import box_pixels, engine_imported
from .imports_write import Placed
from .imports_writing import Writing
from .queue import work_requeue

# Of one place: as where an imported box gives way to one that a person has said something of.
_SAME = 0.5
# Photos in one step.
_STEP = 50
NOT_USABLE = "The box is not usable here, or no animal of the population's species; it is matched with nothing."
SMALL = "The box is too small to hold an animal."
LATE = "The photo has to be processed before its animal can be matched. Import again then."
NONE = "No usable animal is found on the photo."
MANY = "Several animals are found on the photo, and nothing says which is meant."


def boxes_each(writing: Writing, placed: Sequence[Placed], take: Callable[[Boxes, Placed], None]) -> None:
    """Photo by photo with its boxes, some photos in each step."""
    for start in range(0, len(placed), _STEP):
        some = placed[start : start + _STEP]
        with writing.step():
            boxes = Boxes(writing, [photo.pk for photo in some])
            for photo in some:
                take(boxes, photo)
            boxes.process()
        writing.progress(start + len(some), len(placed))


class Boxes:
    """The boxes of some photos of a survey. Made inside a step."""

    def __init__(self, writing: Writing, photos: Iterable[int]) -> None:
        self.writing = writing
        ids = sorted(set(photos))
        self.images = Image.objects.select_related("survey", "work").in_bulk(ids)
        self.rows: dict[int, list[Detection]] = defaultdict(list)
        for row in Detection.objects.filter(image__in=ids).order_by("pk"):
            self.rows[row.image_id].append(row)
        self._made: set[int] = set()

    def of_box(self, pk: int, record: PhotoRecord, box: BoxRecord) -> Detection | None:
        """The box of a photo at this place; told and None where there can be none, or it is of no use for a match."""
        image = self.images[pk]
        found = box_pixels([*box.corners, box.category, box.confidence, box.species], image.width, image.height)
        if found is None:
            self._tell("small_box", SMALL, record)
            return None
        row = self._at(pk, found)
        if row is None:
            return self._make(image, found, record, box)
        self._say(row, box)
        return self._usable(row, record) if box.label is not None else row

    def of_photo(self, pk: int, record: PhotoRecord) -> Detection | None:
        """The one animal of a photo; of a finished crop, the crop."""
        image = self.images[pk]
        rows = [row for row in self.rows[pk] if comparable(row)]
        if len(rows) == 1:
            return rows[0]
        if image.survey.crops_only and not self.rows[pk]:
            return self._crop(image)
        if rows:
            self._tell("several_boxes", MANY, record)
        elif waits(image):
            self._tell("not_processed", LATE, record)
        else:
            self._tell("no_box", NONE, record)
        return None

    def process(self) -> None:
        """Let photos with new boxes be processed, again if need be."""
        through = [image for pk, image in self.images.items() if pk in self._made and not waits(image)]
        if through:
            work_requeue(images=through)

    def _at(self, pk: int, found: FoundBox) -> Detection | None:
        corners = (found.x1, found.y1, found.x2, found.y2)
        rows = [row for row in self.rows[pk] if row.category == Category.ANIMAL]
        exact = next((row for row in rows if (row.x1, row.y1, row.x2, row.y2) == corners), None)
        if exact is not None or not rows:
            return exact
        best = max(rows, key=lambda row: engines.overlap((row.x1, row.y1, row.x2, row.y2), found))
        return best if engines.overlap((best.x1, best.y1, best.x2, best.y2), found) > _SAME else None

    def _make(self, image: Image, found: FoundBox, record: PhotoRecord, box: BoxRecord) -> Detection:
        flank = box.flank or (box.label.flank if box.label else "") or Flank.UNKNOWN
        row = Detection.objects.create(
            image=image,
            engine=engine_imported(record.engine),
            source=DetectionSource.IMPORTED,
            category=found.category,
            confidence=found.confidence,
            species=found.species,
            x1=found.x1,
            y1=found.y1,
            x2=found.x2,
            y2=found.y2,
            flank=flank,
            flank_by_person=box.flank_said,
            usable=box.usable,
            unusable_reason=box.reason,
        )
        return self._keep(image, row)

    def _crop(self, image: Image) -> Detection:
        row = Detection.objects.create(
            image=image,
            engine=engines.FINISHED_CROP,
            source=DetectionSource.CROP,
            confidence=1.0,
            x1=0.0,
            y1=0.0,
            x2=float(image.width),
            y2=float(image.height),
        )
        return self._keep(image, row)

    def _keep(self, image: Image, row: Detection) -> Detection:
        self.rows[image.pk].append(row)
        self._made.add(image.pk)
        self.writing.count("boxes_made")
        return row

    def _say(self, row: Detection, box: BoxRecord) -> None:
        """What a person said of the box elsewhere, where nobody has said anything here."""
        if box.flank_said and box.label is None and not row.flank_by_person and row.flank != box.flank:
            detection_annotate(acting_user=self.writing.acting_user, detections=[row], flank=box.flank)
            self.writing.count("boxes_said")

    def _usable(self, row: Detection, record: PhotoRecord) -> Detection | None:
        if comparable(row):
            return row
        self._tell("not_usable", NOT_USABLE, record)
        return None

    def _tell(self, code: str, words: str, record: PhotoRecord) -> None:
        self.writing.problem(code, words, row=record.row, detail=record.path[:500])


def comparable(row: Detection) -> bool:
    return row.category == Category.ANIMAL and row.usable and row.triage != Triage.OTHER


def waits(image: Image) -> bool:
    """Whether it is still to be processed."""
    work = getattr(image, "work", None)
    return work is not None and work.state in (ProcessingState.PENDING, ProcessingState.RUNNING)
