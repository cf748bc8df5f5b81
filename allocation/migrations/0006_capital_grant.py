"""The grant of a reservation as a function of the database: claimed and stored in one call, planned once.

See ``allocation.reservations``. Sent as text it would be parsed and planned at each request, which costs more
than carrying it out.
"""

from django.db import migrations

GRANT = """
CREATE FUNCTION allocation_capital_grant(
    wanted_id uuid, portfolio bigint, asked_by varchar, instrument varchar, wanted numeric, rank smallint,
    key varchar, lives_s integer, moment timestamptz
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE allocation_capitalaccount
    SET free = free - wanted, reserved = reserved + wanted
    WHERE portfolio_id = portfolio AND free >= wanted AND NOT EXISTS (
        SELECT 1 FROM allocation_reservation AS ahead
        WHERE ahead.portfolio_id = portfolio AND ahead.status = 'waiting'
          AND ahead.priority <= rank AND ahead.wait_until > moment
    );
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO allocation_reservation (
        id, portfolio_id, source, instrument_code, amount, priority, status, reason, client_key, timeout_s,
        requested_at, granted_at, expires_at
    ) VALUES (
        wanted_id, portfolio, asked_by, instrument, wanted, rank, 'granted', '', key, lives_s,
        moment, moment, moment + lives_s * interval '1 second'
    );
    RETURN true;
END
$$
"""
FORGET = "DROP FUNCTION allocation_capital_grant(uuid, bigint, varchar, varchar, numeric, smallint, varchar, integer, timestamptz)"


class Migration(migrations.Migration):

    dependencies = [
        ('allocation', '0005_trips_of_halted'),
    ]

    operations = [
        migrations.RunSQL(sql=GRANT, reverse_sql=FORGET),
    ]
