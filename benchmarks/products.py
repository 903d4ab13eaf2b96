"""The floor under a step of training: its products of matrices and attention, each timed alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from measuring import best_of
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.flop_counter import flop_registry

REPEATS = 5


@dataclass
class Product:
    """Calls of one operator with arguments of the same shapes and types."""

    run: Callable[[], object]
    operations: int
    calls: int = 0


class Products(TorchDispatchMode):
    """A context that notes what is multiplied in it, by the operators that PyTorch counts FLOPs of.

    Whatever else a step does, it takes at least as long as these; `seconds` says how long they take
    on this machine, with the same shapes, types and threads, one after the other.
    """

    def __init__(self) -> None:
        super().__init__()
        self._products: dict[object, Product] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        count = flop_registry.get(func._overloadpacket)
        if count:
            leaves = tree_flatten((args, kwargs))[0]
            key = (func, *(described(leaf) for leaf in leaves))
            if key not in self._products:
                kept = tree_map(detached, (args, kwargs))
                operations = count(*args, **kwargs, out_val=out)
                self._products[key] = Product(lambda: func(*kept[0], **kept[1]), operations)
            self._products[key].calls += 1
        return out

    @property
    def operations(self) -> int:
        """Floating-point operations of all calls."""
        return sum(product.operations * product.calls for product in self._products.values())

    def seconds(self) -> float:
        """Of all calls, each as fast as the fastest of some."""
        with torch.no_grad():
            return sum(
                best_of(product.run, REPEATS) * product.calls for product in self._products.values()
            )


def described(leaf: object) -> object:
    if isinstance(leaf, torch.Tensor):
        return tuple(leaf.shape), leaf.stride(), leaf.dtype
    return leaf if isinstance(leaf, bool | int | float | str) else str(leaf)


def detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, torch.Tensor) else leaf
