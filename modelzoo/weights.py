"""Weights that are not shipped: where they come from, how they are fetched, and the hash that each file must have.

Beside the files lies ``weights.json`` with the SHA-256 of every known one. A checksum is published by the source, or
the file is pinned at its first use and the result says so: none is ever invented. Standard library only.
"""

import hashlib
import json
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Protocol

Progress = Callable[[int, int, str], None]

REGISTER = "weights.json"
_BLOCK = 1 << 20
_TRIES = 4
_RECORD_LIMIT = 4 << 20
_HEADERS = {"User-Agent": "SpotID", "Accept-Encoding": "identity"}


class WeightsError(RuntimeError):
    """A weights file that is missing, changed, unfit or cannot be fetched. The message is for people."""


class ChecksumError(WeightsError):
    """A file whose content is not what was published or registered."""


class OfflineError(WeightsError):
    """The source cannot be reached; the message says which file to get where, and where to put it."""


class Opener(Protocol):
    """What is needed of ``urllib.request.OpenerDirector``."""

    def open(self, fullurl: urllib.request.Request, data: None = None, timeout: float = ...) -> HTTPResponse: ...


def _parse_checksum(text: str) -> tuple[str, str]:
    algorithm, _, value = text.partition(":")
    lengths = {"md5": 32, "sha256": 64}
    value = value.strip().lower()
    if len(value) != lengths.get(algorithm) or not set(value) <= set("0123456789abcdef"):
        raise ValueError(f"not a checksum of the form md5:… or sha256:…: {text!r}")
    return algorithm, value


@dataclass(frozen=True)
class WeightsSource:
    """One downloadable file. checksum: published by the source, as "md5:…" or "sha256:…", or None.

    record_url: where the source lists its checksums, asked when checksum is None: a Zenodo API record
    (``files[].key``, ``.checksum``, ``.links.self``) or the file list of a Hugging Face repository (``path``,
    ``lfs.oid``, which is the SHA-256). remote_name: the file's name there, where that is another one.
    """

    name: str
    url: str
    filename: str
    checksum: str | None = None
    record_url: str | None = None
    licence: str = ""
    note: str = ""
    remote_name: str = ""

    def __post_init__(self) -> None:
        for url in (self.url, self.record_url or self.url):
            if not url.startswith(("https://", "http://")):
                raise ValueError(f"not an http address: {url}")
        if self.filename in ("", ".", "..", REGISTER) or Path(self.filename).name != self.filename:
            raise ValueError(f"not a plain file name: {self.filename!r}")
        if self.checksum is not None:
            _parse_checksum(self.checksum)


@dataclass(frozen=True)
class FetchedWeights:
    """A file that is in place. verified_by: "published" (the source's checksum agreed), "pinned" (hash taken at first
    use, no checksum was published) or "local" (given by the user and registered)."""

    path: Path
    sha256: str
    verified_by: str

    @property
    def explanation(self) -> str:
        """One sentence for people."""
        how = {
            "published": "its content agrees with the checksum that its source publishes",
            "pinned": "its source publishes no checksum, so its SHA-256 was pinned at first use",
            "local": "it was given by an administrator, and its SHA-256 registered then",
        }[self.verified_by]
        return f"{self.path.name}: {how} (SHA-256 {self.sha256})."


def fetch(
    source: WeightsSource,
    directory: Path,
    progress: Progress | None = None,
    opener: Opener | None = None,
    timeout: float = 30.0,
) -> FetchedWeights:
    """The file of a source in the directory, downloaded unless it is there unchanged.

    A file put there by hand is taken when it has the checksum that the source publishes. Streams, resumes an
    interrupted download, verifies, then renames into place and registers. opener: how to reach the network; by default
    urllib's, which honours the proxy variables. timeout: seconds without any byte. progress gets bytes done and in all
    (0 where unknown). Raises OfflineError, ChecksumError or WeightsError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        present = installed(source, directory)
        if present is not None:
            return present
        reach: Opener = opener if opener is not None else urllib.request.build_opener()  # type: ignore[assignment]
        checksum, url = _published(source, directory, reach, timeout)
        target = directory / source.filename
        if checksum is not None and target.is_file() and _has(target, checksum):
            return _register_fetched(target, sha256_of(target), checksum)
        part = directory / f".{source.filename}.part"
        _download(source, url, part, reach, timeout, progress)
        return _accept(source, part, target, checksum)


def installed(source: WeightsSource, directory: Path) -> FetchedWeights | None:
    """The file when it is there with its registered content; None when it is not there or was never registered.

    A changed file is None too, so that `fetch` gets it again; `verified` says what is wrong with it.
    """
    path = directory / source.filename
    entry = _entry(path, directory)
    if entry is None or not path.is_file() or sha256_of(path) != entry["sha256"]:
        return None
    return FetchedWeights(path, entry["sha256"], entry["verified_by"])


def register_local(path: Path, directory: Path) -> FetchedWeights:
    """Records the SHA-256 of a file that an administrator vouches for. Registering again takes its content anew."""
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}")
    digest = sha256_of(path)
    with _locked(directory):
        _register(path, directory, digest, "local")
    return FetchedWeights(path, digest, "local")


def registered_sha256(path: Path, directory: Path) -> str | None:
    """The SHA-256 that the file must have, or None when it was never fetched or registered."""
    entry = _entry(path, directory)
    return None if entry is None else str(entry["sha256"])


def verified(path: Path, directory: Path) -> FetchedWeights:
    """The file when its content is the registered one; WeightsError or ChecksumError with what to do otherwise."""
    entry = _entry(path, directory)
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}")
    if entry is None:
        raise WeightsError(f"the weights {path} are not registered: register them if you trust where they come from")
    found = sha256_of(path)
    check_registered(path, found, entry["sha256"])
    return FetchedWeights(path, found, entry["verified_by"])


def read_registered(path: Path, sha256: str) -> bytes:
    """The content of a weights file that has the registered SHA-256; WeightsError or ChecksumError otherwise."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    check_registered(path, hashlib.sha256(data).hexdigest(), sha256)
    return data


def check_registered(path: Path, found: str, registered: str) -> None:
    """Raise ChecksumError where the SHA-256 found is not the registered one. Messages name the file, not its folder."""
    expected = registered.lower()
    if found != expected:
        raise ChecksumError(
            f"the weights {path.name} are not the registered ones: SHA-256 is {found}, registered is {expected}. "
            "The file is damaged or was replaced; restore it, fetch it again or register the new one."
        )


def unreadable(path: Path, error: OSError) -> WeightsError:
    """What is said of a weights file that the system does not give."""
    return WeightsError(f"the weights {path.name} cannot be read: {error.strerror or error}")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hex."""
    return _digest(path, "sha256")


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


# Network


def _offline(source: WeightsSource, directory: Path, error: object) -> OfflineError:
    return OfflineError(
        f"{source.filename} could not be fetched ({error}). Without a network: get it from {source.url} on another "
        f"computer and put it into {directory} under that name, then register it; or try again when there is a network."
    )


def _published(source: WeightsSource, directory: Path, opener: Opener, timeout: float) -> tuple[str | None, str]:
    """The checksum that the file must have (published, else pinned earlier, else None) and the address of the file."""
    url = source.url
    if source.checksum is not None:
        return source.checksum, url
    checksum = None
    if source.record_url is not None:
        request = urllib.request.Request(source.record_url, headers={**_HEADERS, "Accept": "application/json"})
        try:
            with opener.open(request, timeout=timeout) as answer:
                checksum, url = _from_record(json.loads(answer.read(_RECORD_LIMIT)), source)
        except urllib.error.HTTPError as error:
            raise _offline(source, directory, f"its record {source.record_url} answers {error.code}") from error
        except (OSError, HTTPException) as error:
            raise _offline(source, directory, getattr(error, "reason", error)) from error
        except ValueError as error:
            raise WeightsError(
                f"the record {source.record_url} of {source.filename} is not readable: {error}"
            ) from error
    if checksum is None:
        pinned = registered_sha256(directory / source.filename, directory)
        checksum = f"sha256:{pinned}" if pinned else None
    return checksum, url


def _from_record(record: Any, source: WeightsSource) -> tuple[str | None, str]:
    """Published checksum and address of the source's file in a Zenodo record or a Hugging Face list of files."""
    wanted = source.remote_name or source.filename
    if isinstance(record, list):
        return _from_list(record, wanted), source.url
    files = record.get("files", []) if isinstance(record, dict) else []
    for entry in files:
        if isinstance(entry, dict) and entry.get("key") == wanted:
            checksum = entry.get("checksum")
            link = (entry.get("links") or {}).get("self")
            if checksum is not None:
                _parse_checksum(str(checksum))
            url = link if isinstance(link, str) and link.startswith(("https://", "http://")) else source.url
            return (None if checksum is None else str(checksum)), url
    raise ValueError(f"it lists no file {wanted}")


def _from_list(files: list[Any], wanted: str) -> str | None:
    """SHA-256 of a large file in a Hugging Face repository; None for one that is kept there without."""
    for entry in files:
        if isinstance(entry, dict) and entry.get("path") == wanted:
            large = entry.get("lfs")
            if not isinstance(large, dict):
                return None
            checksum = "sha256:" + str(large.get("oid")).removeprefix("sha256:")
            _parse_checksum(checksum)
            return checksum
    raise ValueError(f"it lists no file {wanted}")


def _download(
    source: WeightsSource, url: str, part: Path, opener: Opener, timeout: float, progress: Progress | None
) -> None:
    """Fills the part file, going on where it stopped; it stays for the next call when the network fails."""
    reason: object = "the connection ended early"
    for _ in range(_TRIES):
        before = part.stat().st_size if part.is_file() else 0
        try:
            if _stream(source, url, part, opener, timeout, progress):
                return
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:
                part.unlink()
                continue
            if error.code in (403, 404, 410):
                raise WeightsError(f"{source.filename} is not at {url}: the server answers {error.code}") from error
            reason = f"the server answers {error.code}"
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
        if (part.stat().st_size if part.is_file() else 0) <= before:
            break
    raise _offline(source, part.parent, reason)


def _stream(
    source: WeightsSource, url: str, part: Path, opener: Opener, timeout: float, progress: Progress | None
) -> bool:
    """One request; True when the file is complete. The entity tag kept beside the part tells a changed file."""
    tag_file = part.with_suffix(".tag")
    have = part.stat().st_size if part.is_file() else 0
    headers = dict(_HEADERS)
    if have:
        headers["Range"] = f"bytes={have}-"
        if tag_file.is_file():
            headers["If-Range"] = tag_file.read_text()
    with opener.open(urllib.request.Request(url, headers=headers), timeout=timeout) as answer:
        resumed = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if answer.status == 206 and not resumed:
            part.unlink(missing_ok=True)
            return False
        have = have if resumed else 0
        tag = answer.headers.get("ETag", "")
        tag_file.write_text(tag) if tag and not tag.startswith("W/") else tag_file.unlink(missing_ok=True)
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else 0
        with part.open("ab" if resumed else "wb") as stream:
            while block := answer.read(_BLOCK):
                stream.write(block)
                have += len(block)
                if progress is not None:
                    progress(have, total, source.filename)
            stream.flush()
            os.fsync(stream.fileno())
    return not total or have >= total


def _accept(source: WeightsSource, part: Path, target: Path, checksum: str | None) -> FetchedWeights:
    """Checks the finished part file, renames it into place and registers its hash."""
    part.with_suffix(".tag").unlink(missing_ok=True)
    if checksum is not None and not _has(part, checksum):
        algorithm, expected = _parse_checksum(checksum)
        found = _digest(part, algorithm)
        part.unlink()
        raise ChecksumError(
            f"{source.filename} from {source.url} is not what it should be: {algorithm} is {found}, expected "
            f"{expected}. It was thrown away; try again, or ask the source."
        )
    digest = sha256_of(part)
    part.replace(target)
    return _register_fetched(target, digest, checksum)


def _has(path: Path, checksum: str) -> bool:
    algorithm, expected = _parse_checksum(checksum)
    return _digest(path, algorithm) == expected


def _register_fetched(target: Path, digest: str, checksum: str | None) -> FetchedWeights:
    """Registers a file whose checksum agreed, or that has none; one pinned earlier stays pinned."""
    earlier = _entry(target, target.parent)
    verified_by = "pinned" if checksum is None else "published"
    if earlier is not None and checksum == f"sha256:{earlier['sha256']}":
        verified_by = str(earlier["verified_by"])
    _register(target, target.parent, digest, verified_by)
    return FetchedWeights(target, digest, verified_by)


# Register


def _key(path: Path, directory: Path) -> str:
    """Files of the directory by name, so that it can be moved; others by their full path."""
    resolved = path.resolve()
    return resolved.name if resolved.parent == directory.resolve() else str(resolved)


def _read_register(directory: Path) -> dict[str, Any]:
    path = directory / REGISTER
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["files"]
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"the register {path} is damaged ({error}); restore or remove it") from error
    if not isinstance(entries, dict):
        raise WeightsError(f"the register {path} is damaged; restore or remove it")
    return entries


def _entry(path: Path, directory: Path) -> dict[str, Any] | None:
    entry = _read_register(directory).get(_key(path, directory))
    return entry if isinstance(entry, dict) else None


def _register(path: Path, directory: Path, digest: str, verified_by: str) -> None:
    entries = _read_register(directory)
    entries[_key(path, directory)] = {"sha256": digest, "verified_by": verified_by, "bytes": path.stat().st_size}
    directory.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{REGISTER}.", dir=directory)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump({"files": entries}, stream, indent=2, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())
    Path(name).replace(directory / REGISTER)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One process at a time writes into the directory; the lock ends with the process."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("a+b") as stream:
        if os.name == "nt":
            import msvcrt

            stream.seek(0)
            msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
