"""Sentences that are stored: English in the database, in the reader's language on a page."""

from __future__ import annotations

import re

from django.utils.translation import gettext, gettext_noop

from . import sentences_imports

# As they are written where they come from; tests/identification/test_sentences.py looks for them there. Details follow
# in brackets. Those with a number or a name in their middle are in FILLED.
STORED = (
    # Reading a photo (preprocessing.imageio).
    gettext_noop("The file is not there any more. Reconnect the disk or share and ingest the folder again."),
    gettext_noop("The file has no content (zero bytes). Copy it again from the memory card."),
    gettext_noop("The file starts like a photo but its header cannot be read. Copy it again from the memory card."),
    gettext_noop("The photo breaks off before its end. Copy it again from the memory card."),
    gettext_noop("The file is named like a photo but holds something else (text or a web page). Remove or replace it."),
    gettext_noop("This kind of file is not supported. Save it as JPEG, PNG or TIFF and ingest that."),
    gettext_noop("The photo has more pixels than allowed. Save a smaller copy and ingest that."),
    gettext_noop("The photo is too small to show an animal. Check whether it is a thumbnail."),
    gettext_noop("The photo is a strip, far longer than wide. Check whether it is a panorama or damaged."),
    # Walking a folder (preprocessing.walk, inference.photos).
    gettext_noop("Made by the operating system or hidden; not a photo."),
    gettext_noop("A link; links are not followed. Ingest the folder that it points to."),
    gettext_noop("A device, pipe or socket; not a file."),
    gettext_noop("The file is still being written; ingest the folder again later."),
    gettext_noop("A video; only photos are read."),
    gettext_noop("An archive; unpack it and ingest the folder."),
    gettext_noop("A copy that is not finished; ingest the folder again later."),
    gettext_noop("Not a photo."),
    gettext_noop("The file changed while it was read; ingest the folder again when copying is over."),
    gettext_noop("The file vanished while the folder was read."),
    gettext_noop("The file is no longer where it was ingested; ingest the folder again."),
    gettext_noop("The file is another one than was ingested; ingest the folder again."),
    # Files from a browser (services.receiving, services.unpacking).
    gettext_noop(
        "Another file of this path and name has arrived already. Ingest those first, or send it in another folder."
    ),
    gettext_noop("The path is no file's name below a folder."),
    gettext_noop("The server's disk has no room for it. Ask the administrator."),
    gettext_noop("It did not arrive whole. Send it again."),
    gettext_noop("The path in the archive leads out of its folder or is no file's name."),
    gettext_noop("A link or device in an archive."),
    gettext_noop("The file is encrypted; unpack it yourself and send the photos."),
    gettext_noop("An archive in an archive; unpack it yourself and send the photos."),
    gettext_noop("The archive holds two files of this name; the first one is taken."),
    gettext_noop("Here the archive exceeds what may be unpacked; the rest of it is left out."),
    # Processing and matching.
    gettext_noop("The model was switched again and again while this photo was encoded."),
    gettext_noop("The database was away or full; work goes on by itself."),
    gettext_noop("Another model was activated while the survey was matched."),
    gettext_noop("The worker died while matching. Match again."),
    # Exports (exports.requests, exports.secr, exports.places).
    gettext_noop("You may not export these surveys so."),
    gettext_noop("A survey of this export is not there any more."),
    gettext_noop("secr needs stations with exact coordinates, and photos with a time and a station."),
    gettext_noop("UTM ends at 80° S and 84° N; a station lies beyond."),
    gettext_noop("The stations lie too far apart for one UTM zone: is the place of one of them mistaken?"),
)
# What stands for a number, a name or another program's words is taken over as it was stored.
FILLED = (
    # Reading photos and folders (preprocessing, inference.photos, services.ingest).
    gettext_noop("The same photo as %(path)s; it is kept once."),
    gettext_noop("The file cannot be read: %(why)s."),
    gettext_noop("The file cannot be examined: %(why)s."),
    gettext_noop("The folder cannot be read: %(why)s."),
    # Files from a browser (services.receiving, services.receiving_run, services.unpacking).
    gettext_noop("Larger than %(size)s MB."),
    gettext_noop("Larger than %(size)s MB unpacked."),
    gettext_noop("Together more than %(size)s GB. Ingest what arrived, then go on."),
    gettext_noop("It could not be unpacked: %(why)s."),
    gettext_noop("It holds more than %(number)s files; nothing is unpacked."),
    gettext_noop("It would grow more than %(number)s times when it is unpacked; no photo does."),
    gettext_noop("The archive cannot be read: %(why)s."),
    gettext_noop("The file in the archive is damaged: %(why)s."),
    gettext_noop("The file could not be written: %(why)s."),
    gettext_noop("There is no folder %(folder)s."),
    gettext_noop("%(folder)s is not a folder."),
    # What found the animals (preprocessing.detection.background, inference.engines).
    gettext_noop("Station background has only %(frames)s frames, %(needed)s are needed: nothing looked for."),
    gettext_noop("Station background, %(frames)s frames; cannot tell animals from people and vehicles."),
    gettext_noop(
        "%(file)s is not installed. It is at %(url)s; put it into the weights folder of SpotID's home and register it, "
        "or fetch it with the command `weights`."
    ),
    # Models (inference.model_files, services.activation_run).
    gettext_noop("Its crop cannot be read: %(why)s."),
    gettext_noop("The weights of %(model)s are outside the weights folder."),
    gettext_noop("The weights of %(model)s, %(file)s, are not in the weights folder any more."),
    gettext_noop(
        "The weights of %(model)s are not the registered ones: SHA-256 is %(found)s, registered is %(registered)s. The "
        "file is damaged or was replaced; restore it, or import the model again."
    ),
    # Exports (exports.occasions, services.export_queue).
    gettext_noop(
        "From %(first)s to %(last)s there are %(number)s occasions; at most %(most)s can be written. "
        "A camera's clock may not have been set: choose the first and the last day, or longer occasions."
    ),
    gettext_noop("The worker died %(number)s times while it exported."),
    # Background work (services.silence, services.receiving, services.calibration_queue, services.activation).
    gettext_noop("Nothing was heard of it for %(number)s minutes, so it was ended."),
    gettext_noop("Nothing was heard of it for %(number)s seconds, so it was ended."),
    gettext_noop("The worker died %(number)s times while it read the files."),
    gettext_noop("The worker died %(number)s times while it calibrated."),
    gettext_noop("The worker died %(number)s times while it encoded."),
)
# What came of a calibration is put together of parts (inference.calibrating, selectors.calibration).
COMPOSED = (
    gettext_noop("Too few decisions to calibrate: they are too unevenly spread over individuals."),
    gettext_noop(
        "Too few decisions to calibrate: %(fewest)s right and %(fewest_wrong)s wrong pairs of %(fewest_individuals)s "
        "individuals are needed; there are %(right)s right and %(wrong)s wrong ones of %(individuals)s."
    ),
    # As earlier versions stored it.
    gettext_noop(
        "Too few decisions to calibrate: %(fewest)s right and %(fewest_wrong)s wrong pairs of %(fewest_individuals)s "
        "individuals are needed; there are %(right)s and %(wrong)s of %(individuals)s."
    ),
    gettext_noop(
        "Fitted to this population and in use: Brier %(before)s → %(after)s, expected calibration error "
        "%(error_before)s → %(error_after)s on %(candidates)s candidates of %(individuals)s individuals, each held out "
        "of the fit."
    ),
    gettext_noop(
        "Not used, the shipped calibration is no worse: Brier %(before)s → %(after)s, expected calibration error "
        "%(error_before)s → %(error_after)s on %(candidates)s candidates of %(individuals)s individuals, each held out "
        "of the fit."
    ),
    gettext_noop(
        "The learned matcher does not count: it compared %(right)s right and %(wrong)s wrong pairs of %(individuals)s "
        "individuals only."
    ),
    gettext_noop(
        "The learned matcher does not count: Brier %(before)s → %(after)s on the %(candidates)s candidates that it "
        "compared."
    ),
    gettext_noop(
        "The learned matcher counts: Brier %(before)s → %(after)s on the %(candidates)s candidates that it compared."
    ),
    gettext_noop("The calibration that ships is in use."),
)
_KNOWN = frozenset((*STORED, *sentences_imports.STORED))
_PLACE = re.compile(r"%\((\w+)\)s")


def _shape(template: str) -> re.Pattern[str]:
    """What fits the template; the name of each place is that of its group."""
    parts = _PLACE.split(template)
    return re.compile("".join(f"(?P<{part}>.+?)" if odd % 2 else re.escape(part) for odd, part in enumerate(parts)))


_SHAPES = [(template, _shape(template)) for template in (*FILLED, *COMPOSED, *sentences_imports.FILLED)]


def stored_words(sentence: str) -> str:
    """A stored sentence, or several, for reading. What is not known stays as it is, detail in brackets as well."""
    return _several(sentence) or sentence


def _one(sentence: str) -> str:
    """ "" where it is not known."""
    if sentence in _KNOWN:
        return gettext(sentence)
    for template, shape in _SHAPES:
        found = shape.fullmatch(sentence)
        if found is not None:
            return gettext(template) % found.groupdict()
    known, bracket, detail = sentence.rpartition(" (")
    return f"{gettext(known)}{bracket}{detail}" if known in _KNOWN else ""


def _several(text: str) -> str:
    """The first sentence by itself, with what follows; "" where the first is not known."""
    for end in re.finditer(r"(?<=[.)]) ", text):
        first = _one(text[: end.start()])
        if first:
            rest = text[end.end() :]
            return f"{first} {_several(rest) or rest}"
    return _one(text)
