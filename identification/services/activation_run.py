"""The work of one activation: encode every coat under its model, then switch. Loads engines: for tasks and commands."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction

from ..inference import engines
from ..inference.coats import CoatPixels, EncodingError, load_coat
from ..inference.model_files import UnfitModel, verify_weights
from ..models import Embedding, EmbeddingModel, EncodingFailure, ModelActivation
from ..selectors.models import encodable, without_vector
from .activation import (
    ActivationClaim,
    activation_claim,
    activation_fail,
    activation_fence,
    activation_held,
    activation_release,
    activation_renew,
    model_switch,
)
from .media import media_path
from .work import LeaseLost, stopping_asked

logger = logging.getLogger(__name__)
Progress = Callable[[int, int, str], None]

BATCH = 32
# A queue's task ends after this, and another goes on: photos that come in meanwhile have their turn.
SLICE_SECONDS = 120.0
# Where more than this share of all coats cannot be encoded, the model or the media folder is at fault, not the coats.
FAILURES_BORNE = 0.5
_FAILURES_ALWAYS_BORNE = 3
# Counting takes longer than encoding a batch where there are hundreds of thousands of coats.
_RECOUNT_SECONDS = 15.0

_NOW = """
SELECT id, x1, y1, x2, y2, crop FROM identification_detection WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE
"""


@dataclass(frozen=True)
class Cut:
    """A coat as it was when its crop was loaded. One that was redrawn since is another one."""

    detection: int
    x1: float
    y1: float
    x2: float
    y2: float
    crop: str
    mask: str = ""
    edges: str = ""

    @property
    def place(self) -> tuple[Any, ...]:
        return self.detection, self.x1, self.y1, self.x2, self.y2, self.crop


def activation_run(
    *, activation_id: int, progress: Progress | None = None, seconds: float | None = SLICE_SECONDS
) -> bool:
    """Encode for an activation and switch when nothing is left; returns whether it could be claimed.

    Ends after `seconds` (None: only when it is through) and gives the rest back to the queue. What goes wrong is
    written down; only the loss of the database is raised. The old model serves until the switch.
    """
    claim = activation_claim(activation_id=activation_id)
    if claim is None:
        return False
    try:
        with activation_held(claim):
            _Run(claim, progress, seconds).go()
    except LeaseLost:
        logger.info("activation %s was cancelled or taken over", activation_id)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        _record_failure(claim, error)
    return True


def _record_failure(claim: ActivationClaim, error: Exception) -> None:
    try:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            logger.warning("the disk is full; the activation pauses")
            activation_fail(claim=claim, reason="The disk is full. Make room and activate the model again.", final=True)
            return
        if isinstance(error, UnfitModel):
            logger.warning("activation %s is given up: %s", claim.activation_id, error)
            activation_fail(claim=claim, reason=str(error), final=True)
            return
        logger.exception("activation %s failed", claim.activation_id)
        activation_fail(claim=claim, reason=f"{type(error).__name__}: {error}", final=False)
    except LeaseLost:
        logger.info("activation %s was cancelled or taken over", claim.activation_id)


class _Run:
    def __init__(self, claim: ActivationClaim, progress: Progress | None, seconds: float | None) -> None:
        self.claim = claim
        self.progress = progress
        self.ends = None if seconds is None else time.monotonic() + seconds
        activation = ModelActivation.objects.select_related("model").get(pk=claim.activation_id)
        self.model = activation.model
        # A coat that killed its worker in a batch is met again alone, and the last attempt leaves it out. Where an
        # error was written down nobody died.
        self.size = BATCH if claim.attempts <= 1 else 1
        self.total = self.done = 0
        self.counted = -_RECOUNT_SECONDS
        self.suspect = claim.attempts >= settings.SPOTID_MAX_ATTEMPTS and not activation.error

    def go(self) -> None:
        verify_weights(self.model)
        engines.create_vector_index(self.model)
        last = 0
        self._tell()
        while True:
            if stopping_asked() or (self.ends is not None and time.monotonic() > self.ends):
                activation_release(claim=self.claim)
                return
            cuts = self._next(last)
            if cuts:
                self._encode(cuts)
                last = cuts[-1].detection
            elif last:
                # Once more from the start: photos came in meanwhile.
                last = 0
            elif model_switch(claim=self.claim):
                logger.info("%s is the active model now", self.model)
                return

    def _next(self, last: int) -> list[Cut]:
        names = ("pk", "x1", "y1", "x2", "y2", "crop", "mask", "edges")
        rows = without_vector(self.model).filter(pk__gt=last).order_by("pk").values_list(*names)
        return [Cut(*row) for row in rows[: self.size]]

    def _encode(self, cuts: Sequence[Cut]) -> None:
        bad: dict[int, str] = {}
        if self.suspect:
            bad[cuts[0].detection] = "The worker died each time that this coat was encoded."
            self.suspect = False
        vectors: dict[int, Any] = {}
        loaded = [(cut, coat) for cut in cuts if (coat := self._load(cut, bad)) is not None]
        self._encode_coats(loaded, vectors, bad)
        self._store(cuts, vectors, bad)

    def _load(self, cut: Cut, bad: dict[int, str]) -> CoatPixels | None:
        if cut.detection in bad:
            return None
        try:
            edges, mask = (media_path(name) if name else None for name in (cut.edges, cut.mask))
            return load_coat(media_path(cut.crop), edges, mask)
        except (OSError, ValueError, EncodingError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE):
                raise
            # Messages of Pillow hold the path of the file on this server.
            said = error if isinstance(error, EncodingError) else getattr(error, "strerror", None) or "it is damaged"
            bad[cut.detection] = f"Its crop cannot be read: {said}."
            return None

    def _encode_coats(
        self, loaded: Sequence[tuple[Cut, CoatPixels]], vectors: dict[int, Any], bad: dict[int, str]
    ) -> None:
        """Encode all at once, and one by one where one of them cannot be encoded."""
        if not loaded:
            return
        try:
            rows = engines.encode(self.model, [coat for _, coat in loaded])
        except EncodingError as error:
            if len(loaded) == 1:
                bad[loaded[0][0].detection] = str(error)
                return
            for one in loaded:
                self._encode_coats([one], vectors, bad)
            return
        vectors.update((cut.detection, row) for (cut, _), row in zip(loaded, rows, strict=True))

    def _store(self, cuts: Sequence[Cut], vectors: dict[int, Any], bad: dict[int, str]) -> None:
        with transaction.atomic():
            activation_fence(claim=self.claim)
            same = _unchanged(cuts)
            Embedding.objects.bulk_create(
                [
                    Embedding(detection_id=detection, model=self.model, vector=vector.tolist())
                    for detection, vector in vectors.items()
                    if detection in same
                ],
                ignore_conflicts=True,
            )
            EncodingFailure.objects.bulk_create(
                [
                    EncodingFailure(detection_id=detection, model=self.model, reason=reason[:2000])
                    for detection, reason in bad.items()
                    if detection in same
                ],
                ignore_conflicts=True,
            )
            self._tell(len(cuts))
        if bad:
            _check_failures(self.model)

    def _tell(self, stored: int = 0) -> None:
        """Renew the lease and tell how far it is: counted now and then, and between with what was stored since."""
        self.done = min(self.total, self.done + stored)
        now = time.perf_counter()
        if now - self.counted >= _RECOUNT_SECONDS:
            self.counted = now
            self.total = encodable().count()
            self.done = self.total - without_vector(self.model).count()
        activation_renew(claim=self.claim, total=self.total, done=self.done, stored=bool(stored))
        if self.progress is not None:
            self.progress(self.done, self.total, "")


def _unchanged(cuts: Sequence[Cut]) -> set[int]:
    """Those that are still as they were loaded, held so until the transaction ends.

    A redrawn box takes its row for update, which waits for this lock and then deletes the vector stored here.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NOW, [[cut.detection for cut in cuts]])
        now = set(cursor.fetchall())
    return {cut.detection for cut in cuts if cut.place in now}


def _check_failures(model: EmbeddingModel) -> None:
    """Raise UnfitModel when so many coats cannot be encoded that the switch would lose more than it brings."""
    failed = EncodingFailure.objects.filter(model=model).count()
    total = encodable().count()
    if failed > max(_FAILURES_ALWAYS_BORNE, total * FAILURES_BORNE):
        first = EncodingFailure.objects.filter(model=model).order_by("-id").values_list("reason", flat=True)[0]
        raise UnfitModel(f"{failed} of {total} coats cannot be encoded under {model}, the last one because: {first}")
