"""Finding animals, people and vehicles in photos. Each engine takes a frozen config and is loaded once, when made."""

from preprocessing.detection.base import Detector

__all__ = ["Detector"]
