"""JSON piece by piece says the same as JSON at once."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from identification.imports import jsonstream
from identification.imports.jsonstream import items_of, top_of
from identification.imports.reading import UnusableFile

WHOLE: dict[str, Any] = {
    "info": {"detector": "md", "nested": [[1, 2], {"a": "]}"}]},
    "images": [{"file": f'a"\\b[{n}].jpg', "n": n * 1.5, "t": True, "x": None, "u": "ä\u2028"} for n in range(50)],
    "number": 1234567890,
    "categories": {"1": "animal"},
}


@pytest.mark.parametrize("piece", [1, 3, 64, 1 << 16])
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_it_reads_what_the_standard_library_reads(
    piece: int, indent: int | None, encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonstream, "_PIECE", piece)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(WHOLE, indent=indent), encoding=encoding)
    assert top_of(path, long=("images",)) == WHOLE | {"images": []}
    assert list(items_of(path, "images")) == WHOLE["images"]


@pytest.mark.parametrize("text", ["{}", '{"images": []}', '{"images": {"a": 1}}'])
def test_nothing_gives_nothing(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    assert list(items_of(path, "images")) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"images": [1, 2',
        '{"images": [1 2]}',
        '{"images": [{"a": }]}',
        '{"images" [1]}',
        '{"images": [NaN]}',
        "{1: 2}",
        '{"images": [1], "x": ' + "[" * 100_000,
        '{"images": ["\udcff"]}',
    ],
)
def test_what_is_broken_is_refused_in_words(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UnusableFile) as refused:
        list(items_of(path, "images"))
        top_of(path, long=("images",))
    assert refused.value.words.endswith(".")


def test_a_long_list_is_never_held_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    box = {"category": "1", "conf": 0.9, "bbox": [0.1, 0.2, 0.3, 0.4]}
    with path.open("w") as out:
        out.write('{"images": [')
        out.write(",".join(json.dumps({"file": f"{n}.jpg", "detections": [box] * 5}) for n in range(20_000)))
        out.write('], "info": {"detector": "md"}}')
    tracemalloc.start()
    assert sum(1 for _ in items_of(path, "images")) == 20_000
    assert top_of(path, long=("images",))["info"] == {"detector": "md"}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 6 << 20 and peak < 2 << 20
