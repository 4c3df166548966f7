#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""contains.py OLD.json NEW.json: is all that OLD says still what NEW says? NEW may say more."""
import json
import sys


def differences(old, new, path=""):
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in old.items():
            if key not in new:
                yield f"{path}/{key} is gone"
            else:
                yield from differences(value, new[key], f"{path}/{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, value in enumerate(old):
            yield from differences(value, new[i], f"{path}/{i}")
    elif old != new:
        yield f"{path}: {str(new)[:60]} instead of {str(old)[:60]}"


found = list(differences(*(json.load(open(f)) for f in sys.argv[1:3])))
print("\n".join(found[:10]))
sys.exit(bool(found))
