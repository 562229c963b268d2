"""What the first SpotID, the desktop program, leaves behind: a folder of embeddings and the database of its matches.

- `image_filenames.txt`: the paths of the crops, one a line; the row of the line is the index that everything goes by
- `binary_image_filenames.txt`: their edge maps, which are drawn anew here
- `embeddings.npy`: float array, crops × dimensions
- the database, JSON: `{"graph": node-link data of networkx, "last_processed_index": index}`. A node is the path of a
  crop; an edge says that somebody pressed *Match* on the two. *Not a match* was never kept, and `leopard_N` was counted
  anew at every export, so there are neither refusals nor names. The index is that of the last photo that was an anchor.

Its crops are called `0_1_NAME`: category and number of the box, then the name of the photo.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.utils.translation import gettext_noop

from .folder_walk import is_photo
from .reading import Issue, Kind, Options, PhotoRecord, Photos, Reading, UnusableFile

NAMES, BINARY, VECTORS = "image_filenames.txt", "binary_image_filenames.txt", "embeddings.npy"
_MOST_JSON, _MOST_NAMES = 256 << 20, 64 << 20
_HEAD = re.compile(rb'\s*\{\s*"(?:graph|last_processed_index)"')
_CROP = re.compile(r"\d+_\d+_(?=.)")
BAD_EDGE = "A match names no two photos."
STRANGER = "The matches speak of a photo that the list of photos does not have."
SELF = "A photo is matched with itself."


@dataclass(frozen=True)
class Desk:
    """names: of the crops, in their order. matches: rows (from 1) of two crops, the smaller first, once each. reviewed:
    how many of the crops were anchors, from the first on. vectors: the array, where it is there."""

    names: tuple[str, ...]
    matches: tuple[tuple[int, int], ...]
    reviewed: int
    vectors: Path | None


def looks_like(path: Path) -> bool:
    if path.is_dir():
        return (path / NAMES).is_file()
    try:
        if path.suffix.casefold() not in (".json", ".db", "") or path.stat().st_size > _MOST_JSON:
            return False
        with path.open("rb") as handle:
            head = handle.read(4096)
    except OSError:
        return False
    return _HEAD.match(head) is not None and (b'"nodes"' in head or b'"last_processed_index"' in head)


def read(path: Path, options: Options) -> Reading:
    folder = path if path.is_dir() else path.parent
    names = _lines(folder / NAMES) if path.is_dir() or (folder / NAMES).is_file() else []
    database = path if path.is_file() else _database(folder, options.values.get("matches", ""))
    graph: dict[str, Any] = {}
    last = -1
    if database is not None:
        graph, last = _graph(database)
    if not names and database is None:
        raise UnusableFile("no_spotid", "There is neither image_filenames.txt nor a file of matches in it.")
    issues: list[Issue] = []
    if not names:
        # The index goes by a list that is not there.
        names, last = list(_nodes(graph)), -1
    rows = {name: row for row, name in reversed(list(enumerate(names, 1)))}
    file = database.name if database is not None else ""
    matches = sorted(_matches(graph, rows, file, issues))
    notes = [f"{len(names)} photos and {len(matches)} matches of the desktop SpotID."]
    if database is None:
        notes.append("There is no file of matches beside it.")
    reviewed = max(0, min(last + 1, len(names)))
    if reviewed:
        notes.append(f"Its review stood at photo {reviewed} of {len(names)}.")
    issues += _binary(folder, len(names))
    vectors = folder / VECTORS if (folder / VECTORS).is_file() else None
    desk = Desk(tuple(names), tuple(matches), reviewed, vectors)
    return Reading(
        notes=tuple(notes),
        issues=tuple(issues),
        photos=Photos(lambda: _photos(folder, names)),
        rows_of=NAMES,
        extra=desk,
    )


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise UnusableFile("no_names", "There is no image_filenames.txt in it.")
    if path.stat().st_size > _MOST_NAMES:
        raise UnusableFile("too_large", "The list of photos is too long.")
    text = path.read_bytes().decode("utf-8", "replace").replace("\x00", "")
    # A line is an index: an empty one in between counts.
    return [line.strip() for line in text.splitlines()]


def _binary(folder: Path, number: int) -> list[Issue]:
    """Edge maps are drawn anew; a list of another length says that the folder is of two runs."""
    path = folder / BINARY
    if not path.is_file() or path.stat().st_size > _MOST_NAMES or len(path.read_bytes().splitlines()) == number:
        return []
    words = "The list of edge maps has another length than that of photos; only the photos are read."
    return [Issue("lists_differ", words, BINARY)]


def _database(folder: Path, said: str) -> Path | None:
    """The one file of matches in the folder, or that of the name."""
    found = [path for path in sorted(folder.iterdir()) if path.is_file() and looks_like(path)]
    if said:
        found = [path for path in found if path.name in (said, f"{said}.json")]
        if not found:
            raise UnusableFile("no_matches", "There is no file of matches of this name in the folder.")
    if len(found) > 1:
        raise UnusableFile("several_matches", "There are several files of matches in the folder. Say the name of one.")
    return found[0] if found else None


def _graph(path: Path) -> tuple[dict[str, Any], int]:
    if path.stat().st_size > _MOST_JSON:
        raise UnusableFile("too_large", "The file of matches is too large.")
    try:
        said = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        raise UnusableFile("no_json", "The file of matches is no JSON, or breaks off.") from None
    graph = said.get("graph") if isinstance(said, dict) else None
    if not isinstance(graph, dict) or not isinstance(graph.get("nodes"), list):
        raise UnusableFile("no_graph", "The file has no graph with nodes: it is no file of matches.")
    last = said.get("last_processed_index")
    return graph, last if isinstance(last, int) and not isinstance(last, bool) else -1


def _nodes(graph: dict[str, Any]) -> Iterator[str]:
    for node in graph.get("nodes", []):
        if isinstance(node, dict) and isinstance(node.get("id"), str):
            yield node["id"]


def _matches(graph: dict[str, Any], rows: dict[str, int], file: str, issues: list[Issue]) -> Iterator[tuple[int, int]]:
    # networkx called them links, and since 3.4 edges.
    links = graph.get("links", graph.get("edges"))
    seen: set[tuple[int, int]] = set()
    for row, link in enumerate(links if isinstance(links, list) else [], 1):
        said = (link.get("source"), link.get("target")) if isinstance(link, dict) else ()
        ends = [end for end in said if isinstance(end, str)]
        if len(ends) != 2:
            issues.append(Issue("bad_match", BAD_EDGE, file, row))
            continue
        strangers = [end for end in ends if end not in rows]
        if strangers:
            issues.append(Issue("stranger", STRANGER, file, row, strangers[0][-500:]))
            continue
        pair = (min(rows[ends[0]], rows[ends[1]]), max(rows[ends[0]], rows[ends[1]]))
        if pair[0] == pair[1]:
            issues.append(Issue("self_match", SELF, file, row, ends[0][-500:]))
        elif pair not in seen:
            seen.add(pair)
            yield pair


def _photos(folder: Path, names: list[str]) -> Iterator[PhotoRecord | Issue]:
    for row, name in enumerate(names, 1):
        if not name:
            yield Issue("no_name", "A record names no photo.", NAMES, row)
            continue
        yield PhotoRecord(row, name, also=_without_crop(name), file=_along(folder, name))


def _without_crop(name: str) -> tuple[str, ...]:
    """The names without what cropping put before them, once for each time that it was cropped."""
    rest, found = re.split(r"[/\\]", name)[-1], []
    while (match := _CROP.match(rest)) is not None:
        rest = rest[match.end() :]
        found.append(rest)
    return tuple(found)


def _along(folder: Path, name: str) -> Path | None:
    """The crop, where the path's end is found below the folder; paths elsewhere on a disk are not followed."""
    parts = [part for part in re.split(r"[/\\]", name) if part]
    for length in (3, 2, 1):
        own = parts[-length:]
        if len(own) == length and not {".", ".."} & set(own) and is_photo(folder.joinpath(*own)):
            return folder.joinpath(*own)
    return None


KIND = Kind(
    "spotid",
    gettext_noop("The desktop SpotID"),
    read,
    looks_like,
    accepts=(".zip", ".json"),
    fields=(
        ("matches", gettext_noop("name of the file of matches, where the folder has several")),
        ("model", gettext_noop("name of the registered model that made the embeddings")),
        ("crops", gettext_noop("crops come along, and the survey has no photos yet")),
    ),
    help=gettext_noop("A folder of embeddings with its matches: confirmed matches, and where the review stood."),
    writer="identification.services.imports_spotid.write",
    inside=(NAMES,),
    yes=("crops",),
)
