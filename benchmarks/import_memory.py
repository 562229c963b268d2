"""How much memory reading a Camtrap DP package takes, with three observations of each photo.

    python3 spotid.py bench import_memory [--photos 100000]

The package is generated; all its records and issues are read once. Reported are the most memory that the process had
before, and at any time (`ru_maxrss`), and processor seconds. Nothing is stored.
"""

import argparse
import csv
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "spotid_site.settings")

MEDIA = ("mediaID", "deploymentID", "timestamp", "filePath", "filePublic", "fileName", "fileMediatype")
OBSERVATIONS = (
    *("observationID", "deploymentID", "mediaID", "eventID", "observationLevel", "observationType", "scientificName"),
    *("individualID", "bboxX", "bboxY", "bboxWidth", "bboxHeight", "classificationMethod", "classificationProbability"),
)


def table(folder: Path, name: str, heading: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    with (folder / f"{name}.csv").open("w", newline="") as out:
        csv.writer(out).writerows([heading])
        csv.writer(out).writerows(rows)


def package(folder: Path, photos: int) -> None:
    began = "2024-01-01T00:00:00Z"
    names = ("deployments", "media", "observations")
    table(folder, "deployments", ("deploymentID", "deploymentStart", "deploymentEnd"), [("d", began, "")])
    table(
        folder,
        "media",
        MEDIA,
        (
            (f"5b1c2f3e-{n:08d}", "d", began, f"m/d{n % 50}/{n}.jpg", "true", f"{n}.jpg", "image/jpeg")
            for n in range(photos)
        ),
    )
    # Observations of one photo lie far apart.
    seen = ((n, f"5b1c2f3e-{n % photos:08d}", "Axis axis" if n % 5 else "Panthera pardus") for n in range(3 * photos))
    rest = ("0.1", "0.2", "0.3", "machine", "0.9")
    table(
        folder,
        "observations",
        OBSERVATIONS,
        ((f"o{n}", "d", m, f"e{n // 3}", "media", "animal", s, "", f"{n % 7 / 10}", *rest) for n, m, s in seen),
    )
    resources = [{"name": name, "path": f"{name}.csv"} for name in names]
    about = {"profile": "camtrap-dp", "version": "1.0", "resources": resources}
    (folder / "datapackage.json").write_text(json.dumps(about))


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=100_000)
    photos = parser.parse_args().photos
    import django

    django.setup()
    from identification.imports import camtrapdp
    from identification.imports.reading import Options

    with tempfile.TemporaryDirectory() as place:
        package(Path(place), photos)
        before, began = megabytes(), time.process_time()
        reading = camtrapdp.read(Path(place), Options())
        records, issues = sum(1 for _ in reading.photos), sum(1 for _ in reading.issues)
    print(
        f"{records} records, {issues} issues of {3 * photos} observations: {before:.0f} MB before, "
        f"{megabytes():.0f} MB at most, {time.process_time() - began:.1f} s of processor"
    )


if __name__ == "__main__":
    main()
