"""Damaged files of networks: each is refused in words or loads unchanged; none crashes, hangs, or takes memory.

Two ways of damage. By accident: bits, bytes and blocks of a file changed, cut, moved, mixed with another file; the
checksum has to notice, so that nothing loads but what was saved. By a program that writes a right checksum: counts,
shapes, types, values and parts changed in the header or the tensors; the file may load if it is possible as a network,
which then has to predict. Files are read under limits of time and memory, some hundreds in a process.

    python benchmarks/damaged_files.py --files 10000 > benchmarks/records/$(date -I)-damaged-files.md
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from header import header
from safetensors import safe_open
from safetensors.numpy import save

import ffnn_xp as fx
from ffnn_xp.io import load_state

SECONDS = 5  # for one file: a whole one takes some milliseconds
MEMORY = 2**30  # beyond what the process has when it begins to read
CHUNK = 500
X = np.linspace(-2, 2, 40)
NUMBERS = (0, -1, 1, 2, 3, 10, 2**31 - 1, 2**31, 2**63, 10**9, 10**30, 10**4000, 1.5, 1e308, None, True, "2", [], {})
VALUES = (0.0, -0.0, -1.0, 1e-320, 5e-324, 1e-300, 1e300, 1.7e308, np.inf, -np.inf, np.nan)

Part = tuple[dict[str, Any], dict[str, np.ndarray]]
Rng = np.random.Generator


def originals(folder: Path) -> list[Path]:
    """Files of networks of every kind: by hand, with a band, in single precision, an ensemble, with names and a fit."""
    by_hand = fx.Model((2, 3, 2), activation="relu", seed=1, backend="numpy")
    fitted = fx.Model((1, 2, 1), seed=1, backend="numpy")
    fit = fitted.fit(X, np.tanh(2 * X), 0.1, prior=1.0)
    single = fx.Model((1, 2, 1), seed=1, backend="numpy", dtype="float32")
    single.fit(X, np.cos(X), 0.1, prior=1.0)
    ensemble = fx.Model((1, 2, 1), seed=1, backend="numpy")
    ensemble.fit(X, np.tanh(2 * X), prior="auto")
    paths = [folder / f"{i}.safetensors" for i in range(4)]
    by_hand.save(paths[0])
    fitted.save(paths[1], fit=fit, input_names=["t [s]"], target_names=["χ"], metadata={"run": "7"})
    single.save(paths[2])
    ensemble.save(paths[3])
    return paths


def parts(path: Path) -> Part:
    with safe_open(path, "np") as file:
        return json.loads(file.metadata()["ffnn_xp"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def same(one: Part, other: Part) -> bool:
    """True if two files say the same, to the last bit of each number."""
    names = set(one[1])
    return (
        one[0] == other[0]
        and names == set(other[1])
        and all(one[1][n].shape == other[1][n].shape and one[1][n].tobytes() == other[1][n].tobytes() for n in names)
    )


def put_together(head: dict[str, Any], tensors: dict[str, np.ndarray]) -> bytes:
    """A file with a checksum that is right."""
    body = {key: value for key, value in head.items() if key != "checksum"}
    tensors = {name: np.ascontiguousarray(a) for name, a in tensors.items()}
    digest = hashlib.sha256(json.dumps(body).encode())
    for name, a in sorted(tensors.items()):
        digest.update(f"{name} {a.dtype.name} {a.shape}".encode() + a.tobytes())
    return save(tensors, metadata={"ffnn_xp": json.dumps({**body, "checksum": digest.hexdigest()})})


def flipped_bits(whole: bytes, other: bytes, rng: Rng) -> bytes:
    damaged = bytearray(whole)
    for place in rng.integers(len(whole), size=rng.integers(1, 9)):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def one_flipped_bit_of_the_header(whole: bytes, other: bytes, rng: Rng) -> bytes:
    damaged = bytearray(whole)
    damaged[rng.integers(8 + int.from_bytes(whole[:8], "little"))] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def random_bytes(whole: bytes, other: bytes, rng: Rng) -> bytes:
    a, b = sorted(int(v) for v in rng.integers(len(whole), size=2))
    return whole[:a] + rng.bytes(b - a) + whole[b:]


def cut(whole: bytes, other: bytes, rng: Rng) -> bytes:
    a, b = sorted(int(v) for v in rng.integers(len(whole) + 1, size=2))
    return whole[:a] + whole[b:] if rng.random() < 0.5 else whole[:a]


def moved_blocks(whole: bytes, other: bytes, rng: Rng) -> bytes:
    a, b, c = sorted(int(v) for v in rng.integers(len(whole) + 1, size=3))
    return whole[:a] + whole[b:c] + whole[a:b] + whole[c:]


def blocks_of_another_file(whole: bytes, other: bytes, rng: Rng) -> bytes:
    a, b = sorted(int(v) for v in rng.integers(min(len(whole), len(other)) + 1, size=2))
    return whole[:a] + other[a:b] + whole[b:]


def length_of_the_header(whole: bytes, other: bytes, rng: Rng) -> bytes:
    size = int.from_bytes(whole[:8], "little")
    wrong = (0, 1, size - 1, size + 1, size - 8, size + 8, 2**31, 2**63, 2**64 - 1, int(rng.integers(2 * size)))
    return int(rng.choice(np.array(wrong, dtype=np.uint64))).to_bytes(8, "little") + whole[8:]


def sizes_and_offsets(whole: bytes, other: bytes, rng: Rng) -> bytes:
    """A number in the part of the header that safetensors reads."""
    size = int.from_bytes(whole[:8], "little")
    head = json.loads(whole[8 : 8 + size])
    entry = head[rng.choice([name for name in head if name != "__metadata__"])]
    field = str(rng.choice(["shape", "data_offsets"]))
    if entry[field]:
        entry[field][rng.integers(len(entry[field]))] = NUMBERS[rng.integers(12)]
    text = json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + whole[8 + size :]


def header_fields(mine: Part, other: Part, rng: Rng) -> Part:
    head, tensors = mine
    key = str(rng.choice(list(head)))
    choice, value = rng.random(), head[key]
    if choice < 0.2:
        return {k: v for k, v in head.items() if k != key}, tensors
    if choice < 0.4:
        return {**head, key: other[0].get(key)}, tensors
    if isinstance(value, list) and value and choice < 0.8:
        value = list(value)
        value[rng.integers(len(value))] = NUMBERS[rng.integers(len(NUMBERS))]
        return {**head, key: value * int(rng.choice([0, 1, 1, 1, 2, 1000]))}, tensors
    return {**head, key: NUMBERS[rng.integers(len(NUMBERS))]}, tensors


def values_of_tensors(mine: Part, other: Part, rng: Rng) -> Part:
    head, tensors = mine
    name = str(rng.choice([name for name, a in tensors.items() if a.size]))
    a = tensors[name].copy()
    with np.errstate(over="ignore"):
        a.flat[rng.integers(a.size, size=rng.integers(1, 4))] = VALUES[rng.integers(len(VALUES))]
    return head, {**tensors, name: a}


def shapes_and_types(mine: Part, other: Part, rng: Rng) -> Part:
    head, tensors = mine
    name = str(rng.choice(list(tensors)))
    a = tensors[name]
    changes = (a[None], a[:-1], a[..., :0], a.T, a.ravel(), np.concatenate([a, a]), a.astype(np.float32),
               a.astype(np.int64), a.astype(np.float16), np.zeros((*a.shape[:-1], 3000)))  # fmt: skip
    return head, {**tensors, name: changes[rng.integers(len(changes))]}


def tensors_of_another_file(mine: Part, other: Part, rng: Rng) -> Part:
    head, tensors = mine
    prefix = str(rng.choice(["A_", "band.", "density.", "band.theta", "density.0", "band.factor", "band.x_"]))
    mixed = {name: a for name, a in tensors.items() if not name.startswith(prefix)}
    return head, {**mixed, **{name: a for name, a in other[1].items() if name.startswith(prefix)}}


def names_of_tensors(mine: Part, other: Part, rng: Rng) -> Part:
    head, tensors = mine
    first, second = (str(name) for name in rng.choice(list(tensors), size=2))
    choice = rng.integers(3)
    if choice == 0:
        return head, {name: a for name, a in tensors.items() if name != first}
    if choice == 1:
        return head, {**tensors, first: tensors[second], second: tensors[first]}
    return head, {**tensors, f"{first}.more": tensors[second]}


ACCIDENTS: tuple[Callable[[bytes, bytes, Rng], bytes], ...] = (
    flipped_bits, one_flipped_bit_of_the_header, random_bytes, cut, moved_blocks, blocks_of_another_file,
    length_of_the_header, sizes_and_offsets,
)  # fmt: skip
PROGRAMS: tuple[Callable[[Part, Part, Rng], Part], ...] = (
    header_fields, values_of_tensors, shapes_and_types, tensors_of_another_file, names_of_tensors,
)  # fmt: skip
KINDS = [f.__name__ for f in (*ACCIDENTS, *PROGRAMS)]


def damaged(paths: list[Path], seed: int) -> tuple[str, Path, bytes]:
    """The kind of damage, the file that it was done to, and the damaged content."""
    rng = np.random.default_rng(seed)
    mine, other = (paths[i] for i in rng.choice(len(paths), size=2, replace=False))
    kind = seed % len(KINDS)
    if kind < len(ACCIDENTS):
        return KINDS[kind], mine, ACCIDENTS[kind](mine.read_bytes(), other.read_bytes(), rng)
    return KINDS[kind], mine, put_together(*PROGRAMS[kind - len(ACCIDENTS)](parts(mine), parts(other), rng))


def verdict(path: Path, original: Path, *, sealed: bool) -> str:
    """How the reading of a file ended."""
    try:
        state = load_state(path)
        if same(parts(path), parts(original)):
            return "not changed"
        if not sealed:
            return "CHANGED, AND LOADED"
        model = fx.Model.from_state(state, backend="numpy")
        with np.errstate(all="ignore"):  # a network of huge weights is one
            model.predict(np.zeros((3, state.widths[0])), return_std=state.band is not None)
        return "loaded"
    except fx.FileFormatError as error:
        return "refused" if str(path) in str(error) else "REFUSED WITHOUT THE FILE'S NAME"
    except TimeoutError:
        return "HUNG"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:60]}"


def read_some(folder: Path, first: int, last: int) -> None:
    """Read damaged files; a line of JSON for each."""

    def alarm(*_: object) -> None:
        raise TimeoutError

    warnings.simplefilter("error")
    signal.signal(signal.SIGALRM, alarm)
    paths = sorted(folder.glob("?.safetensors"))
    for path in paths:
        fx.load(path, backend="numpy")  # what is imported at the first use counts for no damaged file
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    path = folder / f"damaged-{first}.safetensors"
    for seed in range(first, last):
        kind, original, content = damaged(paths, seed)
        path.write_bytes(content)
        began = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        end = verdict(path, original, sealed=kind not in KINDS[: len(ACCIDENTS)])
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps([seed, kind, end, time.perf_counter() - began]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000, help="damaged files (default 10,000)")
    parser.add_argument(
        "--seed", type=int, default=0, help="the first one's; a line of failures names the seed of each"
    )
    parser.add_argument("--some", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.some:
        read_some(Path(options.some[0]), int(options.some[1]), int(options.some[2]))
        return
    rows, failures = [], []
    with tempfile.TemporaryDirectory() as name:
        originals(Path(name))
        for first in range(options.seed, options.seed + options.files, CHUNK):
            last = min(first + CHUNK, options.seed + options.files)
            command = [sys.executable, __file__, "--some", name, str(first), str(last)]
            done = subprocess.run(command, capture_output=True, text=True)
            found = [json.loads(line) for line in done.stdout.splitlines()]
            rows += found
            if len(found) < last - first:
                failures.append(f"seed {first + len(found)}: exit code {done.returncode}, {done.stderr[-200:]!r}")
    failures += [f"seed {row[0]}, {row[1]}: {row[2]}" for row in rows if row[2] not in GOOD]
    print(f"# Damaged files\n\n{header()}\n")
    print(f"| damage | files | {' | '.join(GOOD)} | anything else | slowest, ms |\n|{' --- |' * (len(GOOD) + 4)}")
    for kind in KINDS:
        of_kind = [row for row in rows if row[1] == kind]
        counts = [sum(row[2] == end for row in of_kind) for end in GOOD]
        slowest = 1e3 * max((row[3] for row in of_kind), default=0.0)
        cells = [kind.replace("_", " "), len(of_kind), *counts, len(of_kind) - sum(counts), f"{slowest:.0f}"]
        print(f"| {' | '.join(map(str, cells))} |")
    print("\n" + ("\n".join(failures) if failures else f"{len(rows)} files, no crash, no hang, no silent change."))
    sys.exit(bool(failures))


GOOD = ("refused", "not changed", "loaded")

if __name__ == "__main__":
    main()
