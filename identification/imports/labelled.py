"""Photos sorted by animal: `Individual/photo.jpg`, where `Asha_left` or `Asha_Right` tells the flank, too.

What a folder's name means, and which folders are no animal's, is `matching.labels`; see
docs/decisions/0013-imported-labels.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import gettext_noop

from ..matching.labels import labels_of_folders, names_of_both_sides, nested_folders
from .folder_walk import name_of, photos_below
from .reading import Issue, Kind, Options, PhotoRecord, Photos, Reading, UnusableFile

YES = ("yes", "y", "1", "true", "on")
NESTED = "The photos of this folder lie in subfolders of several names; it is not taken for one animal."
NO_ANIMAL = "The folder is named unknown or the like, or after a side alone; its photos come without an animal."
LOOSE = "The photo lies in no animal's folder; it comes without one."


def looks_like(path: Path) -> bool:
    """Never: any folder of photos could be one."""
    return False


def read(path: Path, options: Options) -> Reading:
    if not path.is_dir():
        raise UnusableFile("no_folder", "This is no folder or archive with a folder for each animal.")
    found = list(photos_below(path))
    if found and not any("/" in relative for relative, _ in found):
        if not name_of(path):
            raise UnusableFile("no_folders", "The photos lie in no folders: nothing says which animal they show.")
        # An archive of one animal is unpacked as its folder.
        found = [(f"{path.name}/{relative}", file) for relative, file in found]
    if not found:
        raise UnusableFile("no_photos", "There are no photos in it.")
    paths = [relative for relative, _ in found]
    labels = labels_of_folders(paths)
    left_out = {folder.top for folder in nested_folders(paths) if folder.holds_several}
    notes = [f"{len(found)} photos in {len({name.split('/', 1)[0] for name in labels})} folders."]
    if both := names_of_both_sides(labels):
        notes.append(
            f"Both sides of one name are kept apart, unless you say that they are one animal: {', '.join(both[:5])}."
        )

    def photos() -> Iterator[PhotoRecord | Issue]:
        told: set[str] = set()
        for row, (relative, file) in enumerate(found, 1):
            top = relative.split("/", 1)[0] if "/" in relative else ""
            label = next(iter(labels.get(relative, ())), None)
            code, words = (
                ("no_folder", LOOSE)
                if label is None
                else ("several_names", NESTED)
                if top in left_out
                else ("no_animal", NO_ANIMAL)
                if label.says_nothing
                else ("", "")
            )
            if code and (not top or top not in told):
                told.add(top)
                yield Issue(code, words, "", row, (top or relative)[:500])
            yield PhotoRecord(row, relative, file=file, label=None if code else label)

    return Reading(notes=tuple(notes), photos=Photos(photos), source="")


KIND = Kind(
    "labelled",
    gettext_noop("Folders by animal"),
    read,
    looks_like,
    accepts=(".zip",),
    fields=(
        ("crops", gettext_noop("the photos are finished crops of animals, and the survey has no photos yet")),
        ("join_flanks", gettext_noop("a name with left and the same with right are one animal")),
    ),
    help=gettext_noop("A folder for each animal, with its photos: they are taken in, and matched as the folders say."),
    writer="identification.services.imports_identities.write",
    yes=("crops", "join_flanks"),
)
