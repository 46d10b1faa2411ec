"""Disjoint sets."""

from __future__ import annotations


class UnionFind:
    """Disjoint sets over hashable items; the smallest item of a set represents it."""

    def __init__(self) -> None:
        self._parent: dict = {}

    def find(self, item):
        root = item
        while (parent := self._parent.setdefault(root, root)) != root:
            root = parent
        while item != root:
            self._parent[item], item = root, self._parent[item]
        return root

    def union(self, first, second) -> None:
        first, second = sorted((self.find(first), self.find(second)))
        self._parent[second] = first
