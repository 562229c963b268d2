"""A sorted archive becomes confirmed matches of their own provenance; why so: docs/decisions/0013-imported-labels.md.

One animal at a time, each in a transaction of its own: a run that was killed is gone on with, and a second one adds
only what is new. What people have decided stands: what collides with it is told and left alone.
"""

from __future__ import annotations

import codecs
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from django.db import transaction

from .. import permissions
from ..errors import SpotIDError
from ..matching.labels import (
    Identity,
    Label,
    labels_of_folders,
    labels_of_table,
    names_of_both_sides,
    nested_folders,
    parse_label,
    title,
)
from ..models import (
    AuditEntry,
    Decision,
    Detection,
    Individual,
    Survey,
    User,
    Work,
)
from ..permissions import Action
from .annotation import detection_annotate
from .audit import audit_record
from .decisions import decision_undo
from .individuals import individual_declare, individual_rename, individual_undeclare, population_lock
from .label_graph import IMPORTED, UNDONE, imports_correct, imports_remembered, labelled_join
from .matching import UNFINISHED

Progress = Callable[[int, int, str], None]
_SHOWN = 20


@dataclass
class LabelReport:
    """What came of an import. told: sentences about what was left alone and why."""

    photos: int = 0
    animals: int = 0
    matches: int = 0
    declared: int = 0
    named: int = 0
    flanks: int = 0
    told: list[str] = field(default_factory=list)


def labels_import(
    *,
    survey: Survey,
    truth: str,
    acting_user: User | None,
    join_flanks: bool = False,
    progress: Progress | None = None,
) -> LabelReport:
    """Make matches of what folders or a table say of a survey's photos, name the animals, set their flanks.

    `truth`: "folders" or the path of a table. `join_flanks`: `Asha_left` and `Asha_right` are one animal. Raises
    SpotIDError when nothing is labelled, or the account may not curate the survey.
    """
    _require(acting_user, survey)
    report = LabelReport()
    paths = dict(survey.images.values_list("relative_path", "pk"))
    labels = _folders(paths, report) if truth == "folders" else labels_of_table(_read(Path(truth)), paths)
    if not labels:
        raise SpotIDError(" ".join(["No photo of this survey has a label in that truth.", *report.told]))
    apart = names_of_both_sides(labels)
    if apart and not join_flanks:
        report.told.append(
            f"{len(apart)} names stand for a left and for a right side ({', '.join(apart[:5])}). They are kept apart: "
            "nothing says that both sides are one animal's; --join-flanks says it."
        )
    groups = _groups(survey, labels, paths, join_flanks, report)
    known = _correct(survey, groups, join_flanks, acting_user, report)
    for done, (identity, members) in enumerate(sorted(groups.items()), 1):
        with transaction.atomic():
            _import_animal(survey, identity, members, known, acting_user, report)
        if progress is not None:
            progress(done, len(groups), identity[0])
    return report


def _require(acting_user: User | None, survey: Survey) -> None:
    if acting_user is not None and not permissions.may(acting_user, Action.CURATE, survey):
        raise SpotIDError(f"{acting_user} is no curator of {survey}.")


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
        return data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SpotIDError(f"{path} cannot be read as a table: {error}") from None


def _folders(paths: Mapping[str, int], report: LabelReport) -> dict[str, set[Label]]:
    """Labels of folders. What lies deeper is told, and what cannot be one animal's folder is left out."""
    nested = nested_folders(paths)
    several = [folder for folder in nested if folder.holds_several]
    for folder in several[:_SHOWN]:
        report.told.append(
            f"{folder.top}/ is left out: all its {folder.deep} photos lie in subfolders of several names "
            f"({folder.example}), so it is not taken for one animal. Ingest the folder that holds one folder per "
            "animal, or give a table."
        )
    if len(several) > _SHOWN:
        report.told.append(f"{len(several) - _SHOWN} more folders are left out for the same reason.")
    plain = [folder for folder in nested if not folder.holds_several and not parse_label(folder.top).says_nothing]
    if plain:
        shown = ", ".join(f"{folder.top}/: {folder.example}" for folder in plain[:5])
        report.told.append(
            f"{len(plain)} folders hold subfolders ({shown}). The folder at the top is taken for the animal."
        )
    left_out = {folder.top for folder in several}
    return {path: said for path, said in labels_of_folders(paths).items() if path.split("/", 1)[0] not in left_out}


Members = list[tuple[int, Label]]


def _correct(
    survey: Survey, groups: dict[Identity, Members], join_flanks: bool, acting_user: User | None, report: LabelReport
) -> dict[int, Identity]:
    """Which animal each photo shows, by this truth and else by what an import said of it before.

    Imported matches that this contradicts are taken back; who lost one is put into its group, to be joined anew.
    """
    here = {pk for members in groups.values() for pk, _ in members}
    before = imports_remembered(survey)
    known = {pk: label.identity for pk, label in before.items()}
    known.update({pk: identity for identity, members in groups.items() for pk, _ in members})
    same = {title(identity): identity for identity in groups}
    for pk in imports_correct(survey=survey, known=known, acting_user=acting_user, told=report.told):
        if pk not in here and not before[pk].says_nothing:
            label = before[pk].joined() if join_flanks else before[pk]
            groups[same.get(title(label.identity), label.identity)].append((pk, label))
    return known


def _groups(
    survey: Survey, labels: dict[str, set[Label]], paths: dict[str, int], join_flanks: bool, report: LabelReport
) -> dict[Identity, Members]:
    """Detections with their labels by animal. What cannot be used is told."""
    boxes: dict[int, list[int]] = defaultdict(list)
    usable = Detection.objects.comparable().filter(image__survey=survey)
    for pk, image in usable.order_by("pk").values_list("pk", "image_id"):
        boxes[image].append(pk)
    waiting = set(Work.objects.filter(image__survey=survey, state__in=UNFINISHED).values_list("pk", flat=True))
    groups: dict[Identity, Members] = defaultdict(list)
    unnamed: list[str] = []
    late = 0
    for path, said in sorted(labels.items()):
        image = paths[path]
        if any(label.says_nothing for label in said):
            unnamed.append(title(min(said).identity))
        elif len(said) > 1:
            names = ", ".join(sorted({label.name for label in said}))
            report.told.append(f"{path}: the truth names several animals ({names}), and nothing says which is which.")
        elif image in waiting:
            late += 1
        elif len(boxes[image]) != 1:
            what = "several animals are found on it" if boxes[image] else "no usable animal is found on it"
            report.told.append(f"{path}: {what}.")
        else:
            label = next(iter(said)).joined() if join_flanks else next(iter(said))
            groups[label.identity].append((boxes[image][0], label))
            report.photos += 1
    if unnamed:
        names = ", ".join(sorted(set(unnamed))[:5])
        report.told.append(
            f"{len(unnamed)} photos are labelled unknown or the like, or by a side alone ({names}), which is no "
            "animal; left out."
        )
    if late:
        report.told.append(f"{late} labelled photos are not processed yet; import again when they are.")
    return groups


def _import_animal(
    survey: Survey,
    identity: Identity,
    members: Members,
    known: Mapping[int, Identity],
    acting_user: User | None,
    report: LabelReport,
) -> None:
    population_lock(survey.population_id)
    name = title(identity)
    rows = Detection.objects.in_bulk([pk for pk, _ in members])
    flanks, kept = _set_flanks(rows, members, acting_user, report)
    fresh = Detection.objects.select_related("image__survey").filter(pk__in=kept).order_by("pk")
    decisions, joined = labelled_join(list(fresh), name, known, acting_user, report.told)
    declared = named = False
    individual = None
    if joined:
        first = joined[0]
        first.refresh_from_db()
        if first.individual is None and len(kept) == 1:
            individual_declare(acting_user=acting_user, detection=first)
            first.refresh_from_db()
            declared = True
        individual = first.individual
        named = individual is not None and _name(individual, name, acting_user, report)
    report.animals += 1
    report.matches += len(decisions)
    report.declared += declared
    report.named += named
    report.flanks += len(flanks)
    if decisions or declared or named or flanks:
        audit_record(
            acting_user=acting_user,
            action=IMPORTED,
            target=individual or survey,
            survey=survey,
            before={"flanks": {str(pk): flank for pk, flank in flanks.items()}},
            after={
                "label": name,
                "decisions": [decision.pk for decision in decisions],
                "declared": individual.pk if individual and declared else None,
                "named": individual.pk if individual and named else None,
            },
        )


def _set_flanks(
    rows: dict[int, Detection], members: Members, acting_user: User | None, report: LabelReport
) -> tuple[dict[int, str], list[int]]:
    """Former flanks of those that were set, and the detections that go on. A person's other word stands."""
    former, kept = {}, []
    for pk, label in members:
        row = rows[pk]
        if label.flank and row.flank_by_person and row.flank != label.flank:
            report.told.append(
                f"{row.image.relative_path}: the truth says {label.flank} flank and a person {row.flank}; left alone."
            )
            continue
        kept.append(pk)
        if label.flank and not row.flank_by_person:
            former[pk] = row.flank
            detection_annotate(acting_user=acting_user, detections=[row], flank=label.flank)
    return former, kept


def _name(individual: Individual, name: str, acting_user: User | None, report: LabelReport) -> bool:
    if individual.name == name:
        return False
    if individual.name:
        report.told.append(f"{individual.code} is called {individual.name} already and keeps that name; here {name}.")
        return False
    individual_rename(acting_user=acting_user, individual=individual, name=name)
    return True


def labels_undo(*, survey: Survey, acting_user: User | None, progress: Progress | None = None) -> LabelReport:
    """Take everything back that imports made in the survey: matches, names, declarations, flanks.

    What people have said since stands. Raises SpotIDError when there is no import to take back.
    """
    _require(acting_user, survey)
    undone = {after["import"] for after in AuditEntry.objects.filter(action=UNDONE).values_list("after", flat=True)}
    entries = [
        entry
        for entry in AuditEntry.objects.filter(action=IMPORTED, survey=survey).order_by("-id")
        if entry.pk not in undone
    ]
    if not entries:
        raise SpotIDError(f"Nothing that was imported into {survey} is left to be taken back.")
    report = LabelReport()
    for done, entry in enumerate(entries, 1):
        with transaction.atomic():
            _undo_animal(survey, entry, acting_user, report)
        if progress is not None:
            progress(done, len(entries), str(entry.after["label"]))
    return report


def _undo_animal(survey: Survey, entry: AuditEntry, acting_user: User | None, report: LabelReport) -> None:
    population_lock(survey.population_id)
    said = entry.after
    # A name would keep an individual that has no match left.
    named = Individual.objects.filter(pk=said["named"], name=said["label"]).first()
    if named is not None:
        individual_rename(acting_user=acting_user, individual=named, name="")
        report.named += 1
    standing = Decision.objects.filter(pk__in=said["decisions"], undone_by__isnull=True).order_by("-id")
    taken = []
    for decision in standing.select_related("edge__a__image__survey"):
        decision_undo(acting_user=acting_user, decision=decision, any_user=True)
        taken.append(decision.pk)
    declared = Individual.objects.filter(pk=said["declared"], declared=True).first()
    if declared is not None:
        individual_undeclare(acting_user=acting_user, individual=declared)
        report.declared += 1
    for pk, flank in entry.before["flanks"].items():
        row = Detection.objects.filter(pk=pk).first()
        if row is not None and not _annotated_since(row, entry):
            detection_annotate(acting_user=acting_user, detections=[row], flank=flank, flank_said=False)
            report.flanks += 1
    report.animals += 1
    report.matches += len(taken)
    audit_record(
        acting_user=acting_user,
        action=UNDONE,
        target=survey,
        survey=survey,
        after={"import": entry.pk, "label": said["label"], "decisions": taken},
    )


def _annotated_since(row: Detection, entry: AuditEntry) -> bool:
    said = AuditEntry.objects.filter(
        action="detection.annotate", object_type="detection", object_id=row.pk, pk__gt=entry.pk, after__has_key="flank"
    )
    return said.exists()
