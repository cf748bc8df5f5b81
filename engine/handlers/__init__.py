"""What each kind of command does: one file per topic, put together in ``engine.command_handlers``."""
