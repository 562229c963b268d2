"""Matches that wait for a curator; the grid of a survey's places, and neutral names of stations."""

import django.core.validators
from django.db import migrations, models

# Drawn, so that their order is not that of the codes; of those that are free, so that a label stays what it was.
NUMBER = """
CREATE FUNCTION spotid_number_station() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    most integer;
BEGIN
    IF NEW.number IS NULL THEN
        SELECT CASE WHEN count(*) < 50 THEN 99 WHEN count(*) < 500 THEN 999 WHEN count(*) < 5000 THEN 9999
            ELSE 3 * count(*) END INTO most
        FROM identification_station WHERE survey_id = NEW.survey_id;
        SELECT free.number INTO NEW.number FROM generate_series(1, most) AS free(number)
        WHERE NOT EXISTS (
            SELECT FROM identification_station taken
            WHERE taken.survey_id = NEW.survey_id AND taken.number = free.number
        ) ORDER BY random() LIMIT 1;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER station_numbered BEFORE INSERT ON identification_station
    FOR EACH ROW EXECUTE FUNCTION spotid_number_station();
UPDATE identification_station SET number = drawn.number
FROM (SELECT id, row_number() OVER (PARTITION BY survey_id ORDER BY random()) AS number FROM identification_station) drawn
WHERE drawn.id = identification_station.id;
"""
# Before this version nothing waits: what does is taken for a reviewer who was not sure.
UNSURE = """
ALTER TABLE identification_decision DISABLE TRIGGER decision_append_only;
UPDATE identification_decision SET verdict = 'unsure' WHERE verdict = 'proposed';
ALTER TABLE identification_decision ENABLE TRIGGER decision_append_only;
"""
VERDICTS = ["match", "no_match", "unsure", "incomparable", "proposed"]


class Migration(migrations.Migration):
    dependencies = [("identification", "0025_request_keys")]

    operations = [
        migrations.AlterField(
            model_name="decision",
            name="verdict",
            field=models.CharField(
                blank=True,
                choices=[
                    ("match", "Match"),
                    ("no_match", "Not a match"),
                    ("unsure", "Unsure"),
                    ("incomparable", "Incomparable"),
                    ("proposed", "Match, waits for a curator"),
                ],
                max_length=12,
            ),
        ),
        migrations.RemoveConstraint(model_name="decision", name="decision_is_verdict_or_undo"),
        migrations.AddConstraint(
            model_name="decision",
            constraint=models.CheckConstraint(
                condition=models.Q(("undoes__isnull", True), ("verdict__in", VERDICTS))
                | models.Q(("undoes__isnull", False), ("verdict", "")),
                name="decision_is_verdict_or_undo",
            ),
        ),
        migrations.RunSQL(migrations.RunSQL.noop, UNSURE),
        migrations.AddIndex(
            model_name="decision",
            index=models.Index(
                condition=models.Q(("verdict", "proposed")), fields=["edge"], name="decision_proposed"
            ),
        ),
        migrations.AddField(
            model_name="survey",
            name="hide_stations",
            field=models.BooleanField(
                default=False,
                help_text="The names of stations and files tell the place: only who may see places sees them.",
            ),
        ),
        migrations.AddField(
            model_name="survey",
            name="place_grid",
            field=models.FloatField(
                default=0.1,
                help_text="Width in degrees of the cells that are shown instead of places to those who may not see them.",
                validators=[
                    django.core.validators.MinValueValidator(0.01),
                    django.core.validators.MaxValueValidator(5),
                ],
            ),
        ),
        migrations.AddConstraint(
            model_name="survey",
            constraint=models.CheckConstraint(
                condition=models.Q(("place_grid__range", (0.01, 5))), name="survey_grid_hides"
            ),
        ),
        migrations.AddField(
            model_name="station",
            name="number",
            field=models.PositiveIntegerField(
                editable=False,
                help_text="Instead of the code where that is hidden; the database draws it.",
                null=True,
            ),
        ),
        migrations.RunSQL(
            NUMBER,
            "DROP TRIGGER station_numbered ON identification_station; DROP FUNCTION spotid_number_station()",
        ),
    ]
