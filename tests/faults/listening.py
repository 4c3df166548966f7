# SPDX-License-Identifier: MIT
import os


def listens(path):
    """Its file is there before anybody listens; and to connect would be one more call of the process that is hit."""
    with open("/proc/net/unix") as f:
        return any(w[3] == "00010000" and w[7:] == [os.path.abspath(path)] for w in map(str.split, f))
