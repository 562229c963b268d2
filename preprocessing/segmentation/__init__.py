"""Telling the animal from its background. Each engine takes a frozen config and is loaded once, when made."""

from preprocessing.segmentation.base import Segmenter

__all__ = ["Segmenter"]
