"""Every public name, every argument, every kind of bad input: a `ValueError` that names the argument, or it fails."""

from __future__ import annotations

import inspect
import re
import warnings

import pytest

from tests.ncbook.bad_input import ELSEWHERE, RETURNED, bad, public
from tests.ncbook.good_calls import good

GOOD = good()


def broken_promises(name):
    """Return the ``argument/kind`` pairs that end in anything but a ValueError which names the argument."""
    call, arguments = GOOD[name]
    known = inspect.signature(call).parameters
    failures = set()
    for argument, value in arguments.items():
        called = argument if argument in known else "choices"
        for kind, wrong in bad(name, argument, value, str(known[called].annotation)):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    call(**(arguments | {argument: wrong}))
            except ValueError as error:
                if re.search(rf"\b{called}\b", str(error)):
                    continue
            except Exception:
                pass
            failures.add(f"{argument}/{kind}")
    return failures


def test_the_table_covers_every_public_callable():
    assert set(public()) - RETURNED - ELSEWHERE == set(GOOD)


def test_the_table_holds_every_argument():
    missing = {
        f"{name}({parameter.name})"
        for name, (call, arguments) in GOOD.items()
        for parameter in inspect.signature(call).parameters.values()
        if parameter.name not in arguments and parameter.kind.name not in ("VAR_POSITIONAL", "VAR_KEYWORD")
    }
    assert missing == {"training.CollapseProbe(layers)"}  # filled by the probe itself


@pytest.mark.parametrize("name", GOOD)
def test_bad_input_is_refused_by_name(name):
    call, arguments = GOOD[name]
    call(**arguments)
    assert broken_promises(name) == set()
