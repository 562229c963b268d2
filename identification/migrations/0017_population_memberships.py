"""Memberships of whole populations beside those of single surveys."""

import django.db.models.deletion
from django.db import migrations, models


def survey_by_survey_again(apps, schema_editor):
    """On the way back: who is a member of a population becomes one of each of its surveys of today."""
    memberships = apps.get_model("identification", "Membership").objects
    surveys = apps.get_model("identification", "Survey").objects
    for row in memberships.filter(population__isnull=False):
        for survey in surveys.filter(population_id=row.population_id).exclude(memberships__user_id=row.user_id):
            memberships.create(user_id=row.user_id, survey=survey, role=row.role, may_see_places=row.may_see_places)
        row.delete()
    schema_editor.connection.check_constraints()  # else checks that wait for the commit would keep the table as it is


class Migration(migrations.Migration):
    dependencies = [("identification", "0016_review_focus")]

    operations = [
        migrations.AlterField(
            model_name="membership",
            name="survey",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="memberships",
                to="identification.survey",
            ),
        ),
        migrations.AddField(
            model_name="membership",
            name="population",
            field=models.ForeignKey(
                blank=True,
                help_text="Instead of one survey: all surveys of this population, present and future.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="memberships",
                to="identification.population",
            ),
        ),
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.UniqueConstraint(fields=("user", "population"), name="membership_once_per_population"),
        ),
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.CheckConstraint(
                condition=models.Q(("survey__isnull", True), ("population__isnull", True), _connector="XOR"),
                name="membership_of_survey_or_population",
            ),
        ),
        migrations.RunPython(migrations.RunPython.noop, survey_by_survey_again, elidable=True),
    ]
