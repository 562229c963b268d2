"""One training from confirmed individuals to a candidate model. Loads engines: imported by tasks and commands only."""

from __future__ import annotations

import errno
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, transaction
from django.utils import timezone
from django.utils.text import slugify

from .. import permissions
from ..errors import SpotIDError
from ..inference import training as learning
from ..inference.training_calibration import evaluation_of, judge_similarity
from ..inference.training_report import Measured, measure
from ..models import Detection, TrainingRun, User
from ..selectors.training import TRAINING_SHARE, compared_runs, latest_run
from ..selectors.training_set import TrainingRow, training_set
from .coats import load_coats
from .models import free_name, model_register
from .training import (
    TrainingClaim,
    training_claim,
    training_fail,
    training_finish,
    training_renew,
    training_stop,
)
from .work import LeaseLost, stopping_asked

logger = logging.getLogger(__name__)
Progress = Callable[[int, int, str], None]

_TELL_SECONDS = 1.0
_ASK_SECONDS = 2.0
PARTS_FILE, REPORT_FILE = "photos.json", "report.html"


class _Stopped(Exception):
    """Asked to stop between two steps; what is done so far is kept."""


def training_run(
    *,
    run_id: int,
    claim: TrainingClaim | None = None,
    interrupted: Callable[[], bool] | None = None,
    progress: Progress | None = None,
) -> bool:
    """Train, measure and register a candidate, if the run can be claimed; returns whether it was.

    interrupted: asked along the way; True leaves the run cancelled and resumable (Ctrl-C). Without it, the run is given
    back when workers are asked to stop. What goes wrong is written down; only the loss of the database is raised.
    """
    claim = claim or training_claim(run_id=run_id)
    if claim is None:
        return False
    teller = _Teller(claim, interrupted, progress)
    try:
        _Training(
            TrainingRun.objects.select_related("population", "start_model", "requested_by").get(pk=run_id), teller
        ).go()
    except _Stopped:
        _give_back(claim, teller.cancelled)
    except LeaseLost:
        logger.info("training %s was taken over", run_id)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        _record_failure(claim, error)
    return True


def _give_back(claim: TrainingClaim, cancelled: bool) -> None:
    try:
        training_stop(claim=claim, cancelled=cancelled)
    except LeaseLost:
        logger.info("training %s was taken over", claim.run_id)


def _record_failure(claim: TrainingClaim, error: Exception) -> None:
    logger.exception("training %s failed", claim.run_id)
    final = isinstance(error, SpotIDError)
    reason = str(error) if final else f"{type(error).__name__}: {error}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        final, reason = True, "The disk is full. Make room, then resume: the training goes on from its checkpoint."
    try:
        training_fail(claim=claim, reason=reason, final=final)
    except LeaseLost:
        logger.info("training %s was taken over", claim.run_id)


class _Teller:
    """Writes down how far a run is, renews its lease, hears when it is to stop; outlives a pause of the database."""

    def __init__(self, claim: TrainingClaim, interrupted: Callable[[], bool] | None, progress: Progress | None) -> None:
        self.claim, self.interrupted, self.progress = claim, interrupted, progress
        self.cancelled = False
        self._stop = False
        self._told = self._asked = -math.inf

    def say(self, *, now: bool = False, **said: Any) -> bool:
        """Write fields of the run down, at most once a second unless `now`; whether it did. Raises LeaseLost."""
        if self.progress is not None and "progress" in said:
            self.progress(round(1000 * said["progress"]), 1000, said.get("stage", ""))
        moment = time.monotonic()
        if not now and moment - self._told < _TELL_SECONDS:
            return False
        self._told = moment
        try:
            self.cancelled = training_renew(claim=self.claim, **said) or self.cancelled
        except (OperationalError, InterfaceError) as error:
            logger.warning("the database is away; the training goes on: %s", str(error).strip())
            close_old_connections()
            return False
        return True

    def should_stop(self) -> bool:
        """Whether a person cancelled, the terminal was left or workers are asked to stop."""
        if self.interrupted is not None and self.interrupted():
            self.cancelled = True
        self._stop = self._stop or self.cancelled
        moment = time.monotonic()
        if not self._stop and self.interrupted is None and moment - self._asked > _ASK_SECONDS:
            self._asked = moment
            try:
                self._stop = stopping_asked()
            except (OperationalError, InterfaceError):
                close_old_connections()
        return self._stop

    def check(self) -> None:
        if self.should_stop():
            raise _Stopped


class _Training:
    def __init__(self, run: TrainingRun, teller: _Teller) -> None:
        self.run, self.teller = run, teller
        self.folder = Path(settings.SPOTID_HOME) / run.folder
        self.config = learning.training_settings(run.config)
        self.told_epochs = -1

    def go(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        parts = self._parts()
        self._warn(parts.doubt)
        trained = learning.train(
            parts,
            self.config,
            self.folder / "run",
            start_model=self.run.start_model,
            progress=self._at_step,
            should_stop=self.teller.should_stop,
        )
        if trained.cancelled:
            raise _Stopped
        self.teller.say(now=True, progress=TRAINING_SHARE, history=_plain(trained.history), stage="Calibrating")
        judged = self._judge_similarity(parts, trained)
        measured = measure(
            parts.test,
            trained=trained,
            start_model=self.run.start_model,
            config=self.config,
            title=f"Training {self.run.pk} on {self.run.population}",
            about=self._about(parts, trained) | {"In candidates' scores": judged.sentence},
            report=self.folder / REPORT_FILE,
            tell=self._measuring,
            doubt=parts.doubt,
        )
        measured = replace(measured, sentences=[*measured.sentences, judged.sentence])
        self._register(parts, trained, measured, evaluation_of(judged))

    def _judge_similarity(self, parts: learning.Parts, trained: learning.Trained) -> Any:
        """Whether the new vectors are to have a say in candidates' scores."""
        rows = parts.validation
        images = Detection.objects.filter(pk__in=[row.detection for row in rows]).values_list("image_id", flat=True)
        sides, coats = load_coats(self.run.population, set(images))

        def tell(done: int, total: int, what: str) -> None:
            self.teller.say(progress=TRAINING_SHARE, stage=f"{what}, {done} of {total}"[:64])
            self.teller.check()

        return judge_similarity(rows, sides, coats, trained=trained, tell=tell)

    def _parts(self) -> learning.Parts:
        """The photos of this run, as they were when it began: a run that goes on learns from the same."""
        kept = learning.read_parts(self.folder / PARTS_FILE)
        if kept is not None:
            return kept
        self.teller.say(now=True, stage="Choosing photos")
        photos = training_set(self.run.population)
        refusals = photos.refusals()
        if refusals:
            raise SpotIDError(" ".join(refusals))
        runs, latest = compared_runs(self.run.start_model), latest_run(self.run.population)
        compared, others = [_parts_in(run) for run in runs], _parts_in(latest)
        parts = learning.parts_of(
            photos.rows, self.config, learning.union_of_parts(found for found in compared if found), others or {}
        )
        lost = [run for run, found in zip(runs, compared, strict=True) if found is None]
        if lost:
            numbers = ", ".join(str(run.pk) for run in lost)
            said = (
                f"What training {numbers} learned from is no longer known: the start model or the model in use "
                "may know the animals that are measured on."
            )
            parts = replace(parts, doubt=f"{said} {parts.doubt}".strip())
        learning.write_parts(self.folder / PARTS_FILE, parts)
        return parts

    def _warn(self, doubt: str) -> None:
        if doubt and doubt not in self.run.warnings:
            self.run.warnings = [*self.run.warnings, doubt]
            self.teller.say(now=True, warnings=self.run.warnings)

    def _at_step(self, step: learning.TrainingStep) -> None:
        # The curves are long: they are written when an epoch has been added, not every second.
        news = {"history": _plain(step.history)} if len(step.history) != self.told_epochs else {}
        written = self.teller.say(
            epoch=step.epoch,
            epochs=step.epochs,
            progress=TRAINING_SHARE * step.fraction,
            stage=step.message[:1].upper() + step.message[1:64],
            **news,
        )
        if written:
            self.told_epochs = len(step.history)
        if step.step == 0:
            # Nothing is lost yet: reading the photos and measuring the start are not steps, where it would be asked.
            self.teller.check()

    def _measuring(self, done: int, total: int, what: str) -> None:
        share = TRAINING_SHARE + (1 - TRAINING_SHARE) * done / max(1, total)
        self.teller.say(progress=min(1.0, share), stage=what[:64])
        self.teller.check()

    def _about(self, parts: learning.Parts, trained: learning.Trained) -> dict[str, str]:
        """What the report says of the data first. No places: only counts."""
        said = {part: _counted(parts.of(part)) for part in learning.PARTS}
        ended = " (stopped early)" if trained.stopped_early else ""
        return {
            "Population": str(self.run.population),
            "Learned from": said["train"],
            "Best epoch chosen on": said["validation"],
            "Measured on": f"{said['test']}, none of which this training learned from or chose on",
            "Began from": str(self.run.start_model or "random numbers"),
            "Epochs": f"{trained.epochs_run}{ended}, the best was {trained.best_epoch}",
            "Network": f"{self.config['backbone']}, {self.config['width']}×{self.config['height']}",
            "Loss": str(self.config["loss"]),
            "Made": f"{timezone.now():%Y-%m-%d %H:%M} UTC",
        }

    def _register(
        self, parts: learning.Parts, trained: learning.Trained, measured: Measured, similarity: dict[str, Any]
    ) -> None:
        self.teller.say(now=True, stage="Registering")
        run = self.run
        counts = {
            part: {"photos": len(rows), "individuals": len({row.individual for row in rows})}
            for part, rows in ((part, parts.of(part)) for part in learning.PARTS)
        }
        outcome = _plain(
            {
                "parts": counts,
                "members": {part: [row.detection for row in parts.of(part)] for part in learning.PARTS},
                "best_epoch": trained.best_epoch,
                "epochs_run": trained.epochs_run,
                "stopped_early": trained.stopped_early,
                "left_out": trained.left_out[:200],
                "measured": [{"name": name, **said} for name, said in measured.figures.items()],
                "comparisons": measured.comparisons,
                "not_measured": measured.not_measured,
                "advice": measured.advice,
                "sentences": measured.sentences,
                "report": f"{run.folder}/{REPORT_FILE}",
            }
        )
        with transaction.atomic():
            candidate = model_register(
                path=trained.weights,
                card=self._card(parts, trained, measured, similarity),
                acting_user=_still_administrator(run.requested_by),
                parent=run.start_model,
                report=outcome["report"],
            )
            training_finish(claim=self.teller.claim, candidate=candidate, outcome=outcome)
        # The register has its own copy.
        trained.weights.unlink(missing_ok=True)

    def _card(
        self, parts: learning.Parts, trained: learning.Trained, measured: Measured, similarity: dict[str, Any]
    ) -> dict[str, Any]:
        run = self.run
        said = {part: _counted(parts.of(part)) for part in learning.PARTS}
        return {
            "name": free_name(
                f"{slugify(run.population.name)[:90] or 'population'}-training-{run.pk}", trained.sha256, trained.config
            ),
            "config": trained.config,
            "dimension": int(trained.config["dimension"]),
            "trained": True,
            "training_data": (
                f"Photos of this installation that people have confirmed: {run.population}, as of "
                f"{timezone.now():%Y-%m-%d}. Learned from {said['train']}; best epoch chosen on {said['validation']}; "
                f"measured on {said['test']}."
            ),
            "licence": "as the institution decides that took the photos",
            "evaluation": _plain(
                {
                    "on": f"held-out individuals of {run.population}",
                    "figures": measured.figures,
                    "comparisons": measured.comparisons,
                    "advice": measured.advice,
                    **similarity,
                }
            ),
            "source": f"training {run.pk} of this installation",
            "parent": run.start_model.name if run.start_model else "",
            "notes": " ".join(measured.sentences),
        }


def _parts_in(run: TrainingRun | None) -> dict[int, str] | None:
    """The part of each detection in a finished training; None where nothing tells it any more."""
    if run is None:
        return None
    if "members" in run.outcome:
        return {detection: part for part, members in run.outcome["members"].items() for detection in members}
    parts = learning.read_parts(Path(settings.SPOTID_HOME) / run.folder / PARTS_FILE)
    return None if parts is None else {row.detection: part for part in learning.PARTS for row in parts.of(part)}


def _counted(rows: Sequence[TrainingRow]) -> str:
    return f"{len(rows)} photos of {len({row.individual for row in rows})} individuals"


def _still_administrator(user: User | None) -> User | None:
    """The account that asked, unless it has lost that right since: the run was granted, its end needs nobody."""
    return user if user is not None and permissions.is_administrator(user) else None


def _plain(value: Any) -> Any:
    """JSON without NaN and infinity, which PostgreSQL does not store."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
