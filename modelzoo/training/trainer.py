"""Training of an embedding network from photos of known animals, to be interrupted and continued at any step."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from modelzoo.coats import EncodingError
from modelzoo.losses import LOSSES
from modelzoo.network import save_weights
from modelzoo.pipelines import PIPELINES
from modelzoo.training.checkpoint import (
    clean,
    load_checkpoint,
    own_randomness,
    random_state,
    restore_random_state,
    save_checkpoint,
    write_file,
)
from modelzoo.training.config import PATH_KEYS, TrainConfig
from modelzoo.training.data import CoatDataset, TrainingPhoto
from modelzoo.training.journal import Journal
from modelzoo.training.network_run import NetworkRun, start_weights
from modelzoo.training.plots import write_plots
from modelzoo.training.results import Outcome, TrainingError, TrainingProgress, TrainingResult
from modelzoo.training.sampler import IdentitySampler
from modelzoo.training.splits import TooFewPhotosError

ProgressCall = Callable[[TrainingProgress], None]
CHECKPOINT, RUN, RESULT, WEIGHTS = "checkpoint.pt", "run.json", "result.json", "weights.safetensors"


def train(
    train_photos: Sequence[TrainingPhoto],
    validation_photos: Sequence[TrainingPhoto],
    config: TrainConfig,
    run_dir: Path,
    *,
    start: Mapping[str, torch.Tensor] | None = None,
    progress: ProgressCall | None = None,
    should_stop: Callable[[], bool] | None = None,
    threads: int | None = None,
) -> TrainingResult:
    """Trains, and returns the weights of the epoch with the highest DTkAP on the validation photos.

    The starting point counts as epoch 0, so what comes back is never worse on them. Photos of a third, test, set are
    none of this function's business. `progress` is told after every step, and `should_stop` asked: True ends the run
    with the outcome "cancelled". A run that was cancelled or killed goes on from its last checkpoint when train is
    called with the same arguments and folder (on the CPU with the same number of threads, to the same weights bit by
    bit); one that was finished returns its result again.

    run_dir gets checkpoint.pt while the run lasts, then weights.safetensors and result.json; plots/ and tensorboard/.
    start: weights of the same backbone (another dimension is allowed: the last layer then begins at random); None is
    a random network by the seed. threads: torch's, restored afterwards. The random generators of the process are left
    as they were. Raises ValueError when an animal is in both sets, TooFewPhotosError, and TrainingError for a folder of
    another run, weights that do not fit and a loss that is no number.
    """
    _refuse_unfit(train_photos, validation_photos)
    run_dir.mkdir(parents=True, exist_ok=True)
    finished = _claim(run_dir, _fingerprint(config, train_photos, validation_photos, start))
    if finished is not None:
        return finished
    clean(run_dir)
    with _torch_threads(threads), own_randomness(config.seed):
        run = _Run(train_photos, validation_photos, config, run_dir, start, progress or _silent)
        with Journal(run_dir / "tensorboard", run.steps_done) as journal:
            try:
                outcome = run.go(journal, should_stop or _never)
            except EncodingError as error:
                raise TrainingError(f"a photo can no longer be read: {error}") from error
        return run.finish(outcome)


class _Run:
    """The state of one call of :func:`train`."""

    def __init__(
        self,
        train_photos: Sequence[TrainingPhoto],
        validation_photos: Sequence[TrainingPhoto],
        config: TrainConfig,
        run_dir: Path,
        start: Mapping[str, torch.Tensor] | None,
        progress: ProgressCall,
    ) -> None:
        self.config, self.run_dir, self.progress = config, run_dir, progress
        self.train_set = self._read(train_photos, "training")
        self.validation_set = self._read(validation_photos, "validation")
        _refuse_unfit(self.train_set.photos, self.validation_set.photos)
        identities = [photo.identity for photo in self.train_set.photos]
        loss: Any = LOSSES[config.loss]
        drop_singletons: bool = loss.drops_singletons
        self.sampler = IdentitySampler(
            identities,
            batch_size=config.batch_size,
            per_identity=config.images_per_identity,
            seed=config.seed,
            drop_singletons=drop_singletons,
        )
        labels = _class_numbers(identities, drop_singletons)
        saved = load_checkpoint(run_dir / CHECKPOINT)
        # Before a resume too: it puts what is random in making networks and losses before the saved state.
        state, self.reinitialised = start_weights(config.embedding_config(), config.seed, None if saved else start)
        self.network = NetworkRun(config, state, labels)
        self.history: list[dict[str, Any]] = []
        self.epoch, self.batch, self.steps_done = 1, 0, 0
        self.best_epoch, self.best = 0, -math.inf
        self.seconds = 0.0
        self.photos_read = _digest([self.train_set.photos, self.validation_set.photos])
        if saved is not None:
            self._restore(saved)

    def go(self, journal: Journal, should_stop: Callable[[], bool]) -> Outcome:
        """Trains from where the run stands."""
        if not self.history:
            self._say(0, 0, None, "measuring the starting point")
            self._judge(0, {}, journal)
            self._checkpoint()
        while self.epoch <= self.config.epochs:
            if self._patience_is_spent():
                return "early_stop"
            if not self._train_epoch(journal, should_stop):
                return "cancelled"
        return "finished"

    def finish(self, outcome: Outcome) -> TrainingResult:
        """Leaves the weights of the best epoch, plots and, unless cancelled, the result instead of the checkpoint."""
        data = self._best_file().read_bytes()
        write_file(self.run_dir / WEIGHTS, data)
        if self.config.save_path and outcome != "cancelled":
            target = Path(self.config.save_path)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_file(target, data)
        write_plots(self.run_dir / "plots", self.history)
        result = TrainingResult(
            weights=self.run_dir / WEIGHTS,
            sha256=hashlib.sha256(data).hexdigest(),
            embedding_config=self.network.embedding_config.to_dict(),
            history=self.history,
            best_epoch=self.best_epoch,
            epochs_run=len(self.history) - 1,
            outcome=outcome,
            left_out=(*self.train_set.left_out, *self.validation_set.left_out),
            reinitialised=self.reinitialised,
        )
        if outcome != "cancelled":
            write_file(self.run_dir / RESULT, result.to_json())
            (self.run_dir / CHECKPOINT).unlink(missing_ok=True)
            self._best_file().unlink(missing_ok=True)
        return result

    def _train_epoch(self, journal: Journal, should_stop: Callable[[], bool]) -> bool:
        """The rest of the current epoch; False when it was asked to stop."""
        batches = self.sampler.batches(self.epoch)
        if self.batch == 0:
            self.network.begin_epoch(self.epoch)
        since = time.monotonic()
        every = self.config.checkpoint_steps
        while self.batch < len(batches):
            loss = self.network.step(self.train_set, batches[self.batch], self.epoch, self.batch)
            self.batch += 1
            self.steps_done += 1
            journal.step(self.steps_done, loss, self.network.learning_rate)
            self._say(self.batch, len(batches), loss, f"epoch {self.epoch} of {self.config.epochs}")
            if should_stop():
                self.seconds += time.monotonic() - since
                self._checkpoint()
                return False
            if every and self.batch % every == 0 and self.batch < len(batches):
                self.seconds += time.monotonic() - since
                since = time.monotonic()
                self._checkpoint()
        self.seconds += time.monotonic() - since
        means = {"lr": self.network.learning_rate, "seconds": round(self.seconds, 1), **self.network.epoch_means()}
        self._judge(self.epoch, means, journal)
        self._say(self.batch, len(batches), None, f"epoch {self.epoch} of {self.config.epochs} done")
        self.epoch, self.batch, self.seconds = self.epoch + 1, 0, 0.0
        self._checkpoint()
        return True

    def _judge(self, epoch: int, means: dict[str, Any], journal: Journal) -> None:
        """Measures on the validation photos, and keeps the weights when they are the best so far."""
        row: dict[str, Any] = {"epoch": epoch, "loss": None, "lr": None, "seconds": 0.0, **means}
        row |= self.network.validate(self.validation_set)
        self.history.append(row)
        journal.epoch(self.steps_done, row)
        if row["dtkap"] > self.best:
            self.best_epoch, self.best = epoch, row["dtkap"]
            config = json.dumps(self.network.embedding_config.to_dict())
            save_weights(self._best_file(), self.network.net.state_dict(), {"embedding_config": config})

    def _checkpoint(self) -> None:
        save_checkpoint(
            self.run_dir / CHECKPOINT,
            {
                "network": self.network.state(),
                "random": random_state(),
                "epoch": self.epoch,
                "batch": self.batch,
                "steps_done": self.steps_done,
                "seconds": self.seconds,
                "best_epoch": self.best_epoch,
                "best": self.best,
                "history": json.dumps(self.history),
                "photos_read": self.photos_read,
                "reinitialised": list(self.reinitialised),
            },
        )
        # The last best weights go only when no checkpoint speaks of them any more.
        for path in self.run_dir.glob("best-*.safetensors"):
            if path != self._best_file():
                path.unlink(missing_ok=True)

    def _restore(self, saved: Mapping[str, Any]) -> None:
        if saved["photos_read"] != self.photos_read:
            raise TrainingError("other photos can be read than when the run began; begin it anew in another folder")
        self.epoch, self.batch, self.steps_done = saved["epoch"], saved["batch"], saved["steps_done"]
        self.best_epoch, self.best, self.seconds = saved["best_epoch"], saved["best"], saved["seconds"]
        self.history = json.loads(saved["history"])
        self.reinitialised = tuple(saved["reinitialised"])
        self.network.begin_epoch(self.epoch)
        self.network.load_state(saved["network"])
        restore_random_state(saved["random"])
        if not self._best_file().is_file():
            raise TrainingError(f"{self._best_file()} is missing; remove {self.run_dir} to begin the run anew")

    def _best_file(self) -> Path:
        return self.run_dir / f"best-{self.best_epoch:05d}.safetensors"

    def _patience_is_spent(self) -> bool:
        """The start does not count here: an untrained network may rank well what it has no time to beat at once."""
        patience, trained = self.config.patience, [row["dtkap"] for row in self.history[1:]]
        return bool(patience and trained) and len(trained) - 1 - trained.index(max(trained)) >= patience

    def _read(self, photos: Sequence[TrainingPhoto], what: str) -> CoatDataset:
        def tell(done: int, total: int) -> None:
            if done % 25 == 0 or done == total:
                self._say(0, 0, None, f"read {done} of {total} {what} photos")

        config, pipeline = self.config, PIPELINES[self.config.pipeline]
        budget = config.cache_mb << 20
        return CoatDataset(photos, pipeline, config.width, config.height, cache_bytes=budget, progress=tell)

    def _say(self, batch: int, batches: int, loss: float | None, message: str) -> None:
        epoch = getattr(self, "epoch", 1)
        history = getattr(self, "history", [])
        if loss is not None:
            message += f", loss {loss:.3f}"
        if history:
            message += f", DTkAP {history[-1]['dtkap']:.3f} (best {self.best:.3f}, epoch {self.best_epoch})"
        step, steps = (epoch - 1) * batches + batch, self.config.epochs * batches
        self.progress(TrainingProgress(epoch, self.config.epochs, step, steps, loss, message, tuple(history)))


def _silent(progress: TrainingProgress) -> None:
    """Nobody listens."""


def _never() -> bool:
    return False


def _class_numbers(identities: Sequence[str], drop_singletons: bool) -> list[int]:
    """Class of each photo; singletons that are dropped share number 0, which is never asked for, and get no class."""
    counts = Counter(identities)
    numbers: dict[str, int] = {}
    for identity in identities:
        if counts[identity] > 1 or not drop_singletons:
            numbers.setdefault(identity, len(numbers))
    return [numbers.get(identity, 0) for identity in identities]


def _refuse_unfit(train_photos: Sequence[TrainingPhoto], validation_photos: Sequence[TrainingPhoto]) -> None:
    shared = {p.individual for p in train_photos} & {p.individual for p in validation_photos}
    if shared:
        raise ValueError(f"animals to train on and to validate with must differ; in both: {', '.join(sorted(shared))}")
    for photos, what in ((train_photos, "training"), (validation_photos, "validation")):
        paired = [i for i, count in Counter(p.identity for p in photos).items() if count > 1]
        if len(paired) < 2:
            raise TooFewPhotosError(f"{what} needs two flanks with two readable photos each; there are {len(paired)}")


def _digest(parts: Sequence[Sequence[TrainingPhoto]]) -> str:
    rows = [[[p.key, p.identity, p.individual] for p in photos] for photos in parts]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _fingerprint(
    config: TrainConfig,
    train_photos: Sequence[TrainingPhoto],
    validation_photos: Sequence[TrainingPhoto],
    start: Mapping[str, torch.Tensor] | None,
) -> str:
    """What makes a run this run: settings (but those that change nothing in the result), photos, weights to start."""
    passive = {"cache_mb", "checkpoint_steps", "device", *PATH_KEYS}
    settings = {name: value for name, value in config.to_dict().items() if name not in passive}
    digest = hashlib.sha256()
    for name, tensor in sorted((start or {}).items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().double().numpy().tobytes())
    photos = _digest([train_photos, validation_photos])
    return json.dumps({"settings": settings, "photos": photos, "start": digest.hexdigest()}, sort_keys=True)


def _claim(run_dir: Path, fingerprint: str) -> TrainingResult | None:
    """Marks the folder as this run's; its result when it has one. TrainingError when it is another run's."""
    marker, result = run_dir / RUN, run_dir / RESULT
    if not marker.is_file():
        write_file(marker, fingerprint)
    elif marker.read_text(encoding="utf-8") != fingerprint:
        raise TrainingError(
            f"{run_dir.name} holds a run with other settings, photos or weights to start from; take another folder"
        )
    return TrainingResult.from_json(result.read_text(encoding="utf-8"), run_dir) if result.is_file() else None


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads or before)
        yield
    finally:
        torch.set_num_threads(before)
