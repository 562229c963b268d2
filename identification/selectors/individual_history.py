"""What was done to one animal, in words: its own log, and what was said of the pairs within it and at its edges."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from django.db.models import IntegerField, Q, QuerySet, Value
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from ..models import AuditEntry, Decision, Detection, Individual, Survey, Verdict

_ENTRY, _DECISION = 0, 1


@dataclass(frozen=True)
class HistoryLine:
    """One thing that somebody did, or several in one step. decision: the id of one that can be taken back."""

    when: datetime
    who: str
    what: str
    decision: int | None = None


_ACTIONS = {
    "individual.declare": _("declared this animal"),
    "individual.undeclare": _("took the declaration back"),
    "individual.note": _("changed the notes"),
    "individual.succeed": _("let it take over from an animal that lost its photos"),
}
# By the note of its decisions: that a step was taken, and that it was taken back.
_STEPS = {
    "merge": (
        _("merged it with another (%(decisions)s)"),
        _("took back that somebody merged it with another (%(decisions)s)"),
    ),
    "merge proposed": (
        _("proposed to merge it with another (%(decisions)s)"),
        _("took back that somebody proposed to merge it with another (%(decisions)s)"),
    ),
    "split": (_("split it (%(decisions)s)"), _("took back that somebody split it (%(decisions)s)")),
    "conflict settled": (
        _("settled a conflict (%(decisions)s)"),
        _("took back that somebody settled a conflict (%(decisions)s)"),
    ),
}
_SAID = (_("said “%(verdict)s” (%(decisions)s)"), _("took back that somebody said “%(verdict)s” (%(decisions)s)"))
# Values and names of what is said of an animal, as they are stored.
_STORED = {
    "female": _("female"),
    "male": _("male"),
    "juvenile": _("juvenile"),
    "subadult": _("subadult"),
    "adult": _("adult"),
    "sex": _("sex"),
    "age_class": _("age class"),
}


def history_of(
    *, individual: Individual, readable: QuerySet[Detection], surveys: QuerySet[Survey]
) -> QuerySet[Any, tuple[datetime, int, int]]:
    """What was done to it, the last first, as (when, kind, id): for `history_lines`. Cut it to a page before reading.

    readable: its photos whose candidates the account sees; surveys: those in which it does.
    """
    names = "created_at", "kind", "pk"
    entries = AuditEntry.objects.filter(object_type="individual", object_id=individual.pk).order_by()
    said = _decisions(readable, surveys).order_by()
    done = [
        rows.annotate(kind=Value(kind, IntegerField())).values_list(*names)
        for rows, kind in ((entries, _ENTRY), (said, _DECISION))
    ]
    return done[0].union(done[1], all=True).order_by("-created_at", "kind", "-pk")


def history_lines(rows: Iterable[tuple[datetime, int, int]]) -> list[HistoryLine]:
    """The same in words. What was said in one step is one line, where it is on one page."""
    rows = list(rows)
    entries = AuditEntry.objects.select_related("acting_user").in_bulk([pk for _, kind, pk in rows if kind == _ENTRY])
    related = *(f"edge__{end}__image__{what}" for end in "ab" for what in ("station", "survey")), "undoes", "undone_by"
    decisions = Decision.objects.select_related("acting_user", *related)
    said = decisions.in_bulk([pk for _, kind, pk in rows if kind == _DECISION])
    done: list[AuditEntry | Decision] = [entries[pk] if kind == _ENTRY else said[pk] for _, kind, pk in rows]
    lines = []
    for _key, step in groupby(done, key=_step):
        together = list(step)
        first = together[0]
        words = _said(first) if isinstance(first, AuditEntry) else _decided(together)  # type: ignore[arg-type]
        who = first.acting_user.get_username() if first.acting_user else "SpotID"
        standing = [row.pk for row in together if isinstance(row, Decision) and _stands(row)]
        lines.append(HistoryLine(first.created_at, who, words, next(iter(standing), None)))
    return lines


def _said(entry: AuditEntry) -> str:
    if entry.action == "individual.rename":
        was_and_is = {"before": entry.before, "after": entry.after}
        names = {when: said.get("name") or gettext("no name") for when, said in was_and_is.items()}
        return gettext("renamed it from “%(before)s” to “%(after)s”") % names
    if entry.action == "individual.describe":
        words = [
            gettext("%(name)s from “%(before)s” to “%(after)s”")
            % {
                "name": _STORED.get(name) or name.replace("_", " "),
                "before": _STORED.get(entry.before.get(name)) or entry.before.get(name) or gettext("not known"),
                "after": _STORED.get(value) or value or gettext("not known"),
            }
            for name, value in entry.after.items()
        ]
        return gettext("changed %(changes)s") % {"changes": gettext(" and ").join(words)}
    said = _ACTIONS.get(entry.action)
    return str(said) if said else entry.action.rpartition(".")[2].replace("_", " ")


def _decisions(readable: QuerySet[Detection], surveys: QuerySet[Survey]) -> QuerySet[Decision]:
    """What was said of pairs within the animal, and what joined it with others or parted it from them."""
    own, there = readable.order_by().values("pk"), surveys.order_by().values("pk")
    inside = Q(edge__a__in=own, edge__b__in=own)
    touching = Q(edge__a__in=own, edge__b__image__survey__in=there)
    touching |= Q(edge__b__in=own, edge__a__image__survey__in=there)
    parting = Q(verdict=Verdict.MATCH) | Q(undoes__verdict=Verdict.MATCH)
    parting |= Q(note__in=_STEPS) | Q(undoes__note__in=_STEPS)
    return Decision.objects.filter(inside | (touching & parting))


def _stands(decision: Decision) -> bool:
    return decision.undoes_id is None and not hasattr(decision, "undone_by")


def _step(row: AuditEntry | Decision) -> Any:
    if isinstance(row, AuditEntry):
        return ("audit", row.pk)
    batch = row.undoes.batch if row.undoes is not None else row.batch
    return ("batch", batch, row.undoes_id is None) if batch else ("decision", row.pk)


def _decided(rows: list[Decision]) -> str:
    first = rows[0]
    said = first.undoes or first
    step = _STEPS.get(said.note)
    if len(rows) > 1 or step:
        number = ngettext("%(n)s decision", "%(n)s decisions", len(rows)) % {"n": len(rows)}
        words = (step or _SAID)[0 if first.undoes is None else 1]
        return words % {"decisions": number, "verdict": said.get_verdict_display()}
    pair = {"verdict": said.get_verdict_display(), "one": _where(first.edge.a), "other": _where(first.edge.b)}
    if first.undoes is not None:
        return gettext("took back “%(verdict)s” on %(one)s and %(other)s") % pair
    return gettext("said “%(verdict)s” of %(one)s and %(other)s") % pair


def _where(detection: Detection) -> str:
    """Station and file name: cameras number their files alike."""
    image = detection.image
    return " ".join(filter(None, [image.station_label, image.camera, image.name]))
