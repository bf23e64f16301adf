import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, threading
from agent.crew import share_heaps

if sys.argv[1] == "shared":
    share_heaps()
barrier = threading.Barrier(9)

def work():
    kept = [bytearray(100_000) for _ in range(20)]
    barrier.wait()
    barrier.wait()

for _ in range(8):
    threading.Thread(target=work, daemon=True).start()
barrier.wait()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
barrier.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has these heaps")
def test_threads_share_few_heaps():
    """Eight threads that hold memory take it from two heaps instead of one each."""
    heaps = {}
    for how in ("shared", "apart"):
        command = [sys.executable, "-c", PROGRAM, how]
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
        heaps[how] = told.count("<heap nr=")
    assert heaps["shared"] <= 2 < heaps["apart"]
