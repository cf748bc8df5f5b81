"""The stages of the engine's tests, for stories about fidelity, feasibility and style."""

from tests.integration.engine.conftest import arena, made_up

__all__ = ["arena", "made_up"]
