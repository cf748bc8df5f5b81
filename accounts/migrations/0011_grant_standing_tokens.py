from django.db import migrations


def grant_standing_tokens(apps, schema_editor):
    """Let the tokens that stand do what they could before: everything."""
    grants = apps.get_model("accounts", "ApiToken").objects
    for token in apps.get_model("knox", "AuthToken").objects.iterator():
        grants.create(
            token=token,
            owner_id=token.user_id,
            scopes=["read", "trade", "capital", "settings", "keys", "agents"],
            created_at=token.created,
        )


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0010_api_tokens'),
    ]

    operations = [
        migrations.RunPython(grant_standing_tokens, migrations.RunPython.noop),
    ]
