"""Tokens of programs, the cache that all processes share, and logs that cannot be emptied either."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# django.core.cache.backends.db; made here, so that no further command is needed.
CACHE = """
CREATE TABLE spotid_cache (
    cache_key varchar(255) NOT NULL PRIMARY KEY,
    value text NOT NULL,
    expires timestamp with time zone NOT NULL
);
CREATE INDEX spotid_cache_expires ON spotid_cache (expires);
"""

# A trigger for each row does not see TRUNCATE. Emptying a database of a test asks for it by name.
KEEP = """
CREATE FUNCTION spotid_refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('spotid.empty', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER decision_not_emptied BEFORE TRUNCATE ON identification_decision
    FOR EACH STATEMENT EXECUTE FUNCTION spotid_refuse_truncate();
CREATE TRIGGER audit_not_emptied BEFORE TRUNCATE ON identification_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION spotid_refuse_truncate();
"""
LET_GO = """
DROP TRIGGER decision_not_emptied ON identification_decision;
DROP TRIGGER audit_not_emptied ON identification_auditentry;
DROP FUNCTION spotid_refuse_truncate();
"""


class Migration(migrations.Migration):
    dependencies = [("identification", "0019_imports_and_camera_operation")]

    operations = [
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                ("digest", models.CharField(max_length=128, primary_key=True, serialize=False)),
                ("token_key", models.CharField(db_index=True, max_length=25)),
                ("created", models.DateTimeField(auto_now_add=True)),
                ("expiry", models.DateTimeField(blank=True, null=True)),
                ("name", models.CharField(max_length=80)),
                ("last_used_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="auth_token_set",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"verbose_name": "API token", "verbose_name_plural": "API tokens", "ordering": ["-created"]},
        ),
        migrations.RunSQL(CACHE, "DROP TABLE spotid_cache"),
        migrations.RunSQL(KEEP, LET_GO),
    ]
