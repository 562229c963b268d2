"""Where the bundled database of a home lies, and who runs it."""

import hashlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from launcher.accounts import (
    SYSTEM_STATE,
    Account,
    account_of_owner,
    database_account,
    is_below_a_home_folder,
    may_enter,
)
from launcher.home import Home, read_location
from launcher.messages import LauncherError

HOME_NOTE = "home.txt"


@dataclass(frozen=True)
class Place:
    """`folder` holds the data folder. `reason`: why it is not in the home folder; empty when it is."""

    folder: Path
    reason: str
    account: Account | None


def find_place(home: Home) -> Place:
    """The place that the home has recorded, else one for a new database. Changes nothing on the disk."""
    inside = home.path / "database"
    if (inside / "data" / "PG_VERSION").exists():
        return Place(inside, "", account_of_owner(inside / "data"))
    location = read_location(home)
    recorded = Path(location["data"]).parent if "data" in location else inside
    if SYSTEM_STATE not in recorded.parents:
        return _new_place(home, inside)
    if not (recorded / "data" / "PG_VERSION").exists():
        raise LauncherError(
            f"The database of {home.path} should be in {recorded}, and is not there. Bring it back from a backup, or "
            f"remove {home.location_file} to begin with an empty one."
        )
    _take_along(home, recorded)
    return Place(recorded, str(location["reason"]), account_of_owner(recorded / "data"))


def _new_place(home: Home, inside: Path) -> Place:
    account = database_account()
    if account is None:
        return Place(inside, "", None)
    if is_below_a_home_folder(home.path):
        reason = "started as root below a home folder, whose mode is not to be changed"
    elif not may_enter(account, home.path):
        reason = f"the user {account.name}, who runs PostgreSQL, can't reach the home folder"
    else:
        return Place(inside, "", account)
    name = hashlib.sha256(os.fsencode(home.path)).hexdigest()[:16]
    # A home that was removed and made anew must not get the database of the old one, which is nobody's to remove.
    for number in itertools.count(1):
        outside = SYSTEM_STATE / (name if number == 1 else f"{name}-{number}")
        if not (outside / "data").exists():
            return Place(outside, reason, account)
    raise AssertionError("numbers do not end")


def _take_along(home: Home, folder: Path) -> None:
    """Let a home that was moved keep its database, but not a copy of a home share the original's."""
    note = folder / HOME_NOTE
    before = Path(os.fsdecode(note.read_bytes())) if note.exists() else home.path
    if before == home.path:
        return
    if read_location(Home(before)).get("data") == str(folder / "data"):
        raise LauncherError(
            f"{home.path} is a copy of {before}, and both name the database in {folder}. Copy it with pg_dump instead "
            f"(docs/administrator.md), and remove {home.location_file}."
        )
    note.write_bytes(os.fsencode(home.path))
