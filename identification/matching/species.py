"""What the name of a species says beside another one. Pure functions."""

from __future__ import annotations

from enum import StrEnum


class Named(StrEnum):
    """What a name says about a population's species."""

    SAME = "same"
    OTHER = "other"
    UNKNOWN = "unknown"


# Names by which tools say that they do not know.
_NO_NAME = {
    "",
    "animal",
    "unknown",
    "unidentified",
    "blank",
    "empty",
    "na",
    "none",
    "mammal",
    "vertebrate",
    "no cv result",
}
_OPEN = {"sp", "sp.", "spp", "spp.", "cf", "cf.", "aff", "aff."}


def species_named(said: str, wanted: str) -> Named:
    """What a species name says of a population's species; both scientific names, capitals and spaces do not matter.

    A subspecies is its species and the other way round, two subspecies leave it open; so does the genus alone, or a
    word for not knowing. Two binomials that differ are two species. A common name agrees only with itself: beside a
    scientific one it says nothing.
    """
    one, other = _words(said), _words(wanted)
    if not one or not other:
        return Named.UNKNOWN
    if one == other:
        return Named.SAME
    if not (_scientific(said) and _scientific(wanted)):
        return Named.UNKNOWN
    if one[0] != other[0]:
        return Named.OTHER
    if len(one) == 1 or len(other) == 1:
        return Named.UNKNOWN
    if one[:2] != other[:2]:
        return Named.OTHER
    # Of two subspecies nothing is put aside: they are drawn anew too often.
    return Named.SAME if len(one) == 2 or len(other) == 2 else Named.UNKNOWN


def species_shown(said: str) -> str:
    """A species name as people read it, "" where it says nothing; of a taxonomy's string the common name."""
    words = _words(said)
    if not words:
        return ""
    parts = [part.strip() for part in said.replace("_", " ").split(";")]
    name = (parts[-1] or " ".join(words)) if len(parts) >= 7 else " ".join(parts[0].split())
    return name[:1].upper() + name[1:]


# English nouns that end like Latin epithets.
_ENGLISH = {
    "agouti",
    "alpaca",
    "antelope",
    "bonobo",
    "cheetah",
    "chinchilla",
    "cobra",
    "coyote",
    "dikdik",
    "dingo",
    "emu",
    "fox",
    "gazelle",
    "gorilla",
    "hippo",
    "hippopotamus",
    "hyaena",
    "hyena",
    "ibex",
    "iguana",
    "impala",
    "kangaroo",
    "koala",
    "llama",
    "lynx",
    "margay",
    "mongoose",
    "moose",
    "muskox",
    "nyala",
    "okapi",
    "oryx",
    "ox",
    "paca",
    "panda",
    "platypus",
    "porcupine",
    "puma",
    "rhea",
    "rhino",
    "rhinoceros",
    "ringtail",
    "tapir",
    "tortoise",
    "vicuna",
    "walrus",
    "wapiti",
    "zebra",
}
_LATIN = ("a", "ae", "ax", "es", "ex", "i", "is", "ix", "ns", "o", "on", "or", "os", "um", "us", "x", "yx", "ys")


def _words(name: str) -> tuple[str, ...]:
    """The words of a name, lower case, without authority, rank marks and what stands for not knowing.

    The taxonomies of SpeciesNet (`id;class;order;family;genus;species;common name`) give genus and species.
    """
    parts = [part.strip() for part in name.casefold().replace("_", " ").split(";")]
    name = f"{parts[-3]} {parts[-2]}".strip() if len(parts) >= 7 else parts[0]
    name = name.split("(")[0].split(",")[0]
    words = tuple(word for word in name.split() if word not in _OPEN)
    return () if " ".join(words) in _NO_NAME else words


def _scientific(name: str) -> bool:
    """Whether a name is written as genus and epithet, or says by a mark that it is a genus."""
    if name.count(";") >= 6 or any(word in _OPEN for word in name.casefold().split()):
        return True
    words = _words(name)
    if not 2 <= len(words) <= 3 or not all(word.isalpha() and word.isascii() for word in words):
        return False
    return words[0] == words[1] or (words[-1].endswith(_LATIN) and words[-1] not in _ENGLISH)
