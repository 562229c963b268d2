"""A run that trains in a second: spotted pictures of a few animals, and a network of timm made for tests."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import cv2
import numpy as np

from modelzoo.training.config import TrainConfig
from modelzoo.training.data import TrainingPhoto
from modelzoo.training.trainer import train


def tiny_config(**changes) -> TrainConfig:
    settings = {
        "backbone": "test_efficientnet",
        "width": 64,
        "height": 32,
        "dimension": 16,
        "epochs": 3,
        "batch_size": 8,
        "precision": "float32",
        "checkpoint_steps": 2,
        "seed": 7,
    }
    return TrainConfig(**(settings | changes))


def tiny_photos(folder: Path, first: int, animals: int, views: int = 4) -> list[TrainingPhoto]:
    """Each animal has its own spots, shifted a little in each view; drawn unless they are there."""
    photos = []
    for animal in range(first, first + animals):
        spots = np.random.default_rng(animal).integers((4, 4), (76, 36), (12, 2))
        for view in range(views):
            path = folder / f"{animal}" / f"{view}.png"
            edges = path.with_name(f"{view}-edges.png")
            if not edges.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                shift = np.random.default_rng([animal, view]).integers(-2, 3, 2)
                picture = np.full((40, 80), 180, np.uint8)
                for x, y in (spots + shift).tolist():
                    cv2.circle(picture, (x, y), 3, 20, -1)
                path.write_bytes(cv2.imencode(".png", np.repeat(picture[..., None], 3, 2))[1].tobytes())
                edges.write_bytes(cv2.imencode(".png", np.where(picture < 100, 255, 0).astype(np.uint8))[1].tobytes())
            photos.append(TrainingPhoto(f"{animal}/{view}", f"{animal}_left", f"{animal}", path, edges, flank="left"))
    return photos


def tiny_train(folder: Path, name: str, config: TrainConfig | None = None, **more):
    """Six animals to train on, three to validate with."""
    train_photos, validation = tiny_photos(folder / "photos", 0, 6), tiny_photos(folder / "photos", 100, 3)
    return train(train_photos, validation, config or tiny_config(), folder / name, threads=1, **more)


def file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    tiny_train(Path(sys.argv[1]), sys.argv[2])
