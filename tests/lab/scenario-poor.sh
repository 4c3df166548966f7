# SPDX-License-Identifier: MIT
# Runs in the poorer host, in /job, with the snapshots of scenario-rich.sh in it.
. ./in-host.sh

r host ./minivmm host --prove-again
r host-file ./minivmm host -o out/poor.json
r plain ./minivmm restore plain.snap
r plain-json ./minivmm restore plain.snap --json
r masked ./minivmm restore masked.snap
r baseline ./minivmm restore baseline.snap
r forced ./minivmm restore uses.snap --unsafe-ignore-cpu "$MISSING"
r polite ./minivmm restore polite.snap
r prober ./minivmm restore prober.snap
r prober-r ./minivmm restore prober-r.snap
