"""Candidates of before have no evidence, and features another form: every matched survey is matched once more."""

from django.db import migrations


def forget(apps, schema_editor):  # type: ignore[no-untyped-def]
    apps.get_model("identification", "Survey").objects.filter(matching_state="done").update(
        matching_state="stale", matching_attempts=0
    )


class Migration(migrations.Migration):
    dependencies = [("identification", "0008_link_proposal_outcome")]
    operations = [migrations.RunPython(forget, migrations.RunPython.noop)]
