#!/bin/bash
# SPDX-License-Identifier: MIT
# The guide's own pair under Bochs: Penryn and Kentsfield, one feature bit apart.
exec "$(dirname "$0")/pair.sh" "$1" penryn kentsfield SSE4.1
