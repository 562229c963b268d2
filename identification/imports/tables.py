"""Tables that people saved from a spreadsheet: encoding, divider and headings are found out. Pure functions."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..spreadsheets import restore
from .reading import UnusableFile

MOST_BYTES = 256 << 20
MOST_COLUMNS = 2000
# Of fields of a table; the standard library's own limit is 131 072 characters.
MOST_CELL = 100_000
_EXCEL = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


@dataclass(frozen=True)
class Row:
    """line: of the file, from 1. cells: as they stand there, without the apostrophe that keeps formulas asleep."""

    line: int
    cells: tuple[str, ...]


class Headed:
    """What has a heading. heading: as it stands there. encoding: for people. divider: one character."""

    heading: tuple[str, ...]
    encoding: str
    divider: str

    def column(self, *names: str) -> int:
        """The first column of one of these names, in the order of the names; capitals, spaces, `_` and `-` do not
        matter. -1 where there is none."""
        said = [plain(cell) for cell in self.heading]
        return next((said.index(plain(name)) for name in names if plain(name) in said), -1)

    def cell(self, row: Row, column: int) -> str:
        """ "" where the column is missing or the row is too short; without spaces around it."""
        return row.cells[column].strip() if 0 <= column < len(row.cells) else ""

    def said(self, number: int) -> str:
        """How it was read, as a sentence. number: of rows."""
        divider = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}[self.divider]
        return f"Read as {self.encoding}, divided by {divider}, {number} rows."


@dataclass(frozen=True)
class Table(Headed):
    """A table in memory."""

    heading: tuple[str, ...]
    rows: tuple[Row, ...]
    encoding: str
    divider: str

    @property
    def words(self) -> str:
        return self.said(len(self.rows))


def plain(name: str) -> str:
    """A heading for comparing."""
    return "".join(character for character in name.strip().casefold() if character not in " _-.")


def decoded(data: bytes) -> tuple[str, str]:
    """Text and the name of its encoding.

    By byte order mark; else UTF-16 where every other byte is zero; else UTF-8; else Windows-1252, which always fits.
    Raises UnusableFile for a spreadsheet's own format, and for what is no text.
    """
    known = known_encoding(data)
    if known is not None:
        return _strictly(data, known[0]), known[1]
    try:
        return data.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError:
        pass
    if b"\x00" in data:
        raise UnusableFile("not_text", "The file is no text.")
    return data.decode("cp1252", errors="replace"), "Windows-1252"


def known_encoding(data: bytes) -> tuple[str, str] | None:
    """Codec and name that the beginning of a file tells; None where only all of it can. Raises UnusableFile for a
    spreadsheet's own format."""
    if data.startswith(_EXCEL):
        raise UnusableFile("spreadsheet", "This is a spreadsheet's own format. Save the table as CSV (UTF-8).")
    for mark, encoding, name in (
        (b"\xef\xbb\xbf", "utf-8-sig", "UTF-8"),
        (b"\xff\xfe", "utf-16", "UTF-16"),
        (b"\xfe\xff", "utf-16", "UTF-16"),
    ):
        if data.startswith(mark):
            return encoding, name
    sample = data[:4000]
    if len(sample) >= 4 and sample.count(0) > len(sample) // 4:
        return "utf-16-le" if sample[1::2].count(0) > sample[::2].count(0) else "utf-16-be", "UTF-16"
    return None


def _strictly(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise UnusableFile("not_text", "The text breaks off or is damaged: its encoding does not fit.") from None


def table_of(data: bytes) -> Table:
    """A table with a heading. Empty rows are left out.

    Raises UnusableFile for what is too large, no text, or has no heading.
    """
    if len(data) > MOST_BYTES:
        raise UnusableFile("too_large", f"A table may have at most {MOST_BYTES >> 20} MB.")
    text, encoding = decoded(data)
    text = text.replace("\x00", "")
    divider = divider_of(text)
    rows = list(rows_of(io.StringIO(text, newline=""), divider))
    if not rows:
        raise UnusableFile("empty", "The table is empty.")
    return Table(heading_of(rows[0]), tuple(rows[1:]), encoding, divider)


def divider_of(text: str) -> str:
    """What divides the first line that says something."""
    line = text.lstrip("\r\n").split("\n", 1)[0]
    return max(",;\t|", key=line.count)


def heading_of(row: Row) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in row.cells)


def rows_of(lines: Iterable[str], divider: str) -> Iterator[Row]:
    """Row by row; empty ones are left out. Raises UnusableFile where they cannot be read."""
    # csv counts lines itself, and knows cells that hold several.
    reader = csv.reader(lines, delimiter=divider)
    csv.field_size_limit(max(csv.field_size_limit(), MOST_CELL))
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield Row(reader.line_num, tuple(restore(cell) for cell in cells[:MOST_COLUMNS]))
    except csv.Error as error:
        raise UnusableFile("no_table", f"The table cannot be read from line {reader.line_num} on: {error}.") from None


def number_of(text: str, divider: str = ";") -> float:
    """A number with a decimal point, or a decimal comma where commas do not divide the table. Raises ValueError."""
    plain_text = text.strip().replace("\u2212", "-").replace("\u00a0", "")
    if divider != "," and "," in plain_text and "." not in plain_text:
        plain_text = plain_text.replace(",", ".")
    value = float(plain_text)
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("no finite number")
    return value


def said_nothing(text: str) -> bool:
    """Whether a cell holds one of the words by which R and spreadsheets say that there is nothing."""
    return text.strip().casefold() in ("", "na", "n/a", "nan", "null", "none", "-", "#n/a")


def first_cells(rows: Sequence[Row], column: int, most: int = 3) -> list[str]:
    """The first filled cells of a column, for a preview."""
    found = [row.cells[column].strip() for row in rows if column < len(row.cells) and row.cells[column].strip()]
    return found[:most]
