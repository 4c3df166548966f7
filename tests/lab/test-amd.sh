#!/bin/bash
# SPDX-License-Identifier: MIT
# The main job between two AMD hosts under QEMU TCG.
exec "$(dirname "$0")/pair.sh" "$1" epyc epyc-nosse4 SSE4.1 SSE4.2 MOVBE
