"""Invariants that Django's constraints cannot say: unit vectors, append-only logs, who may be paired with whom."""

from django.db import migrations

UNIT_VECTORS = """
ALTER TABLE identification_embedding ADD CONSTRAINT embedding_has_unit_length
CHECK (abs(vector_norm(vector) - 1) < 0.001);
"""

APPEND_ONLY = """
CREATE FUNCTION spotid_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Deleting a whole survey is the one way out, and has to be asked for by name in its own transaction.
    IF TG_OP = 'DELETE' AND current_setting('spotid.purge', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER decision_append_only BEFORE UPDATE OR DELETE ON identification_decision
    FOR EACH ROW EXECUTE FUNCTION spotid_refuse_change();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON identification_auditentry
    FOR EACH ROW EXECUTE FUNCTION spotid_refuse_change();
"""

PAIRS = """
CREATE FUNCTION spotid_check_pair() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    image_a bigint; image_b bigint; population_a bigint; population_b bigint;
BEGIN
    SELECT i.id, s.population_id INTO image_a, population_a FROM identification_detection d
        JOIN identification_image i ON i.id = d.image_id JOIN identification_survey s ON s.id = i.survey_id
        WHERE d.id = NEW.a_id;
    SELECT i.id, s.population_id INTO image_b, population_b FROM identification_detection d
        JOIN identification_image i ON i.id = d.image_id JOIN identification_survey s ON s.id = i.survey_id
        WHERE d.id = NEW.b_id;
    IF population_a IS DISTINCT FROM population_b THEN
        RAISE EXCEPTION 'detections of two populations cannot be paired' USING ERRCODE = 'check_violation';
    END IF;
    IF image_a = image_b AND NEW.verdict = 'match' THEN
        RAISE EXCEPTION 'two detections of one photo are never the same individual' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER edge_pairs_comparable BEFORE INSERT OR UPDATE OF a_id, b_id, verdict ON identification_matchedge
    FOR EACH ROW EXECUTE FUNCTION spotid_check_pair();
"""


class Migration(migrations.Migration):
    dependencies = [("identification", "0001_initial")]
    operations = [
        migrations.RunSQL(UNIT_VECTORS, "ALTER TABLE identification_embedding DROP CONSTRAINT embedding_has_unit_length"),
        migrations.RunSQL(
            APPEND_ONLY,
            "DROP TRIGGER decision_append_only ON identification_decision;"
            "DROP TRIGGER audit_append_only ON identification_auditentry; DROP FUNCTION spotid_refuse_change()",
        ),
        migrations.RunSQL(
            PAIRS, "DROP TRIGGER edge_pairs_comparable ON identification_matchedge; DROP FUNCTION spotid_check_pair()"
        ),
        migrations.RunSQL("CREATE SEQUENCE spotid_fencing_token", "DROP SEQUENCE spotid_fencing_token"),
    ]
