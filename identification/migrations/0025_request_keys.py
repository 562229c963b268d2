import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("identification", "0021_exports"), ("identification", "0024_sign_in")]

    operations = [
        migrations.CreateModel(
            name="RequestKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=200)),
                (
                    "digest",
                    models.CharField(help_text="SHA-256 of method, address and content.", max_length=64),
                ),
                (
                    "rights",
                    models.CharField(help_text="Digest of what the account might do then.", max_length=64),
                ),
                ("status", models.PositiveSmallIntegerField(default=0)),
                ("answer", models.JSONField(blank=True, null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["created_at"], name="request_key_age")],
                "constraints": [models.UniqueConstraint(fields=("user", "key"), name="request_key_once")],
            },
        ),
    ]
