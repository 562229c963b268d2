"""What a file is by its first bytes, so that the right sentence can be said when it is refused."""

from collections.abc import Callable

HEAD_BYTES = 4096
_MAX_BOXES = 256
DNG_VERSION = 0xC612

RAW_SUFFIXES = frozenset(
    {
        ".dng",
        ".cr2",
        ".cr3",
        ".crw",
        ".nef",
        ".nrw",
        ".arw",
        ".srf",
        ".sr2",
        ".orf",
        ".rw2",
        ".raf",
        ".pef",
        ".srw",
        ".x3f",
        ".3fr",
        ".iiq",
        ".rwl",
        ".kdc",
        ".dcr",
        ".erf",
        ".mef",
    }
)
_VIDEO_BRANDS = (
    b"qt  ",
    b"mp4",
    b"isom",
    b"iso2",
    b"iso4",
    b"iso5",
    b"iso6",
    b"avc1",
    b"M4V",
    b"3gp",
    b"3g2",
    b"dash",
    b"MSNV",
)
_UNSUPPORTED = (
    (b"%PDF", "PDF"),
    (b"%!PS", "EPS or PostScript"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"8BPS", "Photoshop"),
    (b"SIMPLE  =", "FITS"),
    (b"\x1aE\xdf\xa3", "video"),
    (b"\x00\x00\x01\xba", "video"),
    (b"\x00\x00\x01\xb3", "video"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video"),
    (b"PK\x03\x04", "ZIP archive or office document: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "7z archive: unpack it first"),
    (b"Rar!", "RAR archive: unpack it first"),
    (b"\x1f\x8b", "gzip archive: unpack it first"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"IIRO", "camera raw"),
    (b"IIRS", "camera raw"),
    (b"IIU\x00", "camera raw"),
    (b"FOVb", "camera raw"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x01\x00", "icon"),
    (b"gimp xcf", "GIMP"),
)


def refusal(head: bytes, suffix: str = "") -> tuple[str, str] | None:
    """(code, detail) when the first bytes belong to no accepted format, else None: an image reader shall decide.

    `suffix` only helps with camera raw, much of which is TIFF inside.
    """
    for magic, name in _UNSUPPORTED:
        if head.startswith(magic):
            return "unsupported", name
    if is_tiff(head) and (suffix.lower() in RAW_SUFFIXES or head[8:10] == b"CR"):
        return "unsupported", "camera raw"
    if head[:4] == b"RIFF" and head[8:12] != b"WEBP" and len(head) >= 12:
        return "unsupported", "video or sound"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand == b"crx ":
            return "unsupported", "camera raw"
        if brand.startswith(_VIDEO_BRANDS):
            return "unsupported", "video"
    return _text_refusal(head)


def is_tiff(head: bytes) -> bool:
    """Classic TIFF, either byte order."""
    return head[:4] in (b"II*\x00", b"MM\x00*")


def is_cut_off(head: bytes, size: int, read: Callable[[int], bytes]) -> bool:
    """Whether a WebP, HEIC or AVIF file of `size` bytes says that it should be longer; others: False.

    `read` gives the 16 bytes at an offset. WebP after its container specification (RIFF size), HEIC and AVIF after
    ISO/IEC 14496-12 section 4.2 (a chain of boxes, each with its size).
    """
    if head[:4] == b"RIFF" and len(head) >= 64:
        return int.from_bytes(head[4:8], "little") + 8 > size
    if head[4:8] != b"ftyp" or len(head) < 64:
        return False
    offset = 0
    for _ in range(_MAX_BOXES):
        start = read(offset)
        length = int.from_bytes(start[:4], "big")
        if length == 1:
            length = int.from_bytes(start[8:16], "big")
        if offset == size or length == 0:
            return False
        if len(start) < 8 or offset + length > size:
            return True
        if length < 8:
            return False
        offset += length
    return False


def _text_refusal(head: bytes) -> tuple[str, str] | None:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<svg") or (start.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in start):
        return "unsupported", "SVG drawing"
    if start.startswith((b"<", b"{", b"#!")):
        return "not_image", ""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and not head.startswith(b"\xff\xfe\x00\x00"):
        return "not_image", ""
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    if len(head) >= 16 and printable == len(head) and not head.startswith((b"BM", b"GIF8")):
        return "not_image", ""
    return None
