"""Speed and memory of retrieval: `python benchmarks/retrieval.py [--images 8000 500000] [--candidates 1200 3000]`.

Random embeddings and phenotypes. For each size in the same run: the matrix product alone, which is the
floor; ranks both ways (I2P and P2I) by counting; the same with the ontology-aware scores; and a plain
peer that sorts every row (numpy.argsort or torch.argsort, as many evaluation scripts do) for I2P alone,
on the first images and scaled up. Each size runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time

import numpy as np
import torch
from scipy.sparse import csr_matrix

from phenolip_lib.annotate import ontology
from phenolip_lib.metrics import mutual_ranks, score_blocks
from phenolip_lib.tasks.retrieval import TOP_K, Judge, Relations

PEER_ROWS = 8000


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


def measure(n: int, m: int, dim: int) -> None:
    rng = np.random.default_rng(0)
    onto = ontology()
    relations = Relations(onto, [onto.leaves[i] for i in rng.choice(len(onto.leaves), m, replace=False)])
    start = time.perf_counter()
    _ = relations.gain, relations.nearest, relations.steps, relations.above
    print(f"{n} x {m}, dim {dim}: relations of the candidates, once a benchmark {time.perf_counter() - start:.2f} s")
    images, names = unit(rng, n, dim), unit(rng, m, dim)
    columns = rng.integers(0, m, (n, 2))
    truth = csr_matrix((np.ones(2 * n, bool), (np.repeat(np.arange(n), 2), columns.ravel())), shape=(n, m))
    loaded = peak()
    start = time.perf_counter()
    for _ in score_blocks(images, names):
        pass
    print(f"  the scores alone {time.perf_counter() - start:.2f} s")
    start = time.perf_counter()
    ranks, _ = mutual_ranks(images, names, truth)
    counting = time.perf_counter() - start
    print(f"  ranks both ways {counting:.2f} s, peak {peak():.2f} GB, of which inputs {loaded:.2f} GB")
    start = time.perf_counter()
    judge = Judge(relations, truth)
    mutual_ranks(images, names, truth, judge)
    judge.scores()
    print(f"  with ontology-aware scores {time.perf_counter() - start:.2f} s, peak {peak():.2f} GB")
    part = min(n, PEER_ROWS)
    dense, found = truth[:part].toarray(), [float(np.mean(ranks[:part] <= k)) for k in TOP_K]
    for name, peer in (("numpy.argsort", by_numpy), ("torch.argsort", by_torch)):
        start = time.perf_counter()
        expected = peer(images[:part], names, dense)
        seconds = (time.perf_counter() - start) * n / part
        np.testing.assert_allclose(found, expected, atol=2 / part)
        print(f"  {name}, one way {seconds:.2f} s{'' if part == n else ' (scaled up)'}: {seconds / counting:.1f} x")


def peak() -> float:
    """Largest resident memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[8000, 500_000])
    parser.add_argument("--candidates", type=int, nargs="+", default=[1200, 3000])
    parser.add_argument("--dim", type=int, default=384)
    arguments = parser.parse_args()
    for size in zip(arguments.images, arguments.candidates, strict=True):
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(*size, arguments.dim))
        process.start()
        process.join()
