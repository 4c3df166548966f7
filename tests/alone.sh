#!/bin/bash
# SPDX-License-Identifier: MIT
# alone.sh SCRIPT [ARG…]: a script of rows by itself, for make: it fails if one of them does.
set -uo pipefail
"$@" | awk '{ print; fflush() } /^not ok/ { bad = 1 } END { exit bad }'
