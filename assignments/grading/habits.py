"""What notebooks do out of habit, on Colab and elsewhere, and what must not cost marks where none of it is there.

Student side: these stand-ins run in the submission's own process.
"""

from __future__ import annotations

import ast
import contextlib
import re
import sys
import types
from importlib.machinery import ModuleSpec
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

ELSEWHERE = re.compile(r"cuda|mps|xla")
INSTALLS = re.compile(r"^\s*(sudo\s+)?(uv\s+)?(pip3?|conda|mamba|apt|apt-get|git|wget|curl|gdown|nvidia-smi)\b")
MAGICS = ("pip", "conda", "mamba", "uv", "matplotlib", "pylab", "gui", "load_ext", "reload_ext", "autoreload", "config")
MOST_PARTS = 50  # of one cell that may fail one after the other


class Anything(types.ModuleType):
    """A module in which every name is another such module, or a function that does nothing: whatever it is used as."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(f"{self.__name__}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return {} if self.__name__.endswith(".upload") else None


class Colab:
    """Finds modules in the place of Colab's own: a mounted drive is an empty folder, an upload brings nothing.

    Only when they are imported: a set-up cell that looks whether this is Colab must see that it is not.
    """

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        known = name == "google" or name == "google.colab" or name.startswith("google.colab.")
        return ModuleSpec(name, self, is_package=True) if known else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return Anything(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


class OnProcessor(TorchFunctionMode):
    """Whatever is asked for on another device happens on the processor."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in ("cuda", "xpu"):
            return args[0]
        here = torch.device("cpu")
        swap = lambda x: here if isinstance(x, (str, torch.device)) and ELSEWHERE.match(str(x)) else x
        return func(*map(swap, args), **{name: swap(value) for name, value in (kwargs or {}).items()})


def stay_on_processor() -> None:
    """Let ``.cuda()``, ``device="cuda"`` and their like mean the processor."""
    OnProcessor().__enter__()
    original = torch.Generator

    class Generator(original):  # type: ignore[misc, valid-type]
        def __new__(cls, device: Any = "cpu") -> Any:
            return original.__new__(original)

    torch.Generator = Generator  # type: ignore[misc]
    torch.cuda.synchronize = lambda *args, **kwargs: None  # type: ignore[assignment]
    torch.cuda.get_device_name = lambda *args, **kwargs: "the processor"  # type: ignore[assignment]


def prepare(shell: Any, cells: list[str]) -> None:
    """Make IPython's shell, and what the cells import, bear what notebooks do out of habit."""
    sys.meta_path.append(Colab())  # type: ignore[arg-type]
    for name in MAGICS:
        for kind in ("line", "cell"):
            shell.magics_manager.magics[kind][name] = lambda line, cell=None: None
    run = shell.system_raw
    shell.system = lambda command: None if INSTALLS.match(command) else run(command)
    if any(ELSEWHERE.search(cell) for cell in cells):
        stay_on_processor()


def run_cell(shell: Any, source: str) -> BaseException | None:
    """Run a cell; where one of its statements fails, run those after it too. Return the first error.

    A cell that begins with what only works on the student's machine still gives the answer that it ends with.
    """
    first: BaseException | None = None
    for _ in range(MOST_PARTS):
        result = shell.run_cell(source, store_history=False, silent=True)
        error = result.error_before_exec or result.error_in_exec
        first = first or error
        if error is None or not isinstance(error, Exception):
            return first
        source = _after(shell, source, error)
        if not source:
            return first
    return first


def _after(shell: Any, source: str, error: BaseException) -> str:
    """Return the part of a cell after the statement that failed."""
    plain = shell.transform_cell(source)
    with contextlib.suppress(SyntaxError):
        statements = ast.parse(plain).body
        trace, line = error.__traceback__, 0
        while trace is not None and not line:
            if trace.tb_frame.f_globals is shell.user_ns and trace.tb_frame.f_code.co_name in (
                "<module>",
                "<cell line",
            ):
                line = trace.tb_lineno
            trace = trace.tb_next
        later = [s for s in statements if min([s.lineno, *(d.lineno for d in getattr(s, "decorator_list", []))]) > line]
        if line and later:
            begin = min([later[0].lineno, *(d.lineno for d in getattr(later[0], "decorator_list", []))])
            return "\n".join(plain.splitlines()[begin - 1 :])
    return ""
