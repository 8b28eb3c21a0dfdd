"""Examples of calls, which end the help of each command; the tests run them."""

from __future__ import annotations

EXAMPLES = {
    "fit": r"""
# a network with two hidden layers, kept and drawn
ffnn-xp fit masses.csv --target BE --error sigma --inputs Z,N \
    --layers 8,7 --save masses.safetensors --plot masses.png
# counts in different times, by the hour and the kind of day
ffnn-xp fit clicks.csv --target n --loss poisson --output exp \
    --exposure hours --inputs clock --categorical day
# from another program, for another program
head -n 100 masses.csv | \
    ffnn-xp fit - -t BE -e sigma -i Z,N --prior 3 --json > fit.json
# the same fit of other data
ffnn-xp fit new.csv --card masses.safetensors --save new.safetensors
""",
    "predict": r"""
# a table of predictions and their errors
ffnn-xp predict masses.safetensors new.csv --out predicted.parquet
# where new measurements would lie, with 90 % probability, in a pipe
ffnn-xp predict masses.safetensors - --interval 0.9 < new.csv | head -n 3
""",
    "export": r"""
# for ONNX Runtime, with errors
ffnn-xp export masses.safetensors masses.onnx --std
# C++17 on standard output
ffnn-xp export masses.safetensors - --format hpp > masses.hpp
""",
    "show": r"""
# what is in the file
ffnn-xp show masses.safetensors
# how it was made
ffnn-xp show masses.safetensors --card > masses.toml
# for another program
ffnn-xp show masses.safetensors --json > masses.json
""",
    "plot": r"""
# the data, the fit and its pulls
ffnn-xp plot masses.safetensors --out masses.pdf
# the distribution of the pulls, of a table that is elsewhere now
ffnn-xp plot masses.safetensors masses.csv --kind pulls --out pulls.png
# the network itself
ffnn-xp plot masses.safetensors --kind network --out network.svg
""",
    "coverage": r"""
# does the 68 % band cover 68 %?
ffnn-xp coverage masses.safetensors -n 100
# at another level, for another program
ffnn-xp coverage masses.safetensors -n 50 --cl 0.9 --json > coverage.json
""",
    "backends": r"""
# which libraries compute here
ffnn-xp backends
# for another program
ffnn-xp backends --json > backends.json
""",
}


def epilog(command: str) -> str:
    """Return the last lines of the help of a command."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in EXAMPLES[command].strip().splitlines())])
