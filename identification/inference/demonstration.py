"""The synthetic survey: the door to `modelzoo.synthetic`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def render_survey(
    root: Path,
    *,
    photos: int,
    individuals: int,
    stations: int,
    seed: int,
    progress: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Render a survey below the folder (what is there stays); returns the table of the truth, beside the folder."""
    from modelzoo.synthetic import SurveyPlan, write_survey

    plan = SurveyPlan(seed=seed, individuals=individuals, stations=stations, photos=photos)
    return write_survey(plan, root, progress=progress)
