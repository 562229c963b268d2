"""Fetching weights from a real HTTP server on this computer: resuming, checking, and explaining what went wrong."""

import hashlib
import json
import socket
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelzoo.known_weights import KNOWN
from modelzoo.weights import (
    ChecksumError,
    OfflineError,
    WeightsError,
    WeightsSource,
    fetch,
    installed,
    register_local,
    registered_sha256,
    verified,
)

CONTENT = np.random.default_rng(0).integers(0, 256, 3_000_000, np.uint8).tobytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


class Site:
    """What the server serves, how it fails, and what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"/w.bin": CONTENT}
        self.cut_after: list[int] = []
        self.ranges: list[str | None] = []
        self.paths: list[str] = []
        self.honours_ranges = True
        self.status = 200
        self.tag = '"1"'
        self.address = ""

    def source(self, **changes: Any) -> WeightsSource:
        values = {"name": "w", "url": f"{self.address}/w.bin", "filename": "w.bin"}
        return WeightsSource(**(values | changes))

    def record(self, **entry: Any) -> str:
        self.files["/record"] = json.dumps({"files": [entry]}).encode()
        return f"{self.address}/record"


class Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        site = self.site
        site.paths.append(self.path)
        body = site.files.get(self.path)
        if body is None or site.status != 200:
            self.send_error(404 if body is None else site.status)
            return
        wanted = self.headers.get("Range")
        site.ranges.append(wanted)
        start = 0
        if wanted and site.honours_ranges and self.headers.get("If-Range", site.tag) == site.tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.send_header("ETag", site.tag)
        self.end_headers()
        stop = site.cut_after.pop(0) if self.path == "/w.bin" and site.cut_after else len(body)
        self.wfile.write(body[start : start + stop])


@pytest.fixture
def site(monkeypatch) -> Iterator[Site]:
    # A proxy in the environment must not come between a test and its own server.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    place = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": place}))
    place.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield place
    server.shutdown()
    server.server_close()
    thread.join()


def direct() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(source: WeightsSource, directory: Path, **changes: Any):
    return fetch(source, directory, **({"opener": direct(), "timeout": 5.0} | changes))


def names(directory: Path) -> set[str]:
    return {p.name for p in directory.iterdir()} - {".lock"}


def test_an_empty_folder_has_nothing_installed(tmp_path):
    source = WeightsSource("w", "https://example.org/w.bin", "w.bin")
    assert installed(source, tmp_path) is None
    assert registered_sha256(tmp_path / "w.bin", tmp_path) is None


def test_without_published_checksum_the_hash_is_pinned_and_said_so(site, tmp_path):
    steps: list[tuple[int, int, str]] = []
    found = get(site.source(), tmp_path / "new", progress=lambda *step: steps.append(step))
    assert found.path.read_bytes() == CONTENT
    assert (found.sha256, found.verified_by) == (SHA256, "pinned")
    assert "pinned at first use" in found.explanation
    assert names(tmp_path / "new") == {"w.bin", "weights.json"}
    assert steps[-1] == (len(CONTENT), len(CONTENT), "w.bin")
    assert [done for done, _, _ in steps] == sorted(done for done, _, _ in steps)
    assert registered_sha256(found.path, tmp_path / "new") == SHA256


@pytest.mark.parametrize("checksum", [f"md5:{MD5}", f"sha256:{SHA256.upper()}"])
def test_a_published_checksum_is_checked(site, tmp_path, checksum):
    found = get(site.source(checksum=checksum), tmp_path)
    assert (found.sha256, found.verified_by) == (SHA256, "published")


def test_a_second_fetch_asks_nobody(site, tmp_path):
    first = get(site.source(checksum=f"md5:{MD5}"), tmp_path)
    site.paths.clear()
    assert get(site.source(checksum=f"md5:{MD5}"), tmp_path) == first
    assert site.paths == []


def test_a_file_put_there_by_hand_is_taken_without_a_network_when_its_checksum_agrees(tmp_path):
    (tmp_path / "w.bin").write_bytes(CONTENT)
    source = WeightsSource("w", "http://127.0.0.1:9/w.bin", "w.bin", checksum=f"md5:{MD5}")
    assert get(source, tmp_path).verified_by == "published"
    (tmp_path / "w.bin").write_bytes(CONTENT[1:])
    with pytest.raises(OfflineError):
        get(source, tmp_path)


def test_the_checksum_and_the_address_come_from_the_record(site, tmp_path):
    site.files["/content"] = CONTENT
    record = site.record(key="w.bin", checksum=f"md5:{MD5}", links={"self": f"{site.address}/content"})
    found = get(site.source(record_url=record), tmp_path)
    assert found.verified_by == "published"
    assert site.paths == ["/record", "/content"]


def test_a_record_without_checksum_pins(site, tmp_path):
    found = get(site.source(record_url=site.record(key="w.bin")), tmp_path)
    assert found.verified_by == "pinned"


@pytest.mark.parametrize("entry", [{"key": "other.bin"}, {"key": "w.bin", "checksum": "md5:zz"}])
def test_a_record_that_says_nothing_useful_is_an_error(site, tmp_path, entry):
    with pytest.raises(WeightsError, match=r"record .* is not readable"):
        get(site.source(record_url=site.record(**entry)), tmp_path)
    assert names(tmp_path) == set()


def test_a_wrong_checksum_is_refused_and_thrown_away(site, tmp_path):
    with pytest.raises(ChecksumError, match=f"md5 is {MD5}, expected {'0' * 32}"):
        get(site.source(checksum="md5:" + "0" * 32), tmp_path)
    assert names(tmp_path) == set()


def test_a_pinned_file_that_the_source_has_changed_is_refused(site, tmp_path):
    found = get(site.source(), tmp_path)
    found.path.unlink()
    site.files["/w.bin"] = CONTENT[:-1] + b"x"
    with pytest.raises(ChecksumError, match=f"expected {SHA256}"):
        get(site.source(), tmp_path)
    assert not found.path.exists()


def test_a_damaged_file_is_fetched_again_and_keeps_its_pin(site, tmp_path):
    found = get(site.source(), tmp_path)
    found.path.write_bytes(b"damaged")
    assert installed(site.source(), tmp_path) is None
    assert get(site.source(), tmp_path) == found
    assert found.path.read_bytes() == CONTENT


def test_a_connection_that_ends_early_is_resumed_within_the_call(site, tmp_path):
    site.cut_after = [1_000_000, 500_000]
    assert get(site.source(checksum=f"md5:{MD5}"), tmp_path).sha256 == SHA256
    assert site.ranges == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_later_call_goes_on_where_the_earlier_one_stopped(site, tmp_path):
    site.cut_after = [1_000_000, 0, 0, 0, 0]
    with pytest.raises(OfflineError):
        get(site.source(), tmp_path)
    site.cut_after = []
    site.ranges.clear()
    assert get(site.source(), tmp_path).sha256 == SHA256
    assert site.ranges == ["bytes=1000000-"]
    assert names(tmp_path) == {"w.bin", "weights.json"}


def test_a_server_without_ranges_starts_again(site, tmp_path):
    site.honours_ranges = False
    site.cut_after = [1_000_000]
    assert get(site.source(), tmp_path).sha256 == SHA256


def test_a_file_that_changed_in_between_starts_again(site, tmp_path):
    site.cut_after = [1_000_000, 0, 0, 0, 0]
    with pytest.raises(OfflineError):
        get(site.source(), tmp_path)
    site.files["/w.bin"] = CONTENT[::-1]
    site.tag = '"2"'
    site.cut_after = []
    assert get(site.source(), tmp_path).path.read_bytes() == CONTENT[::-1]


def test_a_part_longer_than_the_file_starts_again(site, tmp_path):
    (tmp_path / ".w.bin.part").write_bytes(bytes(len(CONTENT) + 5))
    assert get(site.source(), tmp_path).sha256 == SHA256


def test_a_truncated_file_never_gets_its_name(site, tmp_path):
    site.cut_after = [10, 0, 0, 0, 0]
    with pytest.raises(OfflineError, match="ended early"):
        get(site.source(), tmp_path)
    assert not (tmp_path / "w.bin").exists()


def test_a_missing_file_is_named(site, tmp_path):
    with pytest.raises(WeightsError, match=r"w.bin is not at .*/gone: the server answers 404"):
        get(site.source(url=f"{site.address}/gone"), tmp_path)


def test_a_server_in_trouble_is_explained(site, tmp_path):
    site.status = 503
    with pytest.raises(OfflineError, match="answers 503"):
        get(site.source(), tmp_path)


@pytest.mark.parametrize("with_record", [True, False])
def test_offline_says_which_file_where_from_and_where_to(tmp_path, with_record):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    record = f"{address}/record" if with_record else None
    source = WeightsSource("w", f"{address}/w.bin", "w.bin", record_url=record)
    with pytest.raises(OfflineError) as caught:
        get(source, tmp_path)
    for words in ("w.bin", source.url, str(tmp_path)):
        assert words in str(caught.value)


def test_local_files_are_registered_and_changes_seen(tmp_path):
    home = tmp_path / "home"
    path = tmp_path / "mine.pt"
    path.write_bytes(b"weights")
    assert registered_sha256(path, home) is None
    with pytest.raises(WeightsError, match="not registered"):
        verified(path, home)
    found = register_local(path, home)
    assert found.verified_by == "local"
    assert registered_sha256(path, home) == hashlib.sha256(b"weights").hexdigest() == found.sha256
    assert verified(path, home) == found
    path.write_bytes(b"weightz")
    with pytest.raises(ChecksumError, match="not the registered ones"):
        verified(path, home)
    assert register_local(path, home).sha256 == hashlib.sha256(b"weightz").hexdigest()


def test_a_missing_local_file_is_an_error(tmp_path):
    with pytest.raises(WeightsError, match="there is no weights file"):
        register_local(tmp_path / "none", tmp_path)
    with pytest.raises(WeightsError, match="there is no weights file"):
        verified(tmp_path / "none", tmp_path)


def test_the_folder_can_be_moved(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "w.bin").write_bytes(b"w")
    register_local(tmp_path / "a" / "w.bin", tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert verified(tmp_path / "b" / "w.bin", tmp_path / "b").verified_by == "local"


@pytest.mark.parametrize("text", ["", "[]", '{"files": []}', "{"])
def test_a_damaged_register_is_an_error_not_a_forgotten_pin(tmp_path, text):
    (tmp_path / "weights.json").write_text(text)
    with pytest.raises(WeightsError, match=r"register .* is damaged"):
        registered_sha256(tmp_path / "w.bin", tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"url": "file:///etc/passwd"}, {"filename": "../w"}, {"filename": ""}, {"checksum": "md5:12"}, {"checksum": "12"}],
)
def test_unsafe_sources_are_refused(change):
    with pytest.raises(ValueError):
        WeightsSource(**({"name": "w", "url": "https://example.org/w", "filename": "w"} | change))


def test_known_sources_are_named_as_they_are_keyed():
    assert KNOWN["megadetector-v6-compact"].record_url == "https://zenodo.org/api/records/15398270"
    assert KNOWN["megadetector-v6-compact"].checksum is None
    assert {name for name, source in KNOWN.items() if source.name == name} == set(KNOWN)
