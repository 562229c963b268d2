"""What an import says of a photo, kept on its row (`Image.imported`) and applied when the photo is processed.

    {"engine": "md_v5a", "boxes": [[x1, y1, x2, y2, category, confidence, species], …], "species": "…", "people": true}

Corners are shares of the upright photo. `engine` and `boxes` come together: they stand for a detector that has looked,
so that no other looks again, and no box means an empty photo. `species` is said of the photo as a whole. `people`: a
person is on it, though no box may say where.

What an import replaces: boxes that a machine found, by its own or another import. Never a box that a person has drawn,
corrected, matched, declared, or said anything of; an imported one that covers such a box is left out, others stand
beside it. See docs/decisions/0042-imports.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from ..imports.reading import PhotoRecord
from ..inference.engines import Found, FoundBox
from ..matching.species import Named, species_named
from ..models import AuditEntry, Category, Detection, DetectionSource, Image, MatchEdge, Triage
from ..selectors.triage import in_confirmed_matches

MARK = "imported"
# The engine of a box that stands for a person somewhere on the photo.
PEOPLE = "a person, as an import says"


def said_of(record: PhotoRecord, before: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be kept of a record, beside what was kept before; boxes of an earlier import give way to new ones."""
    said = dict(before)
    if record.looked:
        said["engine"] = record.engine
        said["boxes"] = [[*box.corners, box.category, box.confidence, box.species] for box in record.boxes]
    if record.species:
        said["species"] = record.species
    if record.people:
        said["people"] = True
    return said


def looked_otherwise(said: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether boxes would be others than before, so that a photo which is through has to be looked at again."""
    return any(said.get(name) != before.get(name) for name in ("engine", "boxes", "people"))


def shows_people(said: Mapping[str, Any]) -> bool:
    """Whether an import says, with a box or without, that a person is on the photo."""
    return bool(said.get("people")) or any(box[4] == Category.PERSON for box in said.get("boxes", ()))


def found_imported(image: Image, width: int, height: int) -> Found | None:
    """The boxes of an import as a detector's answer, in pixels; None where no import has looked."""
    said = image.imported
    if "boxes" not in said:
        return None
    boxes = [box_pixels(row, width, height) for row in said["boxes"]]
    name = engine_imported(str(said.get("engine", "")))
    kept = tuple(box for box in boxes if box is not None)
    return Found(kept, name, DetectionSource.IMPORTED, "The boxes were imported; no detector looked here.")


def engine_imported(engine: str) -> str:
    """What the engine of an imported box is called."""
    return f"{engine} ({MARK})".strip()[-120:]


def people_add(*, image: Image, width: int, height: int) -> None:
    """A box of the whole photo where an import says that a person is on it and no box says where: it is kept from view
    until a curator says of that box what it is."""
    if not image.imported.get("people") or image.detections.filter(category=Category.PERSON).exists():
        return
    Detection.objects.get_or_create(
        image=image,
        engine=PEOPLE,
        x1=0,
        y1=0,
        x2=width,
        y2=height,
        defaults={"category": Category.PERSON, "confidence": 0, "source": DetectionSource.IMPORTED},
    )


def box_pixels(row: Sequence[Any], width: int, height: int) -> FoundBox | None:
    """A box as it is kept, in pixels; None for one that is too small to hold an animal."""
    x1, y1, x2, y2, category, confidence, species = row
    left, top = round(x1 * width, 2), round(y1 * height, 2)
    right, bottom = round(min(x2, 1) * width, 2), round(min(y2, 1) * height, 2)
    if right - left < 2 or bottom - top < 2:
        return None
    return FoundBox(left, top, right, bottom, category, confidence, species)


def spoken_of(boxes: QuerySet[Detection]) -> QuerySet[Detection]:
    """Of these the boxes on which a person's word hangs, which no import takes away."""
    edges = MatchEdge.objects.filter(Q(a=OuterRef("pk")) | Q(b=OuterRef("pk")))
    named = AuditEntry.objects.filter(
        action="detection.annotate", object_type="detection", object_id=OuterRef("pk"), after__has_key="species"
    )
    said = (
        Q(source=DetectionSource.DRAWN)
        | Q(individual__isnull=False)
        | Q(flank_by_person=True)
        | Q(triage_by_person=True)
        | Q(usable=False)
        | Q(Exists(edges))
        | (~Q(species="") & Q(Exists(named)))
    )
    return boxes.filter(said)


def species_apply(*, images: Collection[int]) -> int:
    """Give animals the species that an import says of their photo; returns how many boxes changed.

    Only where nothing is said yet: not by a person, not by a box's own classification. The names decide about the
    population's species when the survey's triage is brought up to date (`triage_names_apply`).
    """
    changed = 0
    said = {
        pk: imported["species"]
        for pk, imported in Image.objects.filter(pk__in=images).values_list("pk", "imported")
        if imported.get("species")
    }
    for name in set(said.values()):
        own = [pk for pk, species in said.items() if species == name]
        changed += nameless(own).update(species=name)
    return changed


def nameless(images: Collection[int]) -> QuerySet[Detection]:
    """The animals of these photos of which nobody has said a species."""
    return Detection.objects.filter(
        image__in=images, category=Category.ANIMAL, species="", triage_by_person=False
    ).exclude(triage=Triage.OTHER)


def names_decide(*, image: Image) -> None:
    """Put boxes that have just been made aside where their name is another species than the population's."""
    wanted = image.survey.population.species
    if not wanted:
        return
    own = image.detections.filter(
        category=Category.ANIMAL, triage=Triage.UNDECIDED, triage_by_person=False, individual__isnull=True
    )
    named = own.exclude(species="").values_list("pk", "species")
    other = [pk for pk, species in named if species_named(species, wanted) == Named.OTHER]
    matched = in_confirmed_matches(other) if other else set()
    Detection.objects.filter(pk__in=[pk for pk in other if pk not in matched]).update(triage=Triage.OTHER)
