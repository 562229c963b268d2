"""Django's sessions in the database. Every request reads one, so the query is built once."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import db
from django.utils import timezone

from identification.prepared import Given, Prepared

_SESSION = Prepared(
    lambda: (
        db.SessionStore.get_model_class()
        .objects.filter(session_key=Given("key"), expire_date__gt=Given("now"))
        .values_list("session_data")
    )
)


class SessionStore(db.SessionStore):
    """The same table and the same sessions."""

    def load(self) -> dict[str, Any]:
        found = _SESSION(key=self.session_key, now=timezone.now())
        if not found:
            self._session_key = None
            return {}
        return dict(self.decode(found[0][0]))
