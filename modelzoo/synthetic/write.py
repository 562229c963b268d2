"""A rendered survey on disk: JPEG files with EXIF, and the truth table beside their folder."""

from __future__ import annotations

import csv
import hashlib
import io
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import cv2
from PIL import Image

from modelzoo.synthetic.plan import PlannedPhoto, SurveyPlan, plan_survey
from modelzoo.synthetic.render import RenderedPhoto, render_photo

GENERATOR_VERSION = 7  # raise when pixels change, so that files of an older generator are drawn again
COLUMNS = (
    "file", "individual", "flank", "x1", "y1", "x2", "y2", "station", "camera", "captured_at", "infrared",
    "visible_fraction", "event",
)  # fmt: skip
MAKE, MODEL = "SpotID", "Synthetic camera"
_EXIF_IFD, _MAKE, _MODEL, _SOFTWARE, _DATE_TIME = 0x8769, 0x010F, 0x0110, 0x0131, 0x0132
_ORIGINAL, _UNIQUE = 0x9003, 0xA420

Progress = Callable[[int, int, str], None]


def fingerprint(config: SurveyPlan, planned: PlannedPhoto) -> str:
    """32 hexadecimal digits that change with anything that a photo's pixels depend on (kept as EXIF ImageUniqueID)."""
    parts = (GENERATOR_VERSION, config.seed, config.width, config.height, config.quality, planned)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def encode_photo(config: SurveyPlan, rendered: RenderedPhoto) -> bytes:
    """The JPEG file of a photo with make, model, capture time and fingerprint in its EXIF; no place."""
    planned = rendered.planned
    exif = Image.Exif()
    moment = f"{planned.captured_at:%Y:%m:%d %H:%M:%S}"
    exif[_MAKE], exif[_MODEL], exif[_SOFTWARE], exif[_DATE_TIME] = MAKE, MODEL, f"SpotID {GENERATOR_VERSION}", moment
    exif.get_ifd(_EXIF_IFD)[_ORIGINAL] = moment
    exif.get_ifd(_EXIF_IFD)[_UNIQUE] = fingerprint(config, planned)
    buffer = io.BytesIO()
    Image.fromarray(rendered.pixels).save(buffer, "JPEG", quality=config.quality, exif=exif)
    return buffer.getvalue()


def truth_row(rendered: RenderedPhoto) -> dict[str, str]:
    """One row of the truth table; box and names are empty where no animal is visible in the photo."""
    planned = rendered.planned
    seen = rendered.box is not None
    box = [f"{value:.0f}" for value in rendered.box] if rendered.box is not None else [""] * 4
    values = (
        planned.file, planned.individual_name if seen else "", (planned.flank or "") if seen else "", *box,
        planned.station, planned.camera, planned.captured_at.isoformat(), "1" if planned.infrared else "0",
        f"{rendered.visible_fraction:.3f}", str(planned.event),
    )  # fmt: skip
    return dict(zip(COLUMNS, values))


def _replace(path: Path, content: bytes) -> None:
    """Write beside and rename: a reader finds the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    beside.write_bytes(content)
    beside.replace(path)


def _is_written(path: Path, mark: str) -> bool:
    """Whether the file carries this fingerprint (files appear whole, so its header is enough)."""
    try:
        with Image.open(path, formats=("JPEG",)) as image:
            return bool(image.getexif().get_ifd(_EXIF_IFD).get(_UNIQUE) == mark)
    except (OSError, SyntaxError):
        return False


def _read_truth(path: Path) -> dict[str, dict[str, str]]:
    """Rows of an earlier truth table by file; none if it is missing or of another form."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            return {}
        return {row["file"]: row for row in reader}


def _same_plan(row: dict[str, str], planned: PlannedPhoto) -> bool:
    """Whether a row of an earlier table speaks of the same photo."""
    names = {planned.individual_name, ""}
    known = (row["station"], row["camera"], row["captured_at"], row["event"])
    wanted = (planned.station, planned.camera, planned.captured_at.isoformat(), str(planned.event))
    return known == wanted and row["individual"] in names


def _each(config: SurveyPlan, root: Path, group: list[PlannedPhoto]) -> Iterator[dict[str, str]]:
    """Render and write photos, yielding the truth row of each."""
    for planned in group:
        rendered = render_photo(config, planned)
        _replace(root / planned.file, encode_photo(config, rendered))
        yield truth_row(rendered)


def _write_group(config: SurveyPlan, root: Path, group: list[PlannedPhoto]) -> list[dict[str, str]]:
    return list(_each(config, root, group))


def _start_worker() -> None:
    """One OpenCV thread per process, and an end with the parent, even if that is killed."""
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _groups(todo: list[PlannedPhoto]) -> list[list[PlannedPhoto]]:
    """Photos by camera, so that a worker paints each background once; no group above 12 photos."""
    cameras: dict[tuple[str, str], list[PlannedPhoto]] = {}
    for planned in todo:
        cameras.setdefault((planned.station, planned.camera), []).append(planned)
    return [photos[i : i + 12] for photos in cameras.values() for i in range(0, len(photos), 12)]


def _render_all(
    config: SurveyPlan, root: Path, todo: list[PlannedPhoto], workers: int
) -> Iterator[list[dict[str, str]]]:
    """Truth rows of the photos as they are written, a few at a time."""
    groups = _groups(todo)
    if workers <= 1 or len(groups) <= 1:
        for group in groups:
            for row in _each(config, root, group):
                yield [row]
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(groups)), mp_context=context, initializer=_start_worker) as pool:
        futures = [pool.submit(_write_group, config, root, group) for group in groups]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _write_truth(table: Path, plan: list[PlannedPhoto], rows: dict[str, dict[str, str]]) -> None:
    """The rows known so far in the order of the plan."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[planned.file] for planned in plan if planned.file in rows)
    _replace(table, stream.getvalue().encode())


def write_survey(
    config: SurveyPlan,
    root: Path,
    progress: Progress | None = None,
    workers: int | None = None,
    truth: Path | None = None,
) -> Path:
    """Render a survey below `root` (`ST01/A/IMG_0001.JPG` …) and write its truth table; returns the table's path.

    truth: where the table goes, by default `truth.csv` in the folder that holds `root`. Photos that are already there
    whole and drawn from the same plan are kept, so a second run takes seconds, and so does one after an interruption.
    workers: processes (1, or a daemonic caller, renders here; None takes the processors). Worker processes are spawned:
    a script that asks for several needs the usual `if __name__ == "__main__"`. Files are replaced atomically; nothing
    is deleted.
    """
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    table = truth if truth is not None else root.parent / "truth.csv"
    plan = plan_survey(config)
    earlier = _read_truth(table)
    rows = {
        planned.file: earlier[planned.file]
        for planned in plan
        if planned.file in earlier
        and _same_plan(earlier[planned.file], planned)
        and _is_written(root / planned.file, fingerprint(config, planned))
    }
    todo = [planned for planned in plan if planned.file not in rows]
    if multiprocessing.current_process().daemon:
        workers = 1
    unsaved = 0
    for fresh in _render_all(config, root, todo, workers if workers is not None else os.cpu_count() or 1):
        rows.update({row["file"]: row for row in fresh})
        unsaved += len(fresh)
        if unsaved >= 10:  # an interrupted run goes on from here
            _write_truth(table, plan, rows)
            unsaved = 0
        if progress is not None:
            progress(len(rows), len(plan), fresh[-1]["file"])
    _write_truth(table, plan, rows)
    return table
