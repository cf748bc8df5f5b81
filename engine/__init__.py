"""Strings the stages together: copy cycle, order life, publishing, tasks and their schedule."""
