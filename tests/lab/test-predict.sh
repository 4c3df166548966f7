#!/bin/bash
# SPDX-License-Identifier: MIT
# A cheap sample of `make predictions`: one AMD host, four masks.
exec "$(dirname "$0")/predictions.sh" "$1" epyc:none,avx-parts,intercepts,everything
