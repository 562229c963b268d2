"""Weights that come with SpotID, learned by us from synthetic coats only, each with its card beside it.

NAME.safetensors holds the tensors, NAME.json the SHA-256 of that file and the fields of its model card. Standard
library only: looking for what there is must not load an engine.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cards import ModelCard
from ..weights import ChecksumError, WeightsError, sha256_of, unreadable

FOLDER = Path(__file__).resolve().parent
DEFAULT = "rootsift-vlad-2"


@dataclass(frozen=True)
class ShippedModel:
    """A weights file, the SHA-256 that it must have, and its card."""

    path: Path
    sha256: str
    card: ModelCard

    def verify(self) -> None:
        """Raise WeightsError when the file is missing or not the one that was shipped."""
        try:
            found = sha256_of(self.path)
        except OSError as error:
            raise unreadable(self.path, error) from error
        if found != self.sha256:
            raise ChecksumError(
                f"the weights {self.path} are not those that were shipped: SHA-256 is {found}, shipped was "
                f"{self.sha256}. Get this version of SpotID anew."
            )


def shipped_model(name: str = DEFAULT, folder: Path = FOLDER) -> ShippedModel:
    """The shipped model of that name. Raises WeightsError for one that is not there or whose card is not readable."""
    try:
        values: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        return ShippedModel(folder / f"{name}.safetensors", values["sha256"], ModelCard.from_dict(values["card"]))
    except OSError as error:
        raise WeightsError(f"no model {name} is shipped: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"the card of the shipped model {name} is not readable: {error}") from error


def write_shipped(folder: Path, card: ModelCard, sha256: str) -> None:
    """Put the card beside the weights NAME.safetensors, which have that SHA-256."""
    text = json.dumps({"sha256": sha256, "card": card.to_dict()}, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / f"{card.name}.json").write_text(text + "\n", encoding="utf-8")
