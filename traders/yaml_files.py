"""Reading YAML files that people write."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml


class StrictLoader(yaml.SafeLoader):
    """YAML in which a name stands once: the second of two would otherwise silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping.

        :raises ConstructorError: a name stands in it twice
        """
        names = [name.value for name, _ in node.value]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            problem = f"{twice!r} stands there twice"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


def yaml_load(*, text: str) -> Any:
    """Return what a YAML text says.

    :raises yaml.YAMLError: it is no YAML, or a name stands twice in one mapping
    """
    return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - a SafeLoader that refuses repeated names
