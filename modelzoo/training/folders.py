"""Training photos from a folder of identity folders, as the original SpotID and the benchmarks take them."""

from __future__ import annotations

import re
from pathlib import Path

from modelzoo.training.config import TrainConfig
from modelzoo.training.data import TrainingPhoto
from modelzoo.training.splits import Split, split_individuals

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
_FLANK = re.compile(r"^(?P<individual>.+)[_ -](?P<flank>left|right)$", re.IGNORECASE)


def flank_of(name: str) -> tuple[str, str]:
    """(individual, flank) of an identity folder: `BGL09_Right` is BGL09's right flank; else the flank is unknown."""
    found = _FLANK.match(name)
    return (found["individual"], found["flank"].lower()) if found else (name, "unknown")


def photos_from_folders(crops: Path, edges: Path | None = None, masks: Path | None = None) -> list[TrainingPhoto]:
    """Every picture of crops/IDENTITY/, sorted; its edge map and mask are the files of the same identity and stem.

    Key: the path below `crops`. A photo without an edge map or mask has None there. Names that begin with a dot are
    passed over. Raises NotADirectoryError when a folder given is none.
    """
    for folder in (crops, edges, masks):
        if folder is not None and not folder.is_dir():
            raise NotADirectoryError(f"{folder} is no folder")
    photos = []
    for folder in sorted(p for p in crops.iterdir() if p.is_dir() and not p.name.startswith(".")):
        individual, flank = flank_of(folder.name)
        beside = [_by_stem(root / folder.name) if root is not None else {} for root in (edges, masks)]
        for path in _pictures(folder):
            photos.append(
                TrainingPhoto(
                    key=path.relative_to(crops).as_posix(),
                    identity=folder.name,
                    individual=individual,
                    crop=path,
                    edges=beside[0].get(path.stem),
                    mask=beside[1].get(path.stem),
                    flank=flank,
                )
            )
    return photos


def split_of_folders(config: TrainConfig) -> Split:
    """The photos of the folders that the settings name, by part.

    Without a test_data_dir all three parts come from train_data_dir; with one it is the test set, as in the original,
    and train_data_dir is divided between training and validation. Raises ValueError without a train_data_dir and when
    an animal is in both folders, and what :func:`photos_from_folders` and :func:`split_individuals` raise.
    """
    if not config.train_data_dir:
        raise ValueError("train_data_dir: the folder of identity folders to train from is needed")
    photos = photos_from_folders(Path(config.train_data_dir), _folder(config.train_edges_dir))
    if not config.test_data_dir:
        return split_individuals(photos, config.seed, config.shares())
    test = photos_from_folders(Path(config.test_data_dir), _folder(config.test_edges_dir))
    shared = sorted({p.individual for p in photos} & {p.individual for p in test})
    if shared:
        raise ValueError(f"train_data_dir and test_data_dir both have {', '.join(shared)}")
    both = config.train_share + config.validation_share
    split = split_individuals(photos, config.seed, (config.train_share / both, config.validation_share / both, 0.0))
    return Split(split.train, split.validation, tuple(test))


def _folder(name: str) -> Path | None:
    return Path(name) if name else None


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def _by_stem(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in _pictures(folder)} if folder.is_dir() else {}
