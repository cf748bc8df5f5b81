"""Reword a help text."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("markets", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="instrument",
            name="funding_rate_hourly",
            field=models.DecimalField(
                decimal_places=10,
                default="0.0000125",
                help_text="Fraction of notional that longs pay shorts each hour; the default "
                "is Hyperliquid's interest part, 0.01 % per 8 h.",
                max_digits=12,
            ),
        ),
    ]
