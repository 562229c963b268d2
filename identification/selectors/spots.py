"""The matched spots of one pair, for a reviewer who asks to see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext, ngettext

from ..models import Detection, LocalFeatureSet

if TYPE_CHECKING:
    from ..inference.engines import Corners
    from ..inference.spots import MatchedSpot

MOST = 40  # more lines than these hide what they are drawn on


@dataclass(frozen=True)
class PairSpots:
    """spots: the most distinctive of the matched pairs, at most MOST; found: how many there are.

    stored: whether both photos have local features as they are made now. Without, nothing could be compared.
    """

    spots: list[MatchedSpot]
    found: int
    stored: bool

    @property
    def words(self) -> str:
        """What is to be seen, in a sentence."""
        if not self.stored:
            return gettext("No spots are stored for these two photos yet. They are made when the photos are processed.")
        if not self.found:
            return gettext("No spots of these two photos were matched.")
        if self.found > len(self.spots):
            words = ngettext(
                "The %(shown)s most distinctive of %(n)s matched spot.",
                "The %(shown)s most distinctive of %(n)s matched spots.",
                self.found,
            )
        else:
            words = ngettext(
                "%(n)s matched spot, the most distinctive first.",
                "%(n)s matched spots, the most distinctive first.",
                self.found,
            )
        return words % {"shown": len(self.spots), "n": self.found}


def pair_spots(*, first: Detection, second: Detection) -> PairSpots:
    """Verify the pair once more by its stored features. `first` and `second` come with their images."""
    # The web process reaches engines only when it must.
    from ..inference.engines import local_version
    from ..inference.spots import matched_spots

    rows = LocalFeatureSet.objects.filter(detection__in=[first, second], version=local_version())
    data = dict(rows.values_list("detection_id", "data"))
    if first.pk not in data or second.pk not in data:
        return PairSpots([], 0, stored=False)
    spots = matched_spots(bytes(data[first.pk]), bytes(data[second.pk]), _same_camera(first, second))
    return PairSpots(spots[:MOST], len(spots), stored=True)


def _same_camera(first: Detection, second: Detection) -> tuple[Corners, Corners] | None:
    """The boxes, where one camera took both photos at different events: what stays in place is then scenery."""
    a, b = first.image, second.image
    cameras = [(image.station_id, image.camera, image.width, image.height) for image in (a, b)]
    if not (a.station_id and a.event_id and b.event_id) or cameras[0] != cameras[1] or a.event_id == b.event_id:
        return None
    return (first.x1, first.y1, first.x2, first.y2), (second.x1, second.y1, second.x2, second.y2)
