"""The site: settings, urls, ASGI and Celery entry points, embedded services, the supervisor of `make run`.

Nothing imports this package; it knows all the others.
"""
