"""Photo folders as they are on real disks (TRIALS, bad input 17–20 and 33–47)."""

import hashlib
import os
import socket
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.walk import (
    FileChanged,
    FoundPhoto,
    SkippedFile,
    escape_path,
    sha256_file,
    stable_hash,
    unescape_path,
    walk_photos,
)


def fill(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")


def found(root: Path) -> list[str]:
    return [item.relative_path for item in walk_photos(root) if isinstance(item, FoundPhoto)]


def skipped(root: Path) -> dict[str, str]:
    items = [item for item in walk_photos(root) if isinstance(item, SkippedFile)]
    assert all(item.reason.endswith(".") for item in items)
    return {item.relative_path: item.code for item in items}


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert list(walk_photos(tmp_path)) == []


def test_a_root_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg")
    with pytest.raises(NotADirectoryError):
        list(walk_photos(tmp_path / "a.jpg"))
    with pytest.raises(FileNotFoundError):
        list(walk_photos(tmp_path / "gone"))


def test_photos_are_found_in_a_fixed_order_whatever_the_case_of_their_suffix(tmp_path: Path) -> None:
    names = ["b/2.JPG", "a/1.jpeg", "a/A/3.Png", "c.TIFF", "d.webp", "e.HEIC", "f.avif", "g.gif", "h.bmp", "a/z.jpg"]
    fill(tmp_path, *names)
    first = found(tmp_path)
    assert sorted(first) == sorted(names)
    assert first == found(tmp_path)
    assert first.index("a/1.jpeg") < first.index("a/z.jpg") < first.index("b/2.JPG")


def test_size_and_time_are_told(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg")
    (item,) = walk_photos(tmp_path)
    assert isinstance(item, FoundPhoto)
    status = (tmp_path / "a.jpg").stat()
    assert (item.path, item.size, item.mtime_ns) == (tmp_path / "a.jpg", 7, status.st_mtime_ns)


def test_names_that_differ_by_case_are_both_kept(tmp_path: Path) -> None:
    fill(tmp_path, "IMG.jpg", "img.JPG")
    assert len(found(tmp_path)) == len(list(tmp_path.iterdir()))


def test_raw_video_archives_and_documents_are_skipped_with_their_reason(tmp_path: Path) -> None:
    fill(tmp_path, "a.dng", "b.CR2", "c.avi", "d.MP4", "e.zip", "f.svg", "g.txt", "h.csv", "i.xml", "j", "k.part")
    assert skipped(tmp_path) == {
        "a.dng": "raw",
        "b.CR2": "raw",
        "c.avi": "video",
        "d.MP4": "video",
        "e.zip": "archive",
        "f.svg": "unsupported",
        "g.txt": "not_photo",
        "h.csv": "not_photo",
        "i.xml": "not_photo",
        "j": "not_photo",
        "k.part": "still_changing",
    }
    assert found(tmp_path) == []


def test_a_raw_file_with_its_jpeg_is_one_photo(tmp_path: Path) -> None:
    fill(tmp_path, "IMG_1.CR2", "img_1.jpg", "IMG_2.CR2", "other/IMG_2.jpg")
    assert found(tmp_path) == ["img_1.jpg", "other/IMG_2.jpg"]
    assert skipped(tmp_path) == {"IMG_1.CR2": "raw_pair", "IMG_2.CR2": "raw"}


def test_what_systems_leave_behind_is_ignored_and_counted(tmp_path: Path) -> None:
    fill(tmp_path, "._x.jpg", ".DS_Store", "Thumbs.db", "@eaDir/x.jpg", "#recycle/y.jpg", "$RECYCLE.BIN/z.jpg", "a.jpg")
    assert found(tmp_path) == ["a.jpg"]
    assert set(skipped(tmp_path).values()) == {"system_file"}
    assert len(skipped(tmp_path)) == 6


def test_a_file_without_content_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    assert skipped(tmp_path) == {"a.jpg": "empty"}


def test_links_are_not_followed_but_the_root_may_be_one(tmp_path: Path) -> None:
    fill(tmp_path, "outside/secret.jpg", "root/a.jpg")
    (tmp_path / "root" / "loop").symlink_to(tmp_path / "root", target_is_directory=True)
    (tmp_path / "root" / "out").symlink_to(tmp_path / "outside", target_is_directory=True)
    (tmp_path / "root" / "b.jpg").symlink_to(tmp_path / "outside" / "secret.jpg")
    (tmp_path / "root" / "broken.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "link").symlink_to(tmp_path / "root", target_is_directory=True)
    assert found(tmp_path / "link") == ["a.jpg"]
    assert skipped(tmp_path / "link") == dict.fromkeys(("loop", "out", "b.jpg", "broken.jpg"), "symlink")


def test_pipes_and_sockets_are_skipped_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s.jpg"))
        assert skipped(tmp_path) == {"pipe.jpg": "special_file", "s.jpg": "special_file"}


def test_a_folder_that_cannot_be_read_is_reported_and_the_walk_goes_on(tmp_path: Path, monkeypatch) -> None:
    fill(tmp_path, "a/1.jpg", "b/2.jpg", "c/3.jpg")
    real = os.scandir

    def scandir(folder: Path):
        if Path(folder).name == "b":
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert found(tmp_path) == ["a/1.jpg", "c/3.jpg"]
    assert skipped(tmp_path) == {"b": "unreadable_folder"}


def test_a_share_that_vanishes_in_between_is_reported(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.jpg", "b/2.jpg")
    walk = walk_photos(tmp_path)
    assert isinstance(next(walk), FoundPhoto)
    (tmp_path / "b" / "2.jpg").unlink()
    (tmp_path / "b").rmdir()
    assert [item.code for item in walk if isinstance(item, SkippedFile)] == ["unreadable_folder"]


def test_a_file_that_is_still_being_copied_waits(tmp_path: Path) -> None:
    fill(tmp_path, "old.jpg", "new.jpg")
    past = time.time() - 3600
    os.utime(tmp_path / "old.jpg", (past, past))
    items = {item.relative_path: item for item in walk_photos(tmp_path, settle_seconds=60)}
    assert isinstance(items["old.jpg"], FoundPhoto)
    assert isinstance(items["new.jpg"], SkippedFile) and items["new.jpg"].code == "still_changing"


def test_a_time_far_in_the_future_does_not_wait_for_ever(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg")
    future = time.time() + 10 * 365 * 86400
    os.utime(tmp_path / "a.jpg", (future, future))
    assert [type(item) for item in walk_photos(tmp_path, settle_seconds=60)] == [FoundPhoto]


def test_a_hundred_folders_deep_is_no_trouble(tmp_path: Path) -> None:
    fill(tmp_path, "/".join(["d"] * 100) + "/a.jpg")
    assert len(found(tmp_path)) == 1


def test_odd_names_are_found_and_can_be_opened_again(tmp_path: Path) -> None:
    names = [
        "new\nline.jpg",
        "tab\t.jpg",
        'quote".jpg',
        "rtl\u202egpj.jpg",
        "e\u0301.jpg",
        "\u00e9.jpg",
        "x" * 251 + ".jpg",
    ]
    fill(tmp_path, *names)
    os.close(os.open(os.fsencode(tmp_path) + b"/latin-\xe9\xff.jpg", os.O_CREAT | os.O_WRONLY))
    (tmp_path / "latin-\udce9\udcff.jpg").write_bytes(b"content")
    (tmp_path / "back\\slash.jpg").write_bytes(b"content")
    items = [item for item in walk_photos(tmp_path) if isinstance(item, FoundPhoto)]
    assert len(items) == len(names) + 2
    for item in items:
        item.relative_path.encode("utf-8")
        assert (tmp_path / unescape_path(item.relative_path)).read_bytes() == b"content"
    assert "latin-\\xe9\\xff.jpg" in {item.relative_path for item in items}


def test_escaping_by_hand() -> None:
    assert escape_path("") == ""
    assert escape_path("plain/ü.jpg") == "plain/ü.jpg"
    assert escape_path("\udce9\\xe9") == "\\xe9\\\\xe9"
    assert unescape_path("\\xe9\\\\xe9") == "\udce9\\xe9"


@given(st.text(st.characters(exclude_characters="\x00"), max_size=30))
def test_every_path_comes_back_from_its_escape(name: str) -> None:
    escaped = escape_path(name)
    escaped.encode("utf-8")
    assert unescape_path(escaped) == name


@given(st.binary(min_size=1, max_size=20))
def test_every_file_name_in_bytes_comes_back_from_its_escape(raw: bytes) -> None:
    assert os.fsencode(unescape_path(escape_path(os.fsdecode(raw)))) == raw


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    (tmp_path / "a.jpg").write_bytes(data)
    assert sha256_file(tmp_path / "a.jpg") == hashlib.sha256(data).hexdigest()
    (item,) = walk_photos(tmp_path)
    assert isinstance(item, FoundPhoto)
    seen: list[tuple[int, int]] = []
    digest = stable_hash(item.path, item, lambda done, total, message: seen.append((done, total)))
    assert digest == hashlib.sha256(data).hexdigest()
    assert seen[-1] == (len(data), len(data))


def test_the_hash_of_an_empty_file_is_known(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    assert sha256_file(tmp_path / "a") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def photo(tmp_path: Path) -> FoundPhoto:
    fill(tmp_path, "a.jpg")
    (item,) = walk_photos(tmp_path)
    assert isinstance(item, FoundPhoto)
    return item


def test_a_file_that_changed_since_it_was_found_is_refused(tmp_path: Path) -> None:
    item = photo(tmp_path)
    item.path.write_bytes(b"other content")
    with pytest.raises(FileChanged, match=r"a\.jpg"):
        stable_hash(item.path, item)


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    item = photo(tmp_path)

    def grow(done: int, total: int, message: str) -> None:
        with item.path.open("ab") as handle:
            handle.write(b"more")

    with pytest.raises(FileChanged):
        stable_hash(item.path, item, grow)


def test_a_file_that_is_replaced_while_it_is_read_is_refused(tmp_path: Path) -> None:
    item = photo(tmp_path)

    def replace(done: int, total: int, message: str) -> None:
        (tmp_path / "b").write_bytes(b"another one")
        (tmp_path / "b").replace(item.path)

    with pytest.raises(FileChanged):
        stable_hash(item.path, item, replace)


def test_a_file_that_vanished_is_said_to_be_gone(tmp_path: Path) -> None:
    item = photo(tmp_path)
    item.path.unlink()
    with pytest.raises(FileNotFoundError):
        stable_hash(item.path, item)


def test_a_file_that_became_a_pipe_does_not_hang(tmp_path: Path) -> None:
    item = photo(tmp_path)
    item.path.unlink()
    os.mkfifo(item.path)
    with pytest.raises(FileChanged):
        stable_hash(item.path, item)


@pytest.mark.shared_data
def test_every_file_of_the_real_data_is_either_found_or_skipped(shared_data: Path) -> None:
    folder = shared_data / "camera_traps"
    items = list(walk_photos(folder))
    assert len(items) == sum(1 for path in folder.rglob("*") if path.is_file())
    assert sum(isinstance(item, FoundPhoto) for item in items) == 45
