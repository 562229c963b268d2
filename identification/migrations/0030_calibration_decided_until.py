import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    """Those that were fitted before have no such moment; when they were stored stands for it."""

    dependencies = [("identification", "0029_printed_strips")]

    operations = [
        migrations.AddField(
            model_name="paircalibration",
            name="decided_until",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="What was decided until then is in it, what came later is not.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="paircalibration",
            name="created_at",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                editable=False,
                help_text="When it was fitted and stored.",
            ),
        ),
    ]
