"""Capture time, station and camera from the names that people and tools give to files and folders."""

import re
from dataclasses import dataclass
from datetime import datetime

# Year first, the parts apart: BG-102B-2019-03-01_19-49-36, StationA__2009-04-28__17-48-00(3), 2012-6-14__5-38-10.
_SEPARATED = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<sep>[-_.])(?P<month>\d{1,2})(?P=sep)(?P<day>\d{1,2})"
    r"(?:[ _T-]{1,3})(?P<hour>\d{1,2})(?P<sep2>[-_.:h])(?P<minute>\d{1,2})(?:[-_.:m](?P<second>\d{1,2}))?(?!\d)"
)
# Run together: 20190301_194936, IMG_20190301_194936, 20190301194936.
_COMPACT = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<month>\d\d)(?P<day>\d\d)[_T -]?"
    r"(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)(?!\d)"
)

# DCF folders (100RECNX, 101_BTCF, 100MEDIA: CIPA DC-009), and folders of a memory card, a visit or a day.
_MADE_BY_CAMERA = re.compile(
    r"DCIM|MISC|PRIVATE|JPE?G|[1-9]\d\d[0-9A-Z_]{5}|(?:card|sd|visit|check|retrieval|download)[ _-]?\d+"
    r"|(?:19|20)\d\d([-_.]?)\d\d\1\d\d",
    re.IGNORECASE,
)
_CAMERA = re.compile(r"[A-Z]|(?:cam|camera|kamera)[ _-]?(?:[A-Z]|\d{1,3})", re.IGNORECASE)
_STATION_LABEL = re.compile(r"(?:station|stn|site|location|loc)[ _-]?\w+", re.IGNORECASE)
_STATION_AND_LETTER = re.compile(r"(?P<station>.*\d)[ _-]?(?P<camera>[A-Z])")
_CROP_PREFIX = re.compile(r"\d+_\d+_(?=\D|\d+[A-Z]-)")
_GENERIC = re.compile(
    r"(?:IMG|IMAG|IMAGE|DSC|DSCN|DSCF|DSCI|PICT|PIC|RCNX|SUNP|STC|MFDC|CIMG|PXL|MVI|VID|PHOTO|SCREENSHOT|WP|EK|P|S)?"
    r"[ _-]?\d*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a photo was taken; "" where nothing tells."""

    station: str = ""
    camera: str = ""


def captured_at_from_name(name: str) -> datetime | None:
    """The date and time (without zone) that a file name states, None when it states none or an impossible one.

    A date without a time is not enough: counters look like dates too often.
    """
    match = _time_in(name)
    return None if match is None else match[1]


def compile_station_pattern(text: str) -> re.Pattern[str]:
    """A station pattern from what a person typed.

    Raises ValueError, with a sentence for people, when it is no regular expression or names no `station` group.
    """
    try:
        pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"The station pattern is not a valid regular expression: {error}.") from error
    if "station" not in pattern.groupindex:
        raise ValueError(
            "The station pattern needs a group named station, for example (?P<station>ST\\d+)/(?P<camera>[AB])/."
        )
    return pattern


def placement_from_path(relative_path: str, pattern: re.Pattern[str] | str | None = None) -> Placement:
    """Station and camera of a photo from its path below the ingested folder (with / between the parts).

    With a pattern its groups `station` and `camera` decide alone, searched in the whole path; no match leaves both
    empty. Otherwise, in this order: 1. a name in camtrapR's form (`Station__[Camera__]date__time(n)`) says it itself;
    2. folders, without those that cameras, memory cards and visits make: the last one is the camera when it looks
    like one (`A`, `cam1`, `camera_A`, `CamB`) and a folder above is left to be the station; otherwise the last one is
    the station, split further where the name repeats it with the camera's letter (`102B/BG-102B-2019-…`); 3. the file
    name before its date: `BG-102B-…` is station BG-102, camera B. Raises ValueError for a pattern given as text that
    does not compile.
    """
    if pattern is not None:
        return _from_pattern(relative_path, pattern)
    *folders, name = [part for part in relative_path.split("/") if part not in ("", ".")] or [""]
    named = _from_camtrapr_name(name)
    if named is not None:
        return named
    folders = [folder for folder in folders if not _MADE_BY_CAMERA.fullmatch(folder)]
    named = _from_plain_name(name)
    if not folders:
        return named
    if len(folders) >= 2 and _CAMERA.fullmatch(folders[-1]):
        return Placement(folders[-2], folders[-1])
    if named.camera and _repeats(folders[-1], named):
        return named
    return Placement(folders[-1])


def _from_pattern(relative_path: str, pattern: re.Pattern[str] | str) -> Placement:
    compiled = compile_station_pattern(pattern) if isinstance(pattern, str) else pattern
    match = compiled.search(relative_path)
    if match is None:
        return Placement()
    groups = match.groupdict()
    return Placement((groups.get("station") or "").strip(), (groups.get("camera") or "").strip())


def _from_camtrapr_name(name: str) -> Placement | None:
    """`02__Station12__Camera2__2012-6-14__11-53-34(5)`: parts joined by double underscores, the date among them."""
    found = _time_in(name)
    if found is None or not name[: found[0]].endswith("__"):
        return None
    parts = [part for part in name[: found[0]].split("__") if part]
    if not parts:
        return None
    camera = parts.pop() if len(parts) >= 2 and _CAMERA.fullmatch(parts[-1]) else ""
    labelled = [part for part in parts if _STATION_LABEL.fullmatch(part)]
    return Placement((labelled or parts)[-1], camera)


def _from_plain_name(name: str) -> Placement:
    """`BG-102B-2019-03-01_19-49-36`: what stands before the date, a final capital being the camera."""
    found = _time_in(name)
    if found is None:
        return Placement()
    before = _CROP_PREFIX.sub("", name[: found[0]], count=1) if _CROP_PREFIX.match(name) else name[: found[0]]
    before = before.strip(" _-.")
    if not before or _GENERIC.fullmatch(before):
        return Placement()
    match = _STATION_AND_LETTER.fullmatch(before)
    if match is not None:
        return Placement(match["station"].rstrip(" _-"), match["camera"])
    return Placement("", before) if _CAMERA.fullmatch(before) else Placement(before)


def _repeats(folder: str, named: Placement) -> bool:
    """Whether a folder is the station of the name, or station and camera in one word."""
    plain = re.sub(r"[ _-]", "", folder).casefold()
    station = re.sub(r"[ _-]", "", named.station).casefold()
    return (bool(plain) and (station + named.camera.casefold()).endswith(plain)) or plain == station


def _time_in(name: str) -> tuple[int, datetime] | None:
    """Position and value of the first valid date with time in a name."""
    for expression in (_SEPARATED, _COMPACT):
        for match in expression.finditer(name):
            parts = match.groupdict()
            numbers = [int(parts[key] or 0) for key in ("year", "month", "day", "hour", "minute", "second")]
            try:
                return match.start(), datetime(*numbers)  # type: ignore[arg-type]
            except ValueError:
                continue
    return None
