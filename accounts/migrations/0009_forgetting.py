from django.db import migrations, models

# The audit log stays append-only with one exception: the name of a person whose account is deleted gives way
# to the person's number. The session says whom it forgets (`ensemble.forgets`); each row is then compared with
# what exactly that makes of it, and only for a person who is marked as deleted and still has the name.
ALLOW = """
CREATE OR REPLACE FUNCTION accounts_auditentry_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND current_setting('ensemble.forgets', true) ~ '^[0-9]{1,18}$' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only: % is refused', TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'Write a further entry instead.';
END
$$;
CREATE FUNCTION accounts_auditentry_forget() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    person accounts_user%ROWTYPE;
    wanted accounts_auditentry%ROWTYPE;
    number text;
BEGIN
    SELECT * INTO person FROM accounts_user
        WHERE id = current_setting('ensemble.forgets')::bigint AND deleted_at IS NOT NULL;
    IF FOUND THEN
        number := 'person ' || person.id;
        wanted := OLD;
        IF OLD.actor_name = person.email THEN
            wanted.actor_name := number;
        END IF;
        wanted.text := left(replace(OLD.text, person.email, number), 300);
        wanted.data := replace(OLD.data::text, person.email, number)::jsonb;
        IF NEW IS NOT DISTINCT FROM wanted THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only: this UPDATE is refused'
        USING ERRCODE = 'restrict_violation', HINT = 'Write a further entry instead.';
END
$$;
CREATE TRIGGER audit_forgets_only BEFORE UPDATE ON accounts_auditentry
    FOR EACH ROW EXECUTE FUNCTION accounts_auditentry_forget();
ALTER TABLE accounts_auditentry ENABLE ALWAYS TRIGGER audit_forgets_only;
"""
REFUSE = """
DROP TRIGGER audit_forgets_only ON accounts_auditentry;
DROP FUNCTION accounts_auditentry_forget();
CREATE OR REPLACE FUNCTION accounts_auditentry_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % is refused', TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'Write a further entry instead.';
END
$$;
"""


class Migration(migrations.Migration):

    dependencies = [("accounts", "0008_devices")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="deleted_at",
            field=models.DateTimeField(
                blank=True, editable=False, help_text="Its owner deleted the account then; the books stay.", null=True
            ),
        ),
        migrations.RunSQL(sql=ALLOW, reverse_sql=REFUSE),
    ]
