"""The exported C++ headers compile without a warning, and predict what the models predict."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffnn_xp as fx
from ffnn_xp.export import to_cpp

from .models import CASES, events, model_of

COMPILER = shutil.which("g++") or shutil.which("clang++")
NEEDS_COMPILER = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler, neither g++ nor clang++")

MAIN = """
template <typename Inputs, typename Outputs, typename F>
void run(std::size_t events, F f) {
  Inputs x;
  for (std::size_t n = 0; n < events; ++n) {
    for (double &value : x) std::cin >> value;
    Outputs mean{}, std_dev{};
    f(x, mean, std_dev);
    for (const auto &values : {mean, std_dev})
      for (double value : values) std::printf("%.17g ", value);
    std::printf("\\n");
  }
}
"""


def compiled_and_run(folder: Path, models: dict[str, fx.Model], *, std: bool) -> dict[str, Any]:
    """Compile one program with a header of each model, and return mean and std of their events."""
    includes, calls, given = [], [], []
    for name, model in models.items():
        to_cpp(model, folder / f"{name}.hpp", std=std)
        includes.append(f'#include "{name}.hpp"')
        predict = f"ffnn_xp::{name}::predict(x, s)" if std else f"ffnn_xp::{name}::predict(x)"
        body = f"y = {predict}; static_cast<void>(s);"
        inputs, outputs = f"ffnn_xp::{name}::Inputs", f"ffnn_xp::{name}::Outputs"
        arguments = f"const {inputs} &x, {outputs} &y, {outputs} &s"
        calls.append(f"run<{inputs}, {outputs}>({len(events(model))}, []({arguments}) {{ {body} }});")
        given += [repr(float(v)) for v in events(model).ravel()]
    head = "\n".join(["#include <cstdio>", "#include <iostream>", *includes, *includes])
    (folder / "main.cpp").write_text(f"{head}\n{MAIN}\nint main() {{ {' '.join(calls)} }}\n", encoding="utf-8")
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
    command = [str(COMPILER), "-std=c++17", *warnings, "main.cpp", "-o", "main"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = subprocess.run(["./main"], cwd=folder, input=" ".join(given), capture_output=True, text=True, check=True)
    lines, found = iter(text.stdout.splitlines()), {}
    for name, model in models.items():
        rows = np.array([[float(v) for v in next(lines).split()] for _ in range(len(events(model)))])
        found[name] = np.split(rows, 2, axis=1)
    return found


@NEEDS_COMPILER
@pytest.mark.slow
@pytest.mark.parametrize("std", [True, False])
def test_headers_predict_what_the_models_predict(tmp_path: Path, std: bool) -> None:
    models = {re.sub(r"\W+", "_", case): model_of(**options) for case, options in CASES.items()}
    assert len(models) == len(CASES)
    found = compiled_and_run(tmp_path, models, std=std)
    for name, model in models.items():
        with np.errstate(all="ignore"):
            expected = model.predict(events(model), return_std=True)
        for ours, theirs in zip(expected, found[name][: 1 + std], strict=False):
            ours = ours.reshape(theirs.shape)
            least = np.min(np.abs(ours), initial=1.0)
            np.testing.assert_allclose(theirs, ours, rtol=1e-12, atol=1e-12 * least, err_msg=name)


@pytest.mark.slow
@NEEDS_COMPILER
def test_names_of_any_characters_are_kept(tmp_path: Path) -> None:
    names = ("t [s]", 'θ "1" \\', "a\nb??/")
    model = model_of(widths=(3, 1), input_names=names, target_names=("U\\",))
    to_cpp(model, tmp_path / "new.hpp")
    program = """#include "new.hpp"
#include <cstdio>
int main() {
  for (auto name : ffnn_xp::net_new::input_names) std::puts(name);
  std::puts(ffnn_xp::net_new::output_names[0]);
}"""
    (tmp_path / "main.cpp").write_text(program, encoding="utf-8")
    subprocess.run([str(COMPILER), "-std=c++17", "-Wall", "-Werror", "main.cpp"], cwd=tmp_path, check=True)
    printed = subprocess.run(["./a.out"], cwd=tmp_path, capture_output=True, check=True).stdout.decode()
    assert printed == "\n".join([*names, "U\\", ""])


@pytest.mark.parametrize(
    ("path", "name", "namespace"),
    [
        ("signal.hpp", None, "signal"),
        ("my-net.v2.hpp", None, "my_net"),
        ("2d.hpp", None, "net_2d"),
        ("double.h", None, "net_double"),
        ("a.hpp", "μ signal", "net___signal"),
        (None, None, "network"),
    ],
)
def test_the_namespace_is_the_name_of_the_model_or_the_file(
    tmp_path: Path, path: str | None, name: str | None, namespace: str
) -> None:
    model = fx.Model((1, 1), name=name, seed=1)
    source = to_cpp(model, None if path is None else tmp_path / path)
    assert f"\nnamespace ffnn_xp::{namespace} {{\n" in source
    assert path is None or f'#include "{path}"' in source
    assert path is None or (tmp_path / path).read_text(encoding="utf-8") == source


def test_without_std_there_is_no_covariance_in_it() -> None:
    source = to_cpp(model_of())
    assert "std_dev" not in source
    assert "factor" not in source
    assert len(source) < len(to_cpp(model_of(), std=True)) / 2
