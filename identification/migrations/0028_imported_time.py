from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("identification", "0027_joins_and_places")]

    operations = [
        migrations.AlterField(
            model_name="image",
            name="captured_source",
            field=models.CharField(
                choices=[
                    ("exif", "EXIF"),
                    ("name", "File name"),
                    ("imported", "Imported data"),
                    ("unknown", "Unknown"),
                ],
                default="unknown",
                max_length=8,
            ),
        ),
    ]
