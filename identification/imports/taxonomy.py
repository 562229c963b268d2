"""Species names of classifiers. Pure functions.

SpeciesNet writes `uuid;class;order;family;genus;species;common name`, with lower-case Latin and empty parts where it
does not know; `…;;;;;;blank` is a photo without animals, `…;no cv result` one it could not look at.
"""

from __future__ import annotations

from dataclasses import dataclass

from .boxes import category_named
from .reading import PERSON, VEHICLE

_BLANK = {"blank", "empty", "nothing", "no animal", "none", "false trigger"}
_UNKNOWN = {"", "unknown", "unidentified", "unid", "animal", "no cv result", "other", "na", "n/a"}


@dataclass(frozen=True)
class Taxon:
    """What a name says: scientific binomial or the lowest taxon, else a common name; or that there is no animal, a
    person, a vehicle. All empty: nobody knows."""

    species: str = ""
    blank: bool = False
    person: bool = False
    vehicle: bool = False


def taxon_of(text: str) -> Taxon:
    """Read a taxonomy string, or a plain name."""
    parts = [" ".join(part.split()) for part in text.split(";")]
    if len(parts) != 7:
        return _plain(" ".join(text.replace("_", " ").split()))
    _, _, _, family, genus, epithet, common = parts
    special = _plain(common)
    if special.blank or special.person or special.vehicle:
        return special
    if genus and epithet:
        return _scientific(f"{genus} {epithet}")
    # A genus or family alone decides nothing, but says what it was taken for.
    return Taxon(_capital(genus or family or parts[2] or parts[1]) if common.casefold() not in _UNKNOWN else "")


def _scientific(name: str) -> Taxon:
    return Taxon(person=True) if name.casefold() == "homo sapiens" else Taxon(_capital(name))


def _plain(name: str) -> Taxon:
    said = name.casefold()
    if said in _BLANK:
        return Taxon(blank=True)
    category = category_named(said)
    if category in (PERSON, VEHICLE):
        return Taxon(person=category == PERSON, vehicle=category == VEHICLE)
    return Taxon("" if said in _UNKNOWN else _capital(name)[:200])


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]
