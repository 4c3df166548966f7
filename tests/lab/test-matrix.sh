#!/bin/bash
# SPDX-License-Identifier: MIT
# test-matrix.sh BUILD: a cell of the published matrix, measured anew: out of a host with XSAVE into one without.
exec "$(dirname "$0")/matrix.py" cells "$1" epyc:conroe-amd:pair
