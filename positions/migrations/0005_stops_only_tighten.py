"""A stop only ever tightens (EXT-2), whoever is connected: the database refuses to loosen one.

Within one life of a position on one side (``episode``) a stop that stands may rise and never fall for a long,
fall and never rise for a short, and never go away.
"""

from django.db import migrations

REFUSE = """
CREATE FUNCTION positions_exitguard_ratchet() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.episode = OLD.episode AND (
        NEW.sign <> OLD.sign
        OR (OLD.stop_price IS NOT NULL AND (
            NEW.stop_price IS NULL OR (NEW.stop_price - OLD.stop_price) * OLD.sign < 0))
        OR (OLD.trail_price IS NOT NULL AND (
            NEW.trail_price IS NULL OR (NEW.trail_price - OLD.trail_price) * OLD.sign < 0))
    ) THEN
        RAISE EXCEPTION 'a stop only tightens: position % from (%, %) to (%, %)', OLD.position_id,
            OLD.stop_price, OLD.trail_price, NEW.stop_price, NEW.trail_price
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER exit_stop_only_tightens BEFORE UPDATE ON positions_exitguard
    FOR EACH ROW EXECUTE FUNCTION positions_exitguard_ratchet();
"""

ALLOW = """
DROP TRIGGER exit_stop_only_tightens ON positions_exitguard;
DROP FUNCTION positions_exitguard_ratchet();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('positions', '0004_exits'),
    ]

    operations = [migrations.RunSQL(sql=REFUSE, reverse_sql=ALLOW)]
