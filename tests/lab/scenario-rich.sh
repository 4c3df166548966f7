# SPDX-License-Identifier: MIT
# Runs in the richer host, in /job: what a user does there. Every command leaves out/NAME.out, .err
# and .rc for pair.sh to judge. hide.mask hides what the poorer host lacks, hide-r.mask does so by R,
# baseline.mask asks for what both have.
. ./in-host.sh

r host ./minivmm host --prove-again
r host-file ./minivmm host -o out/rich.json
r hidden ./minivmm probe --mask hide.mask
r fail-on ./minivmm probe --mask hide.mask --only SSE4.1 --fail-on leak
r shown ./minivmm probe --only SSE4.1 --fail-on leak,broken
r patch ./minivmm probe --mask hide.mask --intercept patch
r step ./minivmm probe --mask hide.mask --only SSE4.1 --intercept step
r cpus ./minivmm probe -v --mask hide.mask --only SSE4.1 --topology sockets=2,threads=2
r cpus-patch ./minivmm probe -v --mask hide.mask --only SSE4.1 --cpus 2 --intercept patch
r power-on ./minivmm probe --mask power-on.mask
r plain ./minivmm run probe.elf --append "nonce=$NONCE sync=1 nodump" \
	--snapshot-on-sync out/plain.snap --stop
r masked ./minivmm run probe.elf --mask hide.mask --append "nonce=$NONCE sync=1 nodump" \
	--snapshot-on-sync out/masked.snap --stop
r baseline ./minivmm run polite.elf --mask baseline.mask --append "nonce=$NONCE" \
	--snapshot-on-sync out/baseline.snap --stop
r uses ./minivmm run polite.elf --append "nonce=$NONCE" --snapshot-on-sync out/uses.snap --stop
r polite ./minivmm run polite.elf --mask hide.mask --append "nonce=$NONCE" \
	--snapshot-on-sync out/polite.snap --stop
r prober ./minivmm run prober.elf --mask hide.mask --append "nonce=$NONCE" \
	--snapshot-on-sync out/prober.snap --stop
r prober-r ./minivmm run prober.elf --mask hide-r.mask --append "nonce=$NONCE" \
	--snapshot-on-sync out/prober-r.snap --stop

# Everything a guest can hold, saved and restored. Where there is time for it: Bochs is slow.
torture() {
	./minivmm run -q torture.elf --cpus 2 --append "cpus=2 cycles=4" --snapshot-on-sync t.snap --stop --timeout 300
	for i in 1 2 3 4; do
		./minivmm restore -q t.snap --snapshot-on-sync t.snap --stop --timeout 300 || return
	done
}
[ ! -e /sys/module/kvm_amd ] || r torture torture
