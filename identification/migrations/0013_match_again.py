"""Probabilities stored before were far too sure where coats look alike: every matched survey is matched once more."""

from django.db import migrations


def forget(apps, schema_editor):  # type: ignore[no-untyped-def]
    apps.get_model("identification", "Survey").objects.filter(matching_state="done").update(
        matching_state="stale", matching_attempts=0
    )


class Migration(migrations.Migration):
    dependencies = [("identification", "0012_receiving_files")]
    operations = [migrations.RunPython(forget, migrations.RunPython.noop)]
