"""Folders and tags as camtrapR wants them: `Station/Camera`, `Station/Species`, `Species/Station`,
`Species/Station/Individual` and the like, and species and individuals in the tags that digiKam writes into photos.

What a level of folders means is found out from its names, or said in the option `layout`, for instance
`species/station/individual`; `-` is a level without a meaning. Tags are read where they are (`Species|Leopard`,
`individual|2` in the photo's XMP) and count more than folders.
"""

from __future__ import annotations

import html
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.utils.translation import gettext_noop

from .reading import Issue, Kind, Options, PhotoRecord, Photos, Reading, UnusableFile
from .taxonomy import taxon_of

STATION, CAMERA, SPECIES, INDIVIDUAL, NOTHING = "station", "camera", "species", "individual", "-"
LEVELS = (STATION, CAMERA, SPECIES, INDIVIDUAL, NOTHING)
_CAMERA_NAME = re.compile(r"[A-Z]|(?:cam|camera|kamera|ct)[ _-]?(?:[A-Z]|\d{1,3})", re.IGNORECASE)
_STATION_NAME = re.compile(r"(?:station|stn|site|location|loc|trap|grid|cell|ct)[ _-]?\w+|.*\d.*", re.IGNORECASE)
# Of folders that people make for what they do not know.
_NO_NAME = re.compile(r"un(?:id|ident\w*|known|sorted)?|nn|na|blank|empty", re.IGNORECASE)
_TAGS = re.compile(rb"<rdf:li[^>]*>([^<]{1,400})</rdf:li>")
_XMP_WITHIN = 1 << 20
# Of names on one level, so that a stray folder does not decide.
_MOST = 0.8


@dataclass(frozen=True)
class Layout:
    """What each level of folders means, from the root down. sure: whether its names say it themselves."""

    levels: tuple[str, ...]
    sure: bool = True

    @property
    def text(self) -> str:
        return "/".join(self.levels)

    @property
    def pattern(self) -> str:
        """The station pattern of a survey with such folders; "" where none names a station."""
        if STATION not in self.levels:
            return ""
        last = max(self.levels.index(name) for name in (STATION, CAMERA) if name in self.levels)
        parts = [f"(?P<{name}>[^/]+)" if name in (STATION, CAMERA) else "[^/]+" for name in self.levels[: last + 1]]
        return "^" + "/".join(parts) + "/"

    def named(self, path: str, level: str) -> str:
        """The folder of that level in a photo's path, "" where there is none."""
        folders = path.split("/")[:-1]
        if level not in self.levels or self.levels.index(level) >= len(folders):
            return ""
        return folders[self.levels.index(level)].strip()


def layout_of(paths: Iterable[str]) -> Layout | None:
    """What the folders of photos mean, by most of the photos; None for photos that lie in no folder."""
    folders = [tuple(path.split("/")[:-1]) for path in paths]
    depths = Counter(len(parts) for parts in folders if parts)
    if not depths:
        return None
    depth = depths.most_common(1)[0][0]
    names = [{parts[level] for parts in folders if len(parts) == depth} for level in range(depth)]
    return _by_names(names[-3:], depth)


def _by_names(names: Sequence[set[str]], depth: int) -> Layout:
    above = (NOTHING,) * (depth - len(names))
    cameras = [_share(level, _CAMERA_NAME) >= _MOST for level in names]
    stations = [_share(level, _STATION_NAME) >= _MOST for level in names]
    if len(names) == 1:
        return Layout((STATION,), sure=stations[0])
    if len(names) == 2:
        if cameras[1]:
            return Layout((*above, STATION, CAMERA))
        if stations[0] and not stations[1]:
            return Layout((*above, STATION, SPECIES))
        if stations[1] and not stations[0]:
            return Layout((*above, SPECIES, STATION))
        return Layout((*above, NOTHING, STATION), sure=False)
    if cameras[2]:
        return Layout((*above, NOTHING if stations[0] else SPECIES, STATION, CAMERA), sure=stations[1])
    if cameras[1]:
        return Layout((*above, STATION, CAMERA, SPECIES), sure=stations[0])
    if stations[1] and not stations[0]:
        return Layout((*above, SPECIES, STATION, INDIVIDUAL))
    if stations[0] and not stations[1]:
        return Layout((*above, STATION, SPECIES, INDIVIDUAL))
    return Layout((*above, NOTHING, NOTHING, STATION), sure=False)


def _share(names: set[str], expression: re.Pattern[str]) -> float:
    return sum(bool(expression.fullmatch(name)) for name in names) / len(names)


def layout_said(text: str) -> Layout:
    """A layout as somebody wrote it. Raises UnusableFile."""
    levels = tuple(part.strip().casefold() for part in text.strip("/ ").split("/"))
    twice = {name for name in levels if name != NOTHING and levels.count(name) > 1}
    if not levels or set(levels) - set(LEVELS) or twice:
        raise UnusableFile(
            "bad_layout",
            "The layout of folders is written as levels from the top down, for instance species/station/individual.",
        )
    return Layout(levels)


def tags_of(path: Path) -> dict[str, list[str]]:
    """Tags in a photo's XMP by their group in small letters (`species`, `individual`), as digiKam and Lightroom write
    them; {} where there are none. Raises OSError."""
    with path.open("rb") as handle:
        data = handle.read(_XMP_WITHIN)
    begin = data.find(b"<x:xmpmeta")
    end = data.find(b"</x:xmpmeta>", begin)
    found: dict[str, list[str]] = defaultdict(list)
    if begin < 0 or end < 0:
        return {}
    for raw in _TAGS.findall(data[begin:end]):
        text = html.unescape(raw.decode("utf-8", "replace"))
        group, divider, value = text.partition("|") if "|" in text else text.partition("/")
        value = value.replace("|", "/").rpartition("/")[2].strip()
        if divider and value and value.isprintable() and value not in found[group.strip().casefold()]:
            found[group.strip().casefold()].append(value)
    return dict(found)


def looks_like(path: Path) -> bool:
    """Never: this reads the survey's own photos."""
    return False


def read(path: Path, options: Options) -> Reading:
    """`path` is not used; the photos are `options.photos`."""
    said = options.values.get("layout", "")
    layout = layout_said(said) if said else layout_of(relative for relative, _ in options.photos)
    if layout is None:
        layout = Layout((), sure=False)
    notes = [f"Folders are read as {layout.text or 'nothing'}."]
    if not layout.sure and not said:
        notes.append("Their names leave it open: say the layout if it is another.")
    items = list(_items(layout, options))
    counts = Counter(item.individual for item in items if isinstance(item, PhotoRecord) and item.individual)
    if counts:
        notes.append(f"{len(counts)} individuals are named on {sum(counts.values())} photos.")
    return Reading(notes=tuple(notes), photos=Photos(lambda: iter(items)), extra=layout)


def _items(layout: Layout, options: Options) -> Iterator[PhotoRecord | Issue]:
    found: list[tuple[int, str, str, str]] = []
    shared: dict[str, set[str]] = defaultdict(set)
    for row, (relative, source) in enumerate(options.photos, 1):
        try:
            tags = tags_of(source)
        except OSError:
            yield Issue("unreadable", "The photo cannot be read for its tags; its folders are used.", "", row, relative)
            tags = {}
        species = taxon_of(_one(tags, "species") or _folder(layout, relative, SPECIES))
        individual = _one(tags, "individual") or _folder(layout, relative, INDIVIDUAL)
        if len(tags.get("species", ())) > 1 or len(tags.get("individual", ())) > 1:
            words = "Several tags name species or individuals, and nothing says which is which."
            yield Issue("several_tags", words, "", row, relative)
        if individual:
            shared[individual].add(species.species)
        found.append((row, relative, species.species, individual))
        if species.blank or species.person:
            yield PhotoRecord(row, relative, looked=species.blank, engine="camtrapR", people=species.person)
            found.pop()
    for row, relative, name, individual in found:
        # Individuals are counted by species: 2 of the one is not 2 of the other.
        label = f"{name} {individual}".strip() if len(shared[individual]) > 1 else individual
        if name or individual:
            yield PhotoRecord(row, relative, species=name, individual=label if individual else "")


def _one(tags: dict[str, list[str]], group: str) -> str:
    said = tags.get(group, [])
    return said[0] if len(said) == 1 else ""


def _folder(layout: Layout, relative: str, level: str) -> str:
    name = layout.named(relative, level)
    return "" if _NO_NAME.fullmatch(name) else name


KIND = Kind(
    "camtrapr",
    gettext_noop("camtrapR folders and tags"),
    read,
    looks_like,
    fields=(("layout", gettext_noop("folders from the top down, such as species/station/individual")),),
    help=gettext_noop("Stations, cameras, species and individuals from folders, and from the tags of digiKam."),
    writer="identification.services.imports_camtrapr.write",
    of_photos=True,
)
