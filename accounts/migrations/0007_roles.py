from django.db import migrations, models


def flags_follow_role(apps, schema_editor):
    """Take the widest right a person had for the role, then set the flags from it."""
    user = apps.get_model("accounts", "User")
    user.objects.filter(is_superuser=True).update(role="admin", is_staff=True)
    user.objects.filter(is_superuser=False, is_staff=True).exclude(role="admin").update(role="operator")
    user.objects.filter(role="admin").update(is_staff=True, is_superuser=True)
    user.objects.filter(role="operator").update(is_staff=True)


class Migration(migrations.Migration):
    # Rows are changed and a constraint is put on them: in one transaction the pending events of the first
    # would refuse the second.
    atomic = False

    dependencies = [("accounts", "0006_language_and_zone")]

    operations = [
        migrations.AlterField(
            model_name="user",
            name="role",
            field=models.CharField(
                choices=[("user", "User"), ("operator", "Operator"), ("admin", "Admin")],
                default="user",
                max_length=10,
            ),
        ),
        migrations.RunPython(flags_follow_role, migrations.RunPython.noop, atomic=True),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(role="user", is_staff=False, is_superuser=False)
                | models.Q(role="operator", is_staff=True, is_superuser=False)
                | models.Q(role="admin", is_staff=True, is_superuser=True),
                name="user_flags_follow_role",
            ),
        ),
    ]
