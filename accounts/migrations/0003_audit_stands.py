"""The audit log is append-only in the database itself (SEC-2), whoever is connected.

Triggers refuse UPDATE, DELETE and TRUNCATE, also where they touch no row. They fire ALWAYS: a session that
plays a replica, where ordinary triggers are silent, is refused too.
"""

from django.db import migrations

REFUSE = """
CREATE FUNCTION accounts_auditentry_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % is refused', TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'Write a further entry instead.';
END
$$;
CREATE TRIGGER audit_refuses_change BEFORE UPDATE OR DELETE ON accounts_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_auditentry_refuse();
CREATE TRIGGER audit_refuses_truncate BEFORE TRUNCATE ON accounts_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_auditentry_refuse();
ALTER TABLE accounts_auditentry ENABLE ALWAYS TRIGGER audit_refuses_change;
ALTER TABLE accounts_auditentry ENABLE ALWAYS TRIGGER audit_refuses_truncate;
"""

ALLOW = """
DROP TRIGGER audit_refuses_truncate ON accounts_auditentry;
DROP TRIGGER audit_refuses_change ON accounts_auditentry;
DROP FUNCTION accounts_auditentry_refuse();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_money_safety'),
    ]

    operations = [migrations.RunSQL(sql=REFUSE, reverse_sql=ALLOW)]
