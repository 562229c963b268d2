"""Playing a person in the admin: actions, forms, and what came of them."""

from __future__ import annotations

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse

from tests.identification.factories import make_sighting


def act(client, model, action, rows, **said):
    address = reverse(f"admin:identification_{model}_changelist")
    return client.post(address, {"action": action, ACTION_CHECKBOX_NAME: [row.pk for row in rows], **said}, follow=True)


def form(client, model, row, **said):
    """Post a change form with what it holds now, changed by `said`."""
    address = reverse(f"admin:identification_{model}_change", args=[row.pk])
    held = client.get(address).context["adminform"].form
    data = {}
    for name in held.fields:
        value = held.get_initial_for_field(held.fields[name], name)
        if value not in (None, False):
            data[name] = value if not hasattr(value, "pk") else value.pk
    data |= said
    return client.post(address, {name: value for name, value in data.items() if value is not None})


def errors(response):
    return response.context["errors"] if response.context else []


def sightings(survey, number):
    return [make_sighting(survey) for _ in range(number)]
