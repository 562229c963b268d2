"""What services refuse, in words that a page can show."""


class SpotIDError(Exception):
    """Base of everything that is refused with a message for people."""


class StaleEdge(SpotIDError):
    """Somebody else decided this pair in the meantime. `verdict` and `version` are the present state."""

    def __init__(self, message: str, *, verdict: str, version: int) -> None:
        super().__init__(message)
        self.verdict = verdict
        self.version = version


class Contradiction(SpotIDError):
    """The decision contradicts earlier ones. `pairs` are the detections (a, b) it collides with."""

    def __init__(self, message: str, *, pairs: list[tuple[int, int]]) -> None:
        super().__init__(message)
        self.pairs = pairs


class Incomparable(SpotIDError):
    """The two detections can never be compared: one photo, two populations, or two different flanks."""


class UndoRefused(SpotIDError):
    """There is nothing to undo, or it is not this person's to undo."""


class KeyTaken(SpotIDError):
    """A decision of other content was recorded under this key already."""
