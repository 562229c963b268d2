"""Imports, what they say of photos, and when cameras worked."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("identification", "0017_population_memberships"),
    ]

    operations = [
        migrations.AddField(
            model_name="image",
            name="imported",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="What an import says of the photo; see identification.services.imported.",
            ),
        ),
        migrations.CreateModel(
            name="ImportRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=24)),
                ("dry_run", models.BooleanField(default=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Waiting"),
                            ("running", "Working"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("file_name", models.CharField(blank=True, max_length=255)),
                (
                    "sha256",
                    models.CharField(
                        blank=True, help_text="Of the file, or of names and sizes of a folder.", max_length=64
                    ),
                ),
                ("size", models.BigIntegerField(default=0)),
                (
                    "path",
                    models.TextField(blank=True, help_text="Where the file lies. A place: kept from most people."),
                ),
                ("options", models.JSONField(blank=True, default=dict)),
                ("counts", models.JSONField(blank=True, default=dict)),
                (
                    "notes",
                    models.JSONField(blank=True, default=list, help_text="Sentences about how the file was read."),
                ),
                (
                    "issues_left_out",
                    models.PositiveIntegerField(default=0, help_text="Issues beyond those that are listed."),
                ),
                ("done", models.PositiveIntegerField(default=0)),
                ("total", models.PositiveIntegerField(default=0)),
                ("error", models.TextField(blank=True)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                (
                    "token",
                    models.BigIntegerField(
                        default=0, help_text="Fencing token: a late write with an older one is refused."
                    ),
                ),
                ("lease_until", models.DateTimeField(blank=True, help_text="By the database's clock.", null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "rehearsal",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="runs",
                        to="identification.importrun",
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "survey",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="import_runs",
                        to="identification.survey",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="ImportIssue",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("file", models.TextField(blank=True)),
                ("row", models.PositiveIntegerField(blank=True, null=True)),
                ("code", models.CharField(max_length=64)),
                ("words", models.TextField()),
                ("detail", models.TextField(blank=True)),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="issues",
                        to="identification.importrun",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="CameraOperation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("camera", models.CharField(blank=True, help_text="Empty: all cameras of the station.", max_length=64)),
                ("set_up", models.DateField()),
                ("set_up_time", models.TimeField(blank=True, null=True)),
                ("retrieved", models.DateField(blank=True, help_text="Empty while it stands.", null=True)),
                ("retrieved_time", models.TimeField(blank=True, null=True)),
                ("problems", models.JSONField(blank=True, default=list)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "station",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="operations",
                        to="identification.station",
                    ),
                ),
            ],
            options={
                "ordering": ["station", "camera", "set_up"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("station", "camera", "set_up", "set_up_time"),
                        name="operation_once_per_camera_and_set_up",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("retrieved__isnull", True), ("retrieved__gte", models.F("set_up")), _connector="OR"
                        ),
                        name="operation_retrieved_after_set_up",
                    ),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="importrun",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "running"), _negated=True), ("lease_until__isnull", False), _connector="OR"
                ),
                name="import_running_has_lease",
            ),
        ),
    ]
