"""Random fits: each ends in a minimum by other derivatives, not valid, or refused in a sentence.

A seed draws one call of `Model.fit`, of any statistic, scale, container, option and mistake, by the generator of
`tests/integration/test_random_fits.py`. What is valid has to be a minimum by the exact second derivatives of
`tests/oracles/taylor.py`, which are not the library's; all else that is asked of the fit has to be answered or refused
in a sentence; nothing may warn but `FitWarning`, and nothing may print. One process, one thread.

    python benchmarks/random_fits.py --fits 10000 > benchmarks/records/$(date -I)-random-fits.md
    python benchmarks/random_fits.py --seed 1234 --fits 1
    python benchmarks/random_fits.py --kinks --seed 100000 --minutes 40
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from itertools import count, islice
from pathlib import Path

import numpy as np
from header import header

sys.path.insert(0, str(Path(__file__).parents[1]))

from ffnn_xp.network import OUTPUTS
from tests.oracles.random_fits import KINDS, RandomFit, random_fit
from tests.oracles.verdicts import verdict

ENDS = ("valid", "not valid", "refused", "violation")


def call_of(seed: int) -> RandomFit:
    rng = np.random.default_rng(seed)
    return random_fit(lambda options: options[int(rng.integers(len(options)))])


def has_kinks(call: RandomFit) -> bool:
    names = (*call.network["activation"], call.network["output"])
    return not all(OUTPUTS[name].smooth for name in names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, default=10_000, help="number of fits (default 10,000)")
    parser.add_argument("--seed", type=int, default=0, help="that of the first; each violation names its own")
    parser.add_argument("--minutes", type=float, default=np.inf, help="begin no fit after so many")
    parser.add_argument("--kinks", action="store_true", help="only networks with relu or leaky_relu")
    options = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    began = time.monotonic()
    calls = ((seed, call_of(seed)) for seed in count(options.seed))
    chosen = (each for each in calls if has_kinks(each[1]) or not options.kinks)
    for seed, call in islice(chosen, options.fits):
        if time.monotonic() - began > 60 * options.minutes:
            break
        try:
            end, found = verdict(call)
        except Exception:
            end, found = "violation", [traceback.format_exc(limit=-1)]
        counts[call.kind if call.damage == "none" else "with a mistake", "violation" if found else end] += 1
        wrong += [f"- seed {seed}, {end}, {text} ({call})" for text in found]
    total = sum(counts.values())
    print(f"# Random fits\n\n{header()}\n- {total} fits in {(time.monotonic() - began) / 60:.0f} minutes\n")
    print(f"| data | fits | {' | '.join(ENDS)} |\n|{' --- |' * (len(ENDS) + 2)}")
    for kind in (*dict.fromkeys(KINDS), "with a mistake", "all"):
        row = [sum(n for (k, e), n in counts.items() if kind in (k, "all") and e == end) for end in ENDS]
        print(f"| {kind} | {sum(row)} | {' | '.join(map(str, row))} |")
    print("\n" + "\n".join(wrong or ["No violation."]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
