"""Give every portfolio that was halted before trips were kept the trip it stands for, so it can be lifted."""

from django.db import migrations

SQL = """
INSERT INTO allocation_breakertrip
    (portfolio_id, kind, effect, resets, reason, run, tripped_at, world_at, reset_by, reset_reason)
SELECT portfolio.id, CASE WHEN account.deficit > 0 THEN 'deficit' ELSE 'books' END, 'halted', 'person',
       portfolio.status_reason, 1, now(), now(), '', ''
FROM accounts_portfolio AS portfolio
JOIN allocation_capitalaccount AS account ON account.portfolio_id = portfolio.id
WHERE portfolio.status = 'halted'
"""


class Migration(migrations.Migration):
    dependencies = [("allocation", "0004_added_price")]

    operations = [migrations.RunSQL(SQL, reverse_sql=migrations.RunSQL.noop)]
