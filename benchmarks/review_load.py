"""Reviewers at work over real HTTP, each with a session of her own: sign in, look at a pair, answer, look at the next.

Used by review_latency.py. A reviewer answers by the truth that the generator kept, at a fixed pace, as people do: some
answers are wrong, some unsure, and now and then one is taken back or put off. `Reviewer` works without the page's
script: an answer is a form, after which the page of the next pair is loaded. `SessionReviewer` does what it does
(static/spotid/js/session.js): the page is loaded once, an answer is sent in the background, and what comes next is
asked for where little is at hand.
"""

import html
import http.client
import json
import random
import re
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

PASSWORD = "correct horse battery staple"
WRONG, UNSURE, INCOMPARABLE, UNDONE, LATER = 0.005, 0.03, 0.01, 0.02, 0.01
# As static/spotid/js/session.js: with fewer questions at hand, or up to two more, what comes next is asked for after an
# answer.
SPARE = 5
_FORM = re.compile(r'<form[^>]*action="([^"]*/decide/)"[^>]*>(.*?)</form>', re.S)
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')
_TIMING = re.compile(r"(\w+);dur=([\d.]+)")


@dataclass(frozen=True)
class Request:
    """One request, in milliseconds: at the server (total, cpu, db) and as the client saw it (client)."""

    kind: str
    at: float
    status: int
    total: float
    cpu: float
    db: float
    client: float
    queries: int
    size: int


@dataclass
class Reviewer:
    """A person in front of a browser."""

    name: str
    survey: int
    port: int
    truth: Mapping[int, int]
    random: random.Random
    done: list[Request] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    cookies: dict[str, str] = field(default_factory=dict)
    _connection: http.client.HTTPConnection | None = None
    _page: str = ""

    def sign_in(self) -> None:
        self.ask("GET", "/login/", "sign in")
        token = {"csrfmiddlewaretoken": _hidden(self._page)["csrfmiddlewaretoken"]}
        status = self.ask("POST", "/login/", "sign in", {"username": self.name, "password": PASSWORD, **token})[0]
        if status != 302:
            raise SystemExit(f"{self.name} could not sign in: {status}")

    def look(self, address: str = "") -> None:
        """The next pair, wherever the last answer leads to."""
        status, where = self.ask("GET", address or self._review, "next_pair")
        if status == 302:
            status, where = self.ask("GET", where, "next_pair")
        if status == 200 and not _FORM.search(self._page):
            # The goal is reached, or nothing is left but what was put off: she goes on all the same.
            self.ask("GET", f"{self._review}?on=1", "goes_on")

    @property
    def _review(self) -> str:
        return f"/surveys/{self.survey}/review/"

    def work(self, begin: float, pace: float, end: float, stop: threading.Event) -> None:
        """Answer every `pace` seconds from `begin` to `end` (of time.perf_counter)."""
        due = begin
        while due < end and not stop.is_set():
            time.sleep(max(0.0, due - time.perf_counter()))
            try:
                self.answer()
            except (OSError, http.client.HTTPException) as error:
                self.trouble.append(repr(error))
                self.leave()
            due += pace
        self.leave()

    def leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def answer(self) -> None:
        form = _FORM.search(self._page)
        if form is None:
            self.look()
            return
        said = _hidden(form[2])
        anchor, candidate = int(said["anchor"]), int(said["candidate"])
        token = {"csrfmiddlewaretoken": said["csrfmiddlewaretoken"]}
        chance = self.random.random()
        if chance < UNDONE:
            status, where = self.ask("POST", f"{self._review}undo/", "undo", token)
        elif chance < UNDONE + LATER:
            status, where = self.ask(
                "POST", f"{self._review}later/", "later", {"pair": f"{anchor}-{candidate}", **token}
            )
        else:
            verdict = self._verdict(anchor, candidate)
            status, where = self.ask("POST", form[1], "decision", {**said, "verdict": verdict})
        if status == 409:
            # Somebody was quicker, or an earlier decision collides: she leaves the pair.
            pair = f"{anchor}-{candidate}"
            status, where = self.ask("POST", f"{self._review}later/", "later", {"pair": pair, **token})
        self.look(where if status == 302 else "")

    def _verdict(self, anchor: int, candidate: int) -> str:
        chance = self.random.random()
        if chance < UNSURE:
            return "unsure"
        if chance < UNSURE + INCOMPARABLE:
            return "incomparable"
        same = self.truth[anchor] == self.truth[candidate]
        if chance > 1 - WRONG:
            same = not same
        return "match" if same else "no_match"

    def ask(
        self, method: str, address: str, kind: str, form: Mapping[str, str] | None = None, accept: str = "text/html"
    ) -> tuple[int, str]:
        """One request; returns its status and where it leads."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), "Accept": accept}
        body = None
        if form is not None:
            body = urlencode(form)
            headers |= {"Content-Type": "application/x-www-form-urlencoded"}
        began = time.perf_counter()
        self._connection.request(method, address, body, headers)
        response = self._connection.getresponse()
        content = response.read()
        client = 1000 * (time.perf_counter() - began)
        for cookie in response.headers.get_all("Set-Cookie") or []:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name.strip()] = value
        took = {name: float(value) for name, value in _TIMING.findall(response.headers.get("Server-Timing", ""))}
        self.done.append(
            Request(
                kind,
                began,
                response.status,
                took.get("total", 0.0),
                took.get("cpu", 0.0),
                took.get("db", 0.0),
                client,
                int(took.get("queries", 0)),
                len(content),
            )
        )
        if response.status >= 500:
            self.trouble.append(f"{method} {address}: {response.status}")
        if response.status == 200 or accept != "text/html":
            self._page = content.decode()
        where = urlsplit(response.headers.get("Location", ""))
        return response.status, where.path + (f"?{where.query}" if where.query else "")


@dataclass
class SessionReviewer(Reviewer):
    """A person whose browser runs the page's script."""

    items: list[dict[str, Any]] = field(default_factory=list)
    shown: dict[str, Any] | None = None
    enough: int = SPARE

    def look(self, address: str = "") -> None:
        """The page, and what comes after its question."""
        super().look(address)
        form = _FORM.search(self._page)
        self.items, self.shown = [], None
        if form is None:
            return
        said = _hidden(form[2])
        self.shown = {"token": "", "pair": f"{said['anchor']}-{said['candidate']}", "html": self._page}
        self._refresh()

    def _refresh(self, decided: bool = False) -> None:
        said = self._state() | ({"undo": "0"} if decided else {})
        query = urlencode({name: value for name, value in said.items() if value})
        status, _ = self.ask("GET", f"{self._review}ahead/?{query}", "ahead", accept="application/json")
        if status == 200:
            self._take(json.loads(self._page))

    def _state(self) -> dict[str, str]:
        showing = self.shown["pair"] if self.shown else ""
        return {"showing": showing, "have": ",".join(item["token"] for item in self.items), "waiting": "", "on": "1"}

    def _take(self, following: dict[str, Any]) -> None:
        """What the server says comes next, with the parts that are here already."""
        self.enough = SPARE + self.random.randrange(3)
        here = {item["token"]: item for item in self.items}
        rows = [{**here.get(row["token"], {}), **row} for row in following["order"]]
        self.items = [row for row in rows if "html" in row and (not self.shown or row["pair"] != self.shown["pair"])]
        if following["shown"] is False or not self.shown:
            self.shown = self.items.pop(0) if self.items else None

    def answer(self) -> None:
        form = _FORM.search(self.shown["html"]) if self.shown else None
        if form is None or self.shown is None:
            self.look()
            return
        said = {**_hidden(form[2]), "on": "1", "key": str(uuid.UUID(int=self.random.getrandbits(128), version=4))}
        anchor, candidate = int(said["anchor"]), int(said["candidate"])
        chance = self.random.random()
        if chance < UNDONE:
            self._refresh()  # what would follow from it
            self._send("undo", {"csrfmiddlewaretoken": said["csrfmiddlewaretoken"], "key": said["key"], "sure": "1"})
        elif chance < UNDONE + LATER:
            self._next()
            self._send("later", {**said, "pair": f"{anchor}-{candidate}"})
        else:
            self._next()
            self._send("decide", {**said, "verdict": self._verdict(anchor, candidate)})

    def _next(self) -> None:
        self.shown = self.items.pop(0) if self.items else None

    def _send(self, what: str, fields: dict[str, str]) -> None:
        kind = {"decide": "decision"}.get(what, what)
        address = f"{self._review}{what}/"
        spare = {"spare": "1"} if what == "decide" and self.shown else {}
        if not spare and what == "decide":
            kind = "decision, next"
        status, _ = self.ask("POST", address, kind, {**fields, **self._state(), **spare}, accept="application/json")
        answer = json.loads(self._page)
        if status == 200 and answer.get("next"):
            self._take(answer["next"])
        elif status != 200 or not self.shown or len(self.items) < self.enough:
            self._refresh(decided=status == 200)


def _hidden(part: str) -> dict[str, str]:
    return {name: html.unescape(value) for name, value in _HIDDEN.findall(part)}


def work_together(reviewers: list[Reviewer], *, pace: float, seconds: float) -> tuple[float, float]:
    """All at once for so long, their answers spread over the pace. Returns the begin and the end."""
    begin = time.perf_counter() + 0.5
    end = begin + seconds
    stop = threading.Event()
    threads = [
        threading.Thread(
            target=reviewer.work, args=(begin + pace * place / len(reviewers), pace, end, stop), daemon=True
        )
        for place, reviewer in enumerate(reviewers)
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:
        stop.set()
    return begin, end
