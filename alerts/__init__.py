"""Telling people what needs them: alerts, the channels they go through, and what failed in the background."""
