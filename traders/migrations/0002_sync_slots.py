"""Keep the scheduled moment over retries, and find snapshots by world time."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("traders", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="trader",
            name="due_at",
            field=models.DateTimeField(
                blank=True,
                help_text="The scheduled moment that the running attempts serve; empty when it was met.",
                null=True,
            ),
        ),
        migrations.AddIndex(
            model_name="tradersnapshot",
            index=models.Index(fields=["trader", "run", "world_at"], name="snapshot_by_world_time"),
        ),
        migrations.AddIndex(
            model_name="syncattempt",
            index=models.Index(fields=["finished_at"], name="attempt_age"),
        ),
    ]
