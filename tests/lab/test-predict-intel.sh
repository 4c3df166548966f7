#!/bin/bash
# SPDX-License-Identifier: MIT
# A cheap sample of `make predictions`: one Intel host under Bochs, two masks.
exec "$(dirname "$0")/predictions.sh" "$1" haswell:none,everything
