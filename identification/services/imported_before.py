"""What a detector's file says of photos, looked up while they are ingested, so that no worker is quicker."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ..imports.matching import Parts, ends_alike, parts_of
from ..imports.reading import PhotoRecord, Reading
from .imported import said_of


class Beforehand:
    """Records by the paths of photos; only where a path says it for certain. The import that follows finds the rest."""

    def __init__(self, reading: Reading) -> None:
        self._by_name: dict[str, list[tuple[Parts, PhotoRecord]]] = defaultdict(list)
        for item in reading.photos:
            parts = parts_of(item.path) if isinstance(item, PhotoRecord) else ()
            if parts and isinstance(item, PhotoRecord):
                self._by_name[parts[-1]].append((parts, item))

    def said_of(self, relative_path: str) -> dict[str, Any]:
        """For `Image.imported`; {} where nothing is said."""
        parts = parts_of(relative_path)
        alike = self._by_name.get(parts[-1], []) if parts else []
        exact = [record for own, record in alike if own == parts]
        ending = [record for own, record in alike if min(len(own), len(parts)) > 1 and ends_alike(own, parts)]
        found = exact or ending
        return said_of(found[0], {}) if len(found) == 1 else {}
