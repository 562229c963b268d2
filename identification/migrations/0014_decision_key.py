"""A key that the browser makes for each decision, so that one that arrives twice is recorded once."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("identification", "0013_match_again")]
    operations = [
        migrations.AddField(
            model_name="decision",
            name="key",
            field=models.UUIDField(
                blank=True,
                editable=False,
                help_text="Made by the browser: what arrives twice is recorded once.",
                null=True,
                unique=True,
            ),
        ),
    ]
