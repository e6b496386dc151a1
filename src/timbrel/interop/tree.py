"""What a pickle holds, sorted into tensors with dotted names and plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from timbrel.interop.unpickling import Inert, TensorReference

#: A checkpoint is a few levels deep; one that holds itself has no end.
DEEPEST = 64
#: Entries in all; lists that hold one another many times have more than they take up.
MOST_ENTRIES = 500_000

_PLAIN = (str, int, float, bool, type(None))


def sort_out(tree: Any) -> tuple[dict[str, TensorReference], dict[str, Any]]:
    """Tensors by dotted name, and everything plain as nested tables.

    A module that was pickled whole is read as its state dict.

    Raises:
        ValueError: the tree is too deep or too large.
    """
    walk = _Walk()
    tensors = {".".join(path): tensor for path, tensor in walk.tensors(tree, ())}
    plain = walk.plain(tree, 0)
    return tensors, plain if isinstance(plain, dict) else {}


class _Walk:
    def __init__(self) -> None:
        self._visited = 0

    def tensors(self, node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], TensorReference]]:
        self._count(len(path))
        if isinstance(node, TensorReference):
            yield path, node
        for key, value in _children(node):
            yield from self.tensors(value, (*path, str(key)))

    def plain(self, node: Any, depth: int) -> Any:
        """The node without its tensors and empty branches."""
        self._count(depth)
        if isinstance(node, _PLAIN):
            return node
        if isinstance(node, (list, tuple)):
            return [self.plain(item, depth + 1) for item in node if not isinstance(item, TensorReference)]
        fields = ((str(key), self.plain(value, depth + 1)) for key, value in _children(node))
        return {key: value for key, value in fields if value not in ({}, [])}

    def _count(self, depth: int) -> None:
        self._visited += 1
        if depth > DEEPEST or self._visited > MOST_ENTRIES:
            raise ValueError("it holds more than a checkpoint does, or itself")


def _children(node: Any) -> Iterable[tuple[Any, Any]]:
    """Names and values right below a node."""
    if isinstance(node, Inert):
        node = _contents(node)
    if isinstance(node, Mapping):
        return node.items()
    return enumerate(node) if isinstance(node, (list, tuple)) else ()


def _contents(node: Inert) -> Any:
    """What an object was given: a module's tensors and modules, another's fields, or its items."""
    state = node.state
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[0], Mapping):
        state = state[0]  # the second half is of slots
    if isinstance(state, Mapping) and "_modules" in state:
        return _module_contents(state)
    if isinstance(state, Mapping):
        return state
    pairs = all(isinstance(item, tuple) and len(item) == 2 for item in node.items)
    return dict(node.items) if pairs else node.items


def _module_contents(state: Mapping[str, Any]) -> dict[str, Any]:
    hidden = state.get("_non_persistent_buffers_set") or ()
    if isinstance(hidden, Inert):  # a set, in the pickles of old
        hidden = hidden.arguments[0] if hidden.arguments else ()
    buffers = {name: kept for name, kept in state.get("_buffers", {}).items() if name not in hidden}
    return {**state.get("_parameters", {}), **buffers, **state["_modules"]}
