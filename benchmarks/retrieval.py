"""Speed and memory of retrieval: `python -m benchmarks.retrieval [--images 8000 500000] [--candidates 1200 3000]`.

Random embeddings and phenotypes. For each size in the same run: the matrix product alone, which is the floor; ranks
both ways (I2P and P2I); the same with the ontology-aware scores; and peers: plain numpy that counts by blocks, both
ways; faiss-cpu's flat index, the first 50 one way, if it is installed; and numpy.argsort and torch.argsort of
every row, as many evaluation scripts do, one way, on the first images and scaled up. Each size runs in a process of
its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix

from benchmarks.table import Row, write
from phenolip_lib.evaluation.metrics import TIE, blocks, mutual_ranks
from phenolip_lib.evaluation.relations import Relations
from phenolip_lib.evaluation.results import TOP_K
from phenolip_lib.evaluation.tasks.retrieval import Judge
from phenolip_lib.recognition.annotate import ontology

PEER_ROWS = 8000
CELLS = 2**24
"""Scores that plain numpy holds at a time, 64 MB."""


def unit(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    x = rng.standard_normal((n, dim), dtype=np.float32)
    for start in range(0, n, 4096):
        x[start : start + 4096] /= np.linalg.norm(x[start : start + 4096], axis=1, keepdims=True)
    return x


def by_numpy(images: np.ndarray, names: np.ndarray, truth: np.ndarray) -> list[float]:
    order = np.argsort(-(images @ names.T), axis=1)
    return [float(np.take_along_axis(truth, order[:, :k], axis=1).any(axis=1).mean()) for k in TOP_K]


def by_torch(images: np.ndarray, names: np.ndarray, truth: np.ndarray) -> list[float]:
    order = torch.argsort(torch.from_numpy(images) @ torch.from_numpy(names).T, dim=1, descending=True)
    return [float(torch.from_numpy(truth).gather(1, order[:, :k]).any(dim=1).float().mean()) for k in TOP_K]


def product(images: np.ndarray, names: np.ndarray) -> None:
    for rows in blocks(len(images), CELLS // len(names)):
        _ = images[rows] @ names.T


def by_counting(images: np.ndarray, names: np.ndarray, truth: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Ranks both ways, where every row and column has a correct partner."""
    pairs = truth.tocoo()
    own = np.concatenate(
        [np.einsum("ij,ij->i", images[pairs.row[p]], names[pairs.col[p]]) for p in blocks(truth.nnz, 4096)]
    )
    bars = []
    for n, place in ((len(images), pairs.row), (len(names), pairs.col)):
        best = np.full(n, -np.inf, dtype=np.float32)
        np.maximum.at(best, place, own)
        bars.append(best - np.float32(TIE))
    forward, backward = np.empty(len(images), dtype=np.int64), np.zeros(len(names), dtype=np.int64)
    for rows in blocks(len(images), CELLS // len(names)):
        scores = images[rows] @ names.T
        forward[rows] = np.count_nonzero(scores >= bars[0][rows, None], axis=1)
        backward += np.count_nonzero(scores >= bars[1], axis=0)
    forward -= np.bincount(pairs.row[own >= bars[0][pairs.row]], minlength=len(images)) - 1
    return forward, backward - np.bincount(pairs.col[own >= bars[1][pairs.col]], minlength=len(names)) + 1


def by_faiss(images: np.ndarray, names: np.ndarray) -> None:
    import faiss

    index = faiss.IndexFlatIP(names.shape[1])
    index.add(names)
    for rows in blocks(len(images), 4096):
        index.search(images[rows], max(TOP_K))


def seconds(run: Callable, *arguments) -> tuple[float, object]:
    start = time.perf_counter()
    result = run(*arguments)
    return time.perf_counter() - start, result


def measure(n: int, m: int, dim: int, path: Path | None) -> None:
    rng = np.random.default_rng(0)
    onto = ontology()
    relations = Relations(onto, [onto.leaves[i] for i in rng.choice(len(onto.leaves), m, replace=False)])
    took, _ = seconds(lambda: (relations.gain, relations.nearest, relations.steps, relations.above))
    print(f"{n} x {m}, dim {dim}: relations of the candidates, once a benchmark {took:.2f} s")
    images, names = unit(rng, n, dim), unit(rng, m, dim)
    columns = rng.integers(0, m, (n, 2))
    truth = csr_matrix((np.ones(2 * n, bool), (np.repeat(np.arange(n), 2), columns.ravel())), shape=(n, m))
    loaded, rows = peak(), []

    def told(what: str, value: float, peer: str, peer_value: float, unit: str = "s") -> None:
        rows.append(Row(f"retrieval {n} x {m} x {dim}", what, value, unit, peer, peer_value))

    def judged() -> None:
        judge = Judge(relations, truth)
        mutual_ranks(images, names, truth, judge)
        judge.scores()

    counting, (ranks, back) = seconds(mutual_ranks, images, names, truth)
    told("memory of ranks both ways", peak(), "inputs", loaded, "GB")
    scoring, _ = seconds(judged)
    told("memory with ontology-aware scores", peak(), "inputs", loaded, "GB")
    floor = min(seconds(product, images, names)[0] for _ in range(2))
    told("ranks both ways", counting, "matrix product", floor)
    told("with ontology-aware scores", scoring, "matrix product", floor)
    took, found = seconds(by_counting, images, names, truth)
    for ours, theirs in zip((ranks, back), found, strict=True):  # last digits of the product decide a few
        assert np.mean(ours != theirs) < 1e-3
    told("ranks both ways", counting, "numpy, counting by blocks", took)
    if importlib.util.find_spec("faiss"):
        told("ranks both ways", counting, "faiss IndexFlatIP, first 50, one way", seconds(by_faiss, images, names)[0])
    else:
        print("  faiss is not installed; `pip install faiss-cpu` to compare with it")
    part = min(n, PEER_ROWS)
    dense, found = truth[:part].toarray(), [float(np.mean(ranks[:part] <= k)) for k in TOP_K]
    for name, peer in (("numpy.argsort", by_numpy), ("torch.argsort", by_torch)):
        took, expected = seconds(peer, images[:part], names, dense)
        np.testing.assert_allclose(found, expected, atol=2 / part)
        told("ranks both ways", counting, f"{name}, one way{'' if part == n else ', scaled up'}", took * n / part)
    write(rows, path)


def peak() -> float:
    """Largest resident memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[8000, 500_000])
    parser.add_argument("--candidates", type=int, nargs="+", default=[1200, 3000])
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--csv", type=Path, help="add rows of the common table to this file")
    arguments = parser.parse_args(argv)
    for size in zip(arguments.images, arguments.candidates, strict=True):
        process = multiprocessing.get_context("spawn").Process(
            target=measure, args=(*size, arguments.dim, arguments.csv)
        )
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(process.exitcode)


if __name__ == "__main__":
    main()
