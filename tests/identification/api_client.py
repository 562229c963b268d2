"""Asking the API as an account, and reading its problems."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client
from django.urls import reverse

from identification.models import Survey


def address(name: str, *args: Any) -> str:
    return reverse(f"api-{name}", args=args)


def send(client: Client, method: str, where: str, body: Any = None, **headers: str) -> Any:
    data = "" if body is None else json.dumps(body)
    return client.generic(method.upper(), where, data, "application/json", headers=headers)


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def problem(response: Any, status: int) -> dict[str, Any]:
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json"), response.content
    said: dict[str, Any] = response.json()
    assert said["status"] == status
    assert said["title"]
    return said


def pair(survey: Survey, animals: list[list[Any]], verdict: str = "match", version: int = 0) -> dict[str, Any]:
    return {"anchor": animals[0][0].pk, "candidate": animals[0][1].pk, "verdict": verdict, "version": version}
