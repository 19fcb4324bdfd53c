"""
Options of Numba with which all compiled functions are made.

Numba takes about .1 s for each function, and as much again for each new array, list, or reduction of an array in one:
compiled code fills arrays that it is given. The first sorting after installing waits for all of it.
"""

from typing import Any

# Options of functions that Python calls. A wrapper for calls from C, of which there are none, is left out.
COMPILED: dict[str, Any] = {"cache": True, "nogil": True, "no_cfunc_wrapper": True}
# Options of functions that other compiled functions call alone.
INNER: dict[str, Any] = {**COMPILED, "no_cpython_wrapper": True}
