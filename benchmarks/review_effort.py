"""How many decisions a review takes: the queue against the original's loop and against asking pairs above a threshold.

    python3 spotid.py bench review_effort [--data DIR] [--json FILE] [--threshold P] [--limit N] [--seed N]

A simulated reviewer works through the real services and the real database: photos are ingested, processed and matched,
every answer is a `decision_record`, every question comes from the selectors. The truth reaches only the reviewer: the
files are numbered in a shuffled order, so that neither folders nor names say anything. DIR/IDENTITY/PHOTO are finished
crops, a folder is one flank of one animal; without --data, synthetic coats are drawn. A set of more than 300 photos is
sampled (benchmarks/labelled.py).

Every answer counts one, a bulk confirmation one per pair, also where the pair is looked at and left. `queue`: near-
certain pairs at a glance, then question by question; after every 12 answers what a worker does meanwhile is done (a
calibration that is due is fitted), and the answers that the software calls worth a second look are looked at again,
as they are when no question is left. `anchor_loop`: photo by photo, the five best candidates that are not connected
yet, all five answered; a refusal is not remembered, so the pair comes back with roles swapped, as the original does
it. `anchor_loop_remembering`: the same, but a refused pair is not asked again. `threshold`: every stored pair above a
probability, the most probable first. `noisy`: the queue with 2 % wrong answers. Each arm ends when pairwise F1 is 99
%, or when nothing is left to ask; the queue goes on until its own stopping rule says that the goal is reached.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "spotid_site.settings")
os.environ.setdefault("SPOTID_OFFLINE", "1")

GOAL = 0.99
CANDIDATES = 5
WRONG = 0.02
CURVE_EVERY = 25
# Answers of a minute, of somebody who takes five seconds for each; workers look for what is due more often than that.
MINUTE = 12


@dataclass
class World:
    """A matched survey, who reviews it, and the truth that nobody but the reviewer knows: detection -> identity."""

    survey: Any
    user: Any
    truth: dict[int, str]
    detections: dict[int, Any]


class Reviewer:
    """Answers by the truth, wrong as often as `wrong` says (the same answers for the same seed), and counts."""

    def __init__(self, world: World, wrong: float = 0.0, seed: int = 0) -> None:
        self.world, self.wrong, self.random = world, wrong, random.Random(seed)
        self.answers = 0

    def says_match(self, a: int, b: int) -> bool:
        same = self.world.truth[a] == self.world.truth[b]
        return same != (self.random.random() < self.wrong)


@dataclass
class Run:
    """What an arm has come to. `reached` after `decisions` answers, or never in as many."""

    decisions: int = 0
    pairwise_f1: float = 0.0
    reached: bool = False
    curve: list[tuple[int, float]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def note(self, answers: int, f1: float) -> None:
        if not self.reached:
            self.decisions, self.pairwise_f1, self.reached = answers, f1, f1 >= GOAL
        self.curve.append((answers, f1))

    def first(self, f1: float) -> int | None:
        """Answers after which the score was at least this."""
        return next((answers for answers, value in self.curve if value >= f1 - 1e-12), None)

    def shown(self) -> dict[str, Any]:
        curve = [(n, round(value, 4)) for n, value in self.curve if n % CURVE_EVERY == 0]
        found = {"decisions": self.decisions, "pairwise_f1": round(self.pairwise_f1, 4), "reached": self.reached}
        return found | self.extra | {"curve": curve}


# ---- the survey ----
def synthetic_photos(folder: Path, seed: int, identities: int) -> list[tuple[str, Path]]:
    """Flanks with 1 to 10 photos, most with few (geometric, mean 4)."""
    import cv2

    from modelzoo.synthetic import make_crop

    sizes = random.Random(seed)
    photos = []
    for number in range(identities):
        animal, flank = number // 2, ("left", "right")[number % 2]
        views = 1
        while views < 10 and sizes.random() < 0.75:
            views += 1
        for view in range(views):
            path = folder / f"{animal:03d}_{flank}" / f"{view:03d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            crop = make_crop(seed, animal, flank, view, (512, 256))
            cv2.imwrite(str(path), crop.rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
            photos.append((path.parent.name, path))
    return photos


def numbered(photos: list[tuple[str, Path]], folder: Path, seed: int) -> dict[str, str]:
    """Copies with names that say nothing; returns identity by name."""
    order = list(photos)
    random.Random(seed).shuffle(order)
    truth = {}
    for number, (identity, path) in enumerate(order):
        name = f"{number:05d}{path.suffix.lower()}"
        shutil.copyfile(path, folder / name)
        truth[name] = identity
    return truth


def world_of(folder: Path, truth: dict[str, str]) -> World:
    """Ingest, process and match through the services."""
    from identification.inference.engines import ensure_model
    from identification.models import Detection, Membership, User
    from identification.services.ingest import survey_ingest
    from identification.services.matching_run import survey_match
    from identification.services.processing import survey_process_inline

    ensure_model()
    survey = survey_ingest(root=folder, survey_name="Review effort", crops_only=True).survey
    survey_process_inline(survey=survey)
    if not survey_match(survey_id=survey.pk):
        raise SystemExit("The survey could not be matched: some photos are not through.")
    survey.refresh_from_db()
    user = User.objects.create(username="simulated")
    Membership.objects.create(user=user, survey=survey, role="curator")
    found = Detection.objects.comparable().filter(image__survey=survey).select_related("image__survey")
    detections = {detection.pk: detection for detection in found}
    return World(survey, user, {pk: truth[d.image.name] for pk, d in detections.items()}, detections)


# ---- scoring ----
def pairwise(world: World) -> tuple[float, float]:
    """Pairwise F1 and recall of the individuals that stand in the database now."""
    from identification.models import Detection

    groups: dict[Any, list[int]] = defaultdict(list)
    rows = Detection.objects.filter(pk__in=world.truth).values_list("pk", "individual_id")
    for pk, individual in rows:
        groups[individual if individual is not None else f"alone {pk}"].append(pk)
    together = sum(len(group) * (len(group) - 1) // 2 for group in groups.values())
    right = sum(
        n * (n - 1) // 2 for group in groups.values() for n in Counter(world.truth[pk] for pk in group).values()
    )
    true = sum(n * (n - 1) // 2 for n in Counter(world.truth.values()).values())
    return (2 * right / (together + true) if together + true else 1.0), (right / true if true else 1.0)


@contextmanager
def undone() -> Iterator[None]:
    """Decisions are append-only: an arm runs in a transaction that is rolled back, so each begins with none."""
    from django.db import transaction

    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def answer(reviewer: Reviewer, anchor: int, candidate: int, shown: float | None = None) -> bool:
    """One answer through the service; returns whether it could be recorded."""
    from identification.errors import SpotIDError
    from identification.services.decisions import decision_record

    world = reviewer.world
    verdict = "match" if reviewer.says_match(anchor, candidate) else "no_match"
    reviewer.answers += 1
    first, second = world.detections[anchor], world.detections[candidate]
    try:
        decision_record(acting_user=world.user, first=first, second=second, verdict=verdict, anchor=first, shown=shown)
    except SpotIDError:
        return False
    return True


# ---- the arms ----
def by_queue(reviewer: Reviewer, most: int) -> Run:
    """Near-certain pairs at a glance while there are some, else the next question."""
    from identification.selectors.review_questions import queue_state
    from identification.services.review import review_question_put_off

    world, run = reviewer.world, Run()
    f1, recall = pairwise(world)
    run.note(0, f1)
    left: list[tuple[int, int]] = []
    fitted = looks = 0
    while reviewer.answers < most:
        if reviewer.answers - fitted >= MINUTE:
            fitted = reviewer.answers
            work_in_the_background()
            looks += look_again(reviewer)
        if looked_at := at_a_glance(reviewer, left):
            reviewer.answers += looked_at
        else:
            state = queue_state(user=world.user, survey=world.survey)
            note_rule(run, state.progress, reviewer.answers, recall)
            if run.reached and "rule" in run.extra:
                break
            if state.asked is None or state.open <= state.put_off:
                if not (again := look_again(reviewer)):
                    break
                looks += again
            else:
                asked = state.asked
                pair = (asked.left.detection.pk, asked.right.detection.pk)
                if not answer(reviewer, *pair, shown=asked.question.probability):
                    review_question_put_off(user=world.user, survey=world.survey, pair=pair)
        f1, recall = pairwise(world)
        run.note(reviewer.answers, f1)
    run.extra["second_looks"] = looks
    run.extra["questions_end"] = {
        "decisions": reviewer.answers,
        "pairwise_f1": round(f1, 4),
        "recall": round(recall, 4),
    }
    return run


def work_in_the_background() -> None:
    """What a worker does while somebody reviews: calibrations that are due."""
    from identification.models import CalibrationRun
    from identification.services.calibration_due import calibrations_request_due
    from identification.services.calibration_run import calibration_run

    if calibrations_request_due():
        for run in CalibrationRun.objects.filter(state=CalibrationRun.State.PENDING):
            calibration_run(run_id=run.pk)


def look_again(reviewer: Reviewer) -> int:
    """Answer what may have been answered wrongly once more; returns how many answers that took."""
    from identification.selectors.review_doubts import doubtful_answers

    found = doubtful_answers(user=reviewer.world.user, survey=reviewer.world.survey)
    return len([answer(reviewer, *one.doubt.pair) for one in found])


def at_a_glance(reviewer: Reviewer, left: list[tuple[int, int]]) -> int:
    """Confirm what the bulk page shows and the reviewer ticks; what she leaves is added to `left`. Returns how many she
    has looked at: what is not near-certain at all costs her a look, too."""
    from identification.selectors.review_glance import certain_pairs
    from identification.services.confirming import Ticked, decisions_confirm

    world = reviewer.world
    shown = certain_pairs(user=world.user, survey=world.survey, without=left)
    ticked = []
    for pair in shown:
        if reviewer.says_match(pair.left.pk, pair.right.pk):
            detections = world.detections[pair.left.pk], world.detections[pair.right.pk]
            ticked.append(Ticked(*detections, pair.version, pair.question.probability))
        else:
            left.append((pair.left.pk, pair.right.pk))
    if ticked:
        decisions_confirm(acting_user=world.user, survey=world.survey, ticked=ticked)
    return len(shown)


def note_rule(run: Run, progress: Any, answers: int, recall: float) -> None:
    """The moment when the stopping rule says that the goal is reached, and the estimates on the way."""
    if progress.reached and "rule" not in run.extra:
        run.extra["rule"] = {
            "decisions": answers,
            "estimated_share": round(progress.share, 4),
            "interval": [round(progress.low, 4), round(progress.high, 4)],
            "true_share": round(recall, 4),
        }
    estimates = run.extra.setdefault("estimates", [])
    if not progress.early and (not estimates or answers >= estimates[-1][0] + CURVE_EVERY):
        estimates.append((answers, *(round(v, 4) for v in (progress.share, progress.low, progress.high, recall))))


def by_anchor(reviewer: Reviewer, *, remember: bool) -> Run:
    """The original's loop over the same candidates."""
    from identification.models import Detection

    world, run = reviewer.world, Run()
    run.note(0, pairwise(world)[0])
    refused: set[tuple[int, int]] = set()
    ranked = candidates_of(world)
    for anchor in world.detections:
        asked = 0
        for candidate in ranked[anchor]:
            pair = (min(anchor, candidate), max(anchor, candidate))
            known = dict(Detection.objects.filter(pk__in=pair).values_list("pk", "individual_id"))
            connected = known[anchor] is not None and known[anchor] == known[candidate]
            if connected or (remember and pair in refused):
                continue
            asked += 1
            answer(reviewer, anchor, candidate)
            refused.add(pair)
            run.note(reviewer.answers, pairwise(world)[0])
            if run.reached:
                return run
            if asked == CANDIDATES:
                break
    return run


def candidates_of(world: World) -> dict[int, list[int]]:
    """Stored candidates of each photo, the best first."""
    from identification.models import Candidate

    ranked: dict[int, list[int]] = defaultdict(list)
    rows = Candidate.objects.filter(anchor__in=world.truth, detection__in=world.truth).order_by("anchor_id", "rank")
    for anchor, candidate in rows.values_list("anchor_id", "detection_id"):
        ranked[anchor].append(candidate)
    return ranked


def by_threshold(reviewer: Reviewer, least: float) -> Run:
    """Every stored pair of at least this probability, the most probable first."""
    from identification.models import Candidate

    world, run = reviewer.world, Run()
    run.note(0, pairwise(world)[0])
    best: dict[tuple[int, int], float] = {}
    rows = Candidate.objects.filter(anchor__in=world.truth, detection__in=world.truth, probability__gte=least)
    for a, b, probability in rows.values_list("anchor_id", "detection_id", "probability"):
        pair = (min(a, b), max(a, b))
        best[pair] = max(probability, best.get(pair, 0.0))
    for (a, b), probability in sorted(best.items(), key=lambda item: (-item[1], item[0])):
        answer(reviewer, a, b, shown=probability)
        run.note(reviewer.answers, pairwise(world)[0])
        if run.reached:
            break
    return run


# ---- all together ----
def measured(world: World, threshold: float, seed: int) -> dict[str, Any]:
    most = 20 * len(world.truth)
    arms: dict[str, Callable[[], Run]] = {
        "queue": lambda: by_queue(Reviewer(world), most),
        "anchor_loop": lambda: by_anchor(Reviewer(world), remember=False),
        "anchor_loop_remembering": lambda: by_anchor(Reviewer(world), remember=True),
        "threshold": lambda: by_threshold(Reviewer(world), threshold),
        "noisy": lambda: by_queue(Reviewer(world, WRONG, seed), most),
    }
    runs: dict[str, Run] = {}
    for name, arm in arms.items():
        with undone():
            runs[name] = arm()
        print(f"{name}: {runs[name].decisions} decisions, F1 {runs[name].pairwise_f1:.4f}", flush=True)
    for name in ("queue", "noisy"):
        runs[name].extra |= compared(runs[name], runs["anchor_loop"], runs["anchor_loop_remembering"])
    found: dict[str, Any] = {name: run.shown() for name, run in runs.items()}
    sizes = Counter(world.truth.values())
    matches = sum(size * (size - 1) // 2 for size in sizes.values())
    found["survey"] = {"photos": len(world.truth), "identities": len(sizes), "matches": matches}
    found["survey"] |= {
        "alone": sum(size == 1 for size in sizes.values()),
        "fewest_joins": len(world.truth) - len(sizes),
    }
    return found


def compared(run: Run, loop: Run, remembering: Run) -> dict[str, Any]:
    """Against the loop: decisions to 99 % where both reach it, else to where the loop ends."""
    answer: dict[str, Any] = {}
    for name, other in (("loop", loop), ("remembering", remembering)):
        end = other.pairwise_f1
        own = run.first(end)
        answer[f"to_final_f1_of_{name}"] = own
        theirs = other.first(end)
        answer[f"fewer_than_{name}"] = round(1 - own / theirs, 3) if own is not None and theirs else None
    return answer


def report(found: dict[str, Any]) -> None:
    survey = found["survey"]
    print(
        f"\n{survey['photos']} photos, {survey['identities']} identities ({survey['alone']} with one photo), "
        f"{survey['matches']} true matches; at least {survey['fewest_joins']} decisions are needed"
    )
    for name, run in found.items():
        if name == "survey":
            continue
        reached = "reached 99 %" if run["reached"] else "never reached 99 %"
        line = f"{name:24} {run['decisions']:6} decisions, F1 {run['pairwise_f1']:.4f}, {reached}"
        if run.get("fewer_than_loop") is not None:
            line += f"; {run['fewer_than_loop']:.0%} fewer than the loop to its final F1"
        line += f"; second looks: {run['second_looks']}" if run.get("second_looks") else ""
        print(line)
        if rule := run.get("rule"):
            print(
                f"{'':24} the rule says 99 % after {rule['decisions']} (estimated {rule['estimated_share']:.4f}, "
                f"truly {rule['true_share']:.4f})"
            )


def segmenter_near(data: Path) -> str:
    name = Path("weights") / "yolov8n-seg_int8.onnx"
    return next((str(p / name) for p in (data.parent, data.parent.parent) if (p / name).is_file()), "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of one folder per identity; synthetic coats if left out")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--threshold", type=float, default=0.5, help="probability of the arm `threshold`")
    parser.add_argument("--limit", type=int, default=300, help="a larger set is sampled by whole identities")
    parser.add_argument("--identities", type=int, default=40, help="synthetic flanks")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.data and "SPOTID_SEGMENTER_WEIGHTS" not in os.environ:
        os.environ["SPOTID_SEGMENTER_WEIGHTS"] = segmenter_near(arguments.data.absolute())
    import cv2
    import django

    django.setup()
    cv2.setNumThreads(1)
    from labelled import sample
    from real_coats import photos_of

    with tempfile.TemporaryDirectory() as scratch:
        drawn, copies = Path(scratch) / "drawn", Path(scratch) / "photos"
        copies.mkdir()
        photos = (
            sample(photos_of(arguments.data), arguments.limit)
            if arguments.data
            else synthetic_photos(drawn, arguments.seed, arguments.identities)
        )
        world = world_of(copies, numbered(photos, copies, arguments.seed))
        found = measured(world, arguments.threshold, arguments.seed)
    report(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
