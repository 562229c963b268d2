"""Where a reviewer is in a survey, as it is stored."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..models import ReviewPosition, Survey, User
from ..prepared import Given, Prepared

_POSITION = Prepared(
    lambda: ReviewPosition.objects.filter(user=Given("user"), survey=Given("survey")).values_list(
        "mode", "focus", "put_off"
    )
)


class Position(NamedTuple):
    """The order of review with the part of the survey that it names, and pairs that were put off, the last one last."""

    mode: str
    focus: dict[str, Any]
    put_off: list[tuple[int, int]]


def position_read(*, user: User, survey: Survey) -> Position | None:
    """None for who has not been there yet."""
    for mode, focus, put_off in _POSITION(user=user.pk, survey=survey.pk):
        return Position(mode, focus, [(int(a), int(b)) for a, b in put_off or ()])
    return None
