"""Modes of review that ask a part of a survey, and which part."""

from django.db import migrations, models


def whole_survey_again(apps, schema_editor):
    """On the way back: the column gets too narrow for some of the new modes, and nothing reads them."""
    positions = apps.get_model("identification", "ReviewPosition").objects.exclude(mode__in=["queue", "photo"])
    positions.update(mode="queue")
    schema_editor.connection.check_constraints()  # else checks that wait for the commit would keep the table as it is


class Migration(migrations.Migration):
    dependencies = [("identification", "0015_several_reviewers")]

    operations = [
        migrations.AddField(
            model_name="reviewposition",
            name="focus",
            field=models.JSONField(
                blank=True, default=dict, help_text="Of modes that ask a part: station, individual, from, to."
            ),
        ),
        migrations.AlterField(
            model_name="reviewposition",
            name="mode",
            field=models.CharField(
                choices=[
                    ("queue", "By what is settled"),
                    ("photo", "By photo"),
                    ("station", "One station"),
                    ("date", "Dates"),
                    ("individual", "One individual"),
                    ("mine", "Only mine"),
                ],
                default="queue",
                max_length=10,
            ),
        ),
        migrations.RunPython(migrations.RunPython.noop, whole_survey_again, elidable=True),
    ]
