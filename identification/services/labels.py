"""A sorted archive becomes confirmed matches of their own provenance; why so: docs/decisions/0013-imported-labels.md.

One animal at a time, and of one with many photos some at a time, each in a transaction of its own: who reviews waits
for no more than that, a run that was killed is gone on with, and a second one adds only what is new. What people have
decided stands: what collides with it is told and left alone.
"""

from __future__ import annotations

import codecs
from collections import defaultdict
from collections.abc import Callable, Mapping
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
from .individuals import individual_rename, individual_undeclare, population_lock
from .label_animals import Animal, Groups, LabelReport, Members, Naming
from .label_graph import IMPORTED, UNDONE, imports_correct, imports_loosened, imports_rejoined, imports_remembered
from .matching import UNFINISHED

Progress = Callable[[int, int, str], None]
_SHOWN = 20


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
    return labels_apply(
        survey=survey, labels=labels, acting_user=acting_user, join_flanks=join_flanks, report=report, progress=progress
    )


def labels_apply(
    *,
    survey: Survey,
    labels: dict[str, set[Label]],
    acting_user: User | None,
    join_flanks: bool = False,
    report: LabelReport | None = None,
    progress: Progress | None = None,
) -> LabelReport:
    """The same of labels that somebody has read already, by the photos' paths below the ingested root."""
    _require(acting_user, survey)
    report = report or LabelReport()
    paths = dict(survey.images.values_list("relative_path", "pk"))
    labels = {path: said for path, said in labels.items() if path in paths}
    if not labels:
        raise SpotIDError(" ".join(["No photo of this survey has a label in that truth.", *report.told]))
    apart = names_of_both_sides(labels)
    if apart and not join_flanks:
        report.told.append(
            f"{len(apart)} names stand for a left and for a right side ({', '.join(apart[:5])}). They are kept apart: "
            "nothing says that both sides are one animal's; --join-flanks says it."
        )
    groups = _groups(survey, labels, paths, join_flanks, report)
    labels_join(
        survey=survey, groups=groups, acting_user=acting_user, report=report, join_flanks=join_flanks, progress=progress
    )
    return report


def labels_join(
    *,
    survey: Survey,
    groups: Groups,
    acting_user: User | None,
    report: LabelReport,
    join_flanks: bool = False,
    progress: Progress | None = None,
    naming: Naming | None = None,
    source: str = "",
) -> None:
    """The same of boxes that are known to show an animal each. naming: what to call the animals, instead of what they
    are called in the labels. source: of which catalogue these are (`label_graph.note_of`)."""
    _require(acting_user, survey)
    naming = naming or Naming()
    known, loosened = _correct(survey, groups, join_flanks, acting_user, report, source)
    order = sorted(groups.items(), key=lambda item: (naming.rank(title(item[0])), item[0]))
    for done, (identity, members) in enumerate(order, 1):
        Animal(survey, identity, known, acting_user, report, naming, source).join(members)
        if progress is not None:
            progress(done, len(groups), identity[0])
    if loosened:
        imports_rejoined(survey=survey, acting_user=acting_user, source=source)


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


def _correct(
    survey: Survey, groups: Groups, join_flanks: bool, acting_user: User | None, report: LabelReport, source: str
) -> tuple[dict[int, Identity], bool]:
    """Which animal each photo shows, by this truth and else by what an import said of it before.

    Imported matches that this contradicts are taken back; who lost one is put into its group, to be joined anew, also
    where a run was killed before it could do so. Returns also whether anybody lost one.
    """
    here = {pk for members in groups.values() for pk, _ in members}
    standing = imports_remembered(survey, source)
    before = imports_loosened(survey, source) | standing
    lost = before.keys() - standing.keys()
    known = {pk: label.identity for pk, label in before.items()}
    known.update({pk: identity for identity, members in groups.items() for pk, _ in members})
    same = {title(identity): identity for identity in groups}
    lost.update(imports_correct(survey=survey, known=known, acting_user=acting_user, told=report.told, source=source))
    for pk in sorted(lost):
        if pk not in here and not before[pk].says_nothing:
            label = before[pk].joined() if join_flanks else before[pk]
            groups[same.get(title(label.identity), label.identity)].append((pk, label))
    return known, bool(lost)


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
    report.animals = len({str(entry.after["label"]) for entry in entries})
    return report


def _undo_animal(survey: Survey, entry: AuditEntry, acting_user: User | None, report: LabelReport) -> None:
    population_lock(survey.population_id)
    said = entry.after
    # A name would keep an individual that has no match left.
    named = Individual.objects.filter(pk=said["named"], name=said.get("name") or said["label"]).first()
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
