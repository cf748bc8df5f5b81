"""What happens to a person's account, for parts of the site that ``accounts`` does not know.

``new_device_signed_in``
    A person signed in from a browser that has not signed in to this account before; not sent for an account's
    first. Sent outside of any transaction. ``user``: the :class:`accounts.models.User`; ``at``: when, UTC;
    ``device``: the browser and the system in words, as "Firefox on Linux"; ``ip``: the address it came from.

``person_forgotten``
    A person's account is being deleted. Sent inside that transaction, so that everything that names the
    person goes with it or nothing does. ``user``: the person, whose row stays without name and address.
"""

from django.dispatch import Signal

new_device_signed_in = Signal()
person_forgotten = Signal()
