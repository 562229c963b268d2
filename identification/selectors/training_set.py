"""What people have confirmed, as a network can learn from it: photos of individuals, per flank."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property

from ..models import Detection, Flank, Population
from ..presenting import photos_words
from .graph import population_graph

# Fewer cannot be parted into individuals to learn from, to choose by and to measure on.
NEEDED_INDIVIDUALS = 8
NEEDED_IMAGES = 24
# Below this the figures of a comparison say little.
_FEW_INDIVIDUALS = 30


@dataclass(frozen=True)
class TrainingRow:
    """One crop of an individual. crop, edges and mask are names below the media folder; event: None if unknown."""

    detection: int
    individual: int
    flank: str
    event: int | None
    crop: str
    edges: str
    mask: str

    @property
    def identity(self) -> str:
        """The flank identity: the two coats of an animal are two things to learn, and so is an unknown side."""
        return f"{self.individual}-{self.flank}"


@dataclass(frozen=True)
class TrainingSet:
    """The photos in order of their detections. contradictory: individuals left out until a curator has solved them."""

    rows: tuple[TrainingRow, ...]
    contradictory: int
    unusable: int

    @cached_property
    def individuals(self) -> int:
        return len({row.individual for row in self.rows})

    @cached_property
    def repeated(self) -> int:
        """Individuals of which one flank is seen on at least two photos: only those teach what stays the same."""
        seen = Counter(row.identity for row in self.rows)
        return len({row.individual for row in self.rows if seen[row.identity] > 1})

    @cached_property
    def flanks(self) -> dict[str, int]:
        """Photos per flank; every flank is named."""
        counts = Counter(row.flank for row in self.rows)
        return {flank: counts[flank] for flank in Flank.values}

    def refusals(self) -> list[str]:
        """Why this cannot be trained on, in sentences; empty when it can."""
        said = []
        if self.repeated < NEEDED_INDIVIDUALS:
            said.append(
                f"{NEEDED_INDIVIDUALS} individuals with at least two photos of one flank are needed; there are "
                f"{self.repeated} (of {self.individuals} confirmed ones). Confirm more matches, or import labels."
            )
        if len(self.rows) < NEEDED_IMAGES:
            said.append(
                f"{NEEDED_IMAGES} usable photos of confirmed individuals are needed; there are {len(self.rows)}."
            )
        return said

    def warnings(self) -> list[str]:
        """What makes the result doubtful, in sentences for those who start a training."""
        said = [*self._about_flanks()]
        if 0 < self.repeated < _FEW_INDIVIDUALS:
            said.append(
                f"Only {self.repeated} individuals can be learned from or measured on: the figures of the comparison "
                "will be uncertain. Their intervals say how much."
            )
        without = sum(row.event is None for row in self.rows)
        if without:
            said.append(
                f"{_photos(without)} belong to no event, because station or time is unknown. Near-duplicates among "
                "them cannot be kept apart and make figures look better than they are."
            )
        if self.contradictory:
            said.append(f"{self.contradictory} individuals are left out because their decisions contradict each other.")
        return said

    def _about_flanks(self) -> list[str]:
        said = []
        unknown = self.flanks[Flank.UNKNOWN]
        if unknown:
            said.append(
                f"The flank of {_photos(unknown)} of {len(self.rows)} is unknown. They are learned as a side of their "
                "own, in which left and right coats of an animal may be mixed. Annotate flanks to do better."
            )
        sides: dict[int, set[str]] = defaultdict(set)
        for row in self.rows:
            if row.flank != Flank.UNKNOWN:
                sides[row.individual].add(row.flank)
        one_sided = sum(len(seen) == 1 for seen in sides.values())
        for flank, other in ((Flank.LEFT, Flank.RIGHT), (Flank.RIGHT, Flank.LEFT)):
            if self.flanks[flank] and not self.flanks[other] and not unknown:
                said.append(f"Every photo shows the {flank} flank: the other side will not have been learned.")
                return said
        if sides and one_sided > len(sides) / 2:
            said.append(
                f"{one_sided} of {len(sides)} individuals are known from one side only. The side an animal shows "
                "can then be taken for its identity; the report measures it."
            )
        return said


def training_set(population: Population) -> TrainingSet:
    """The usable crops of the population's individuals, those with a contradiction left out."""
    graph = population_graph(population)
    assigned = list(
        Detection.objects.filter(
            image__survey__population=population, individual__isnull=False, individual__retired=False
        )
        .order_by("pk")
        .values_list("pk", "individual_id", "flank", "image__event_id", "crop", "edges", "mask", "image_id")
    )
    animals: dict[int, set[int]] = defaultdict(set)
    on_photo: Counter[tuple[int, int]] = Counter()
    for pk, individual, *_, image in assigned:
        animals[graph.root(pk)].add(individual)
        on_photo[graph.root(pk), image] += 1
    # A component is doubtful when a person refused a pair of it, when two of its boxes lie on one photo, or when it
    # could not be given to one individual because of that.
    doubtful = {graph.root(a) for a, _ in graph.contradictions()}
    doubtful |= {root for (root, _), boxes in on_photo.items() if boxes > 1}
    doubtful |= {root for root, named in animals.items() if len(named) > 1}
    left_out = {individual for root in doubtful for individual in animals[root]}
    comparable = set(
        Detection.objects.comparable().filter(image__survey__population=population).values_list("pk", flat=True)
    )
    rows, unusable = [], 0
    for pk, individual, flank, event, crop, edges, mask, _ in assigned:
        if individual in left_out:
            continue
        if pk not in comparable or not crop:
            unusable += 1
            continue
        rows.append(TrainingRow(pk, individual, flank, event, crop, edges, mask))
    return TrainingSet(tuple(rows), len(left_out), unusable)


def _photos(number: int) -> str:
    return photos_words(number)
