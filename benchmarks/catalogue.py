"""Growing synthetic catalogues in PostgreSQL: is the right animal still first, and what do a query and memory cost?

Used by identification.py. Every animal has both flanks with VIEWS views each; a catalogue of n detections is the first
n of them, so that a larger one holds the smaller. Rendering is what takes long: features are kept in the work folder.
Queries are photos of the catalogue itself, which are asked for among all others as a matching run does it: votes of the
inverted file, nearest by pgvector, verification, links through a third photo left out.
"""

import hashlib
import resource
import time
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from identification.inference import engines
from identification.inference.comparison import CoatSet
from identification.models import Detection, Embedding, Image, LocalFeatureSet, Population, Survey
from identification.selectors.nearest import nearest_detections
from identification.services.coats import load_coats
from identification.services.matching_run import SHORTLIST
from modelzoo.local import LocalConfig, extract, from_bytes, to_bytes
from modelzoo.shipped import shipped_model
from modelzoo.synthetic.crops import coats_of, make_crop
from modelzoo.vlad import VladConfig, aggregate, read_weights

SEED = 4026
VIEWS = 10
FLANKS = ("left", "right")
PER_ANIMAL = VIEWS * len(FLANKS)
SIZE = (384, 192)
# Texels per torso length: as fine as crops of that size show a coat.
RESOLUTION = 160
QUERIES = 60


def render(task: tuple[Path, int]) -> None:
    """Features of all views of one animal, as they are stored."""
    folder, animal = task
    file = folder / f"{animal:05d}.npz"
    if file.is_file():
        return
    config, coats = LocalConfig(), coats_of(SEED, animal, RESOLUTION)
    stored = []
    for flank in FLANKS:
        for view in range(VIEWS):
            crop = make_crop(SEED, animal, flank, view, SIZE, coats)
            stored.append(to_bytes(extract(crop.rgb, crop.mask.astype(np.uint8) * 255, config)))
    partial = file.with_suffix(".partial")
    with partial.open("wb") as stream:
        np.savez(stream, *[np.frombuffer(data, np.uint8) for data in stored])
    partial.replace(file)


def stored_features(size: int, work: Path) -> Iterator[tuple[str, bytes]]:
    """(animal and flank, stored features) of the first `size` detections."""
    folder = work / f"catalogue-{SIZE[0]}-{RESOLUTION}-{LocalConfig().version}"
    folder.mkdir(parents=True, exist_ok=True)
    animals = -(-size // PER_ANIMAL)
    missing = [(folder, animal) for animal in range(animals) if not (folder / f"{animal:05d}.npz").is_file()]
    if missing:
        with Pool(2) as pool:
            for done, _ in enumerate(pool.imap_unordered(render, missing), 1):
                if done % 25 == 0:
                    print(f"rendered {done} of {len(missing)} animals", flush=True)
    for number in range(size):
        animal, place = divmod(number, PER_ANIMAL)
        with np.load(folder / f"{animal:05d}.npz") as arrays:
            yield f"{animal} {FLANKS[place // VIEWS]}", arrays[f"arr_{place}"].tobytes()


def fill(size: int, work: Path) -> tuple[Population, list[str]]:
    """A population with that many detections, features and vectors, and whom they show, in order of their ids."""
    population = Population.objects.create(name=f"Catalogue of {size}")
    survey = Survey.objects.create(population=population, name=f"Catalogue of {size}")
    model = engines.ensure_model()
    engines.drop_vector_index(model)
    shipped = shipped_model()
    config = VladConfig.from_dict(shipped.card.config)
    weights = read_weights(shipped.path, shipped.sha256, config)
    labels: list[str] = []
    batch: list[tuple[str, bytes]] = []
    for item in stored_features(size, work):
        batch.append(item)
        labels.append(item[0])
        if len(batch) == 250 or len(labels) == size:
            _insert(survey, batch, len(labels) - len(batch), lambda data: aggregate(from_bytes(data), config, weights))
            batch = []
    engines.create_vector_index(model)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return population, labels


def _insert(survey: Survey, batch: list[tuple[str, bytes]], first: int, vector_of: Any) -> None:
    model = engines.ensure_model()
    images = Image.objects.bulk_create(
        Image(
            survey=survey,
            sha256=hashlib.sha256(f"{survey.pk} {first + i}".encode()).hexdigest(),
            relative_path=f"{first + i}.jpg",
            source_path="",
            size_bytes=1,
            mtime_ns=0,
            width=SIZE[0],
            height=SIZE[1],
        )
        for i in range(len(batch))
    )
    boxes = Detection.objects.bulk_create(
        Detection(image=image, engine="synthetic", x1=0, y1=0, x2=SIZE[0], y2=SIZE[1]) for image in images
    )
    version = engines.local_version()
    LocalFeatureSet.objects.bulk_create(
        LocalFeatureSet(detection=box, version=version, count=len(from_bytes(data)), data=data)
        for box, (_, data) in zip(boxes, batch, strict=True)
    )
    vectors = [(box, vector_of(data)) for box, (_, data) in zip(boxes, batch, strict=True)]
    Embedding.objects.bulk_create(
        Embedding(detection=box, model=model, vector=vector) for box, vector in vectors if vector is not None
    )


def measure(size: int, work: Path) -> dict[str, Any]:
    """T1 of each way, milliseconds of each step of a query, and memory. size: detections of the catalogue."""
    population, labels = fill(size, work)
    before = _resident()
    sides, coats = load_coats(population)
    began = time.perf_counter()
    coats.votes(0)
    built = time.perf_counter() - began
    names = np.array(labels)
    position = {side.detection: index for index, side in enumerate(sides)}
    queries = np.linspace(0, size - 1, min(QUERIES, size)).round().astype(int).tolist()
    took = {"vectors": 0.0, "votes": 0.0, "reading": 0.0, "verification": 0.0}
    right = {"embedding": 0, "votes": 0, "combined": 0}
    found = 0
    for query in queries:
        near, chosen, scores = _ask(coats, query, population, position, sides[query].detection, took)
        right["embedding"] += bool(near) and names[near[0]] == names[query]
        right["votes"] += bool(chosen) and names[chosen[0]] == names[query]
        best = chosen[int(np.argmax(scores))] if chosen else query
        right["combined"] += best != query and names[best] == names[query]
        found += any(names[j] == names[query] for j in chosen)
    result = {
        "detections": size,
        "queries": len(queries),
        "t1": {name: count / len(queries) for name, count in right.items()},
        "shortlist_holds_a_right_one": found / len(queries),
        "milliseconds": {name: 1000 * seconds / len(queries) for name, seconds in took.items()},
        "seconds_per_query": sum(took.values()) / len(queries),
        "index_seconds": built,
        "memory_mb": (_resident() - before) / 2**20,
        "database_mb": _database_size() / 2**20,
    }
    steps = ", ".join(f"{name} {value:.0f}" for name, value in result["milliseconds"].items())
    print(
        f"{size} detections: T1 combined {result['t1']['combined']:.3f}, embedding {result['t1']['embedding']:.3f}; "
        f"{1000 * result['seconds_per_query']:.0f} ms a query ({steps}); memory {result['memory_mb']:.0f} MB, "
        f"index made in {built:.1f} s",
        flush=True,
    )
    Survey.objects.filter(population=population).delete()
    return result


def _ask(
    coats: CoatSet, query: int, population: Population, position: dict[int, int], detection: int, took: dict[str, float]
) -> tuple[list[int], list[int], NDArray[np.float64]]:
    """One query as a matching run asks it: nearest by vectors, what was chosen of votes and vectors, and its scores."""
    began = time.perf_counter()
    rows = nearest_detections(model=engines.ensure_model(), population=population, anchors=[detection], count=SHORTLIST)
    near = [position[other] for other in rows.get(detection, [])]
    took["vectors"] += time.perf_counter() - began
    began = time.perf_counter()
    chosen = coats.shortlist(query, SHORTLIST, near)
    took["votes"] += time.perf_counter() - began
    began = time.perf_counter()
    coats.prefetch([query, *chosen])
    took["reading"] += time.perf_counter() - began
    began = time.perf_counter()
    scores = np.array([coats.compare(query, j).score for j in chosen])
    took["verification"] += time.perf_counter() - began
    return near, chosen, scores


def _resident() -> int:
    """Largest resident memory of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _database_size() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])
