"""What the desktop SpotID left: its matches as confirmed ones, where its review stood, and embeddings of a known model.

Each of its matches is kept as it was made, so that one that was wrong can be taken back by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import SpotIDError
from ..imports.reading import Reading, UnusableFile
from ..imports.spotid import Desk
from ..imports.spotid_vectors import vectors_of
from ..models import (
    Decision,
    Detection,
    Embedding,
    EmbeddingModel,
    Flank,
    MatchEdge,
    Provenance,
    ReviewPosition,
    Verdict,
)
from ..selectors.graph import component_of
from .audit import audit_record
from .decisions import decision_record
from .imports_boxes import Boxes, boxes_each
from .imports_photos import crops_settle, photos_take
from .imports_write import Placed, photos_write
from .imports_writing import Writing
from .label_graph import IMPORTED, animals_apart, pairs_taken_back

NOTE = "desktop SpotID"
_STEP = 20
# Vectors of one photo by one model, as two preparations of it make them: below this they are another model's.
_SAME_MODEL = 0.8
NO_PHOTO = "The match is left out: one of its photos is not here, or cannot be used yet."
OTHERWISE = "A person decided otherwise on this pair; that stands."
FLANKS = "A person said that the two photos show different flanks; no coat tells that they are one animal."
NAMED = "The photos are of two animals that have names here; a curator can join them."
NO_MODEL = "The embeddings are left out: say which registered model made them. Photos are encoded anew."
UNKNOWN_MODEL = "The embeddings are left out: no model of this name is registered. Photos are encoded anew."
OTHER_SIZE = "The embeddings are left out: the model's vectors have another length. Photos are encoded anew."
OTHER_MODEL = "The embeddings are left out: they are not what this model makes of the same photos."


def write(writing: Writing, reading: Reading) -> None:
    desk = reading.extra
    assert isinstance(desk, Desk)
    writing.notes.extend(reading.notes)
    writing.rows_of = reading.rows_of
    for issue in reading.issues:
        writing.issue(issue)
    with writing.whole():
        crops_settle(writing)
        reading = photos_take(writing, reading)
        placed = photos_write(writing, reading, keep=lambda record: True)
        wanted = {row for pair in desk.matches for row in pair} | set(range(1, desk.reviewed + 2))
        some = [photo for photo in placed if desk.vectors is not None or photo.record.row in wanted]
        rows: dict[int, int] = {}

        def take(boxes: Boxes, photo: Placed) -> None:
            row = boxes.of_photo(photo.pk, photo.record)
            if row is not None:
                rows[photo.record.row] = row.pk

        boxes_each(writing, some, take)
        matches_write(writing, desk, rows)
        position_write(writing, desk, rows)
        vectors_write(writing, desk, rows)


def matches_write(writing: Writing, desk: Desk, rows: Mapping[int, int]) -> None:
    """rows: detections by the row of their crop."""
    taken_back = pairs_taken_back(list(rows.values()))
    for start in range(0, len(desk.matches), _STEP):
        with writing.step():
            some = desk.matches[start : start + _STEP]
            made = [_match(writing, desk, pair, rows, taken_back) for pair in some]
            _record(writing, [decision.pk for decision in made if decision is not None])
        writing.progress(min(start + _STEP, len(desk.matches)), len(desk.matches))


def _record(writing: Writing, decisions: list[int]) -> None:
    """So that `labels.labels_undo` takes them back with all that was imported."""
    if decisions:
        audit_record(
            acting_user=writing.acting_user,
            action=IMPORTED,
            target=writing.survey,
            survey=writing.survey,
            before={"flanks": {}},
            after={"label": NOTE, "decisions": decisions, "declared": None, "named": None, "name": ""},
        )


def _match(
    writing: Writing, desk: Desk, pair: tuple[int, int], rows: Mapping[int, int], taken_back: set[frozenset[int]]
) -> Decision | None:
    names = " = ".join(desk.names[row - 1][-200:] for row in pair)

    def tell(code: str, words: str) -> None:
        writing.problem(code, words, row=pair[0], detail=names)

    if pair[0] not in rows or pair[1] not in rows:
        tell("match_without_photo", NO_PHOTO)
        return None
    a, b = sorted((rows[pair[0]], rows[pair[1]]))
    if a == b:
        # Two crops of one photo are two animals, or one that was cut out twice.
        tell("match_without_photo", NO_PHOTO)
        return None
    edge = MatchEdge.objects.filter(a=a, b=b).first()
    if edge is not None and edge.verdict == Verdict.MATCH:
        writing.count("matches_same")
        return None
    if (edge is not None and edge.verdict) or frozenset((a, b)) in taken_back:
        tell("decided_otherwise", OTHERWISE)
        return None
    ends = Detection.objects.select_related("image__survey").in_bulk([a, b])
    said = {row.flank for row in ends.values() if row.flank_by_person}
    if said == {Flank.LEFT, Flank.RIGHT}:
        tell("flanks_differ", FLANKS)
        return None
    animals = animals_apart(component_of([a]), component_of([b]))
    if animals is not None and animals[0].name and animals[1].name:
        tell("named_apart", NAMED)
        return None
    try:
        decision = decision_record(
            acting_user=writing.acting_user,
            first=ends[a],
            second=ends[b],
            verdict=Verdict.MATCH,
            provenance=Provenance.IMPORTED,
            note=NOTE,
        )
    except SpotIDError as refused:
        tell("contradiction", str(refused))
        return None
    writing.count("matches_new")
    return decision


def position_write(writing: Writing, desk: Desk, rows: Mapping[int, int]) -> None:
    """Let the account's review by photo go on behind the last anchor; one that was begun here stays where it is."""
    user, survey = writing.acting_user, writing.survey
    if user is None or not desk.reviewed:
        return
    if ReviewPosition.objects.filter(user=user, survey=survey).exists():
        return
    passed = [rows[row] for row in range(1, desk.reviewed + 1) if row in rows]
    following = next((rows[row] for row in range(desk.reviewed + 1, len(desk.names) + 1) if row in rows), None)
    with writing.step():
        position = ReviewPosition.objects.create(
            user=user, survey=survey, mode=ReviewPosition.Mode.PHOTO, anchor_id=following
        )
        position.passed.set(passed)
        writing.count("photos_reviewed", len(passed))


def vectors_write(writing: Writing, desk: Desk, rows: Mapping[int, int]) -> None:
    """Take embeddings over where the model that made them is known; else photos are encoded here."""
    if desk.vectors is None:
        return
    name = writing.options.values.get("model", "").strip()
    model = EmbeddingModel.objects.filter(name=name).first() if name else None
    if model is None:
        writing.problem("embeddings_left_out", UNKNOWN_MODEL if name else NO_MODEL, detail=name)
        return
    try:
        vectors = vectors_of(desk.vectors, len(desk.names))
    except UnusableFile as refused:
        writing.problem(refused.code, refused.words, detail=desk.vectors.name)
        return
    if vectors.shape[1] != model.dimension:
        writing.problem("embeddings_left_out", OTHER_SIZE, detail=f"{vectors.shape[1]}, {model.dimension}")
        return
    wanted = {pk: vectors[row - 1] for row, pk in rows.items()}
    usable = {pk: vector for pk, vector in wanted.items() if vector[0] == vector[0]}
    there = {row.detection_id: row.vector for row in Embedding.objects.filter(model=model, detection__in=list(usable))}
    if there and _alike(usable, there) < _SAME_MODEL:
        writing.problem("embeddings_left_out", OTHER_MODEL, detail=name)
        return
    fresh = [
        Embedding(detection_id=pk, model=model, vector=[float(value) for value in vector])
        for pk, vector in usable.items()
        if pk not in there
    ]
    with writing.step():
        # A dry run has no copy of them, and need not write them to count them.
        if not writing.dry_run:
            Embedding.objects.bulk_create(fresh, batch_size=500, ignore_conflicts=True)
        writing.count("embeddings_new", len(fresh))
    writing.count("embeddings_same", len(there))


def _alike(ours: Mapping[int, Any], theirs: Mapping[int, Any]) -> float:
    """The median cosine of vectors that both have."""
    cosines = sorted(
        sum(float(a) * float(b) for a, b in zip(ours[pk], vector, strict=True)) for pk, vector in theirs.items()
    )
    return cosines[len(cosines) // 2]
