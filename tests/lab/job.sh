#!/bin/bash
# SPDX-License-Identifier: MIT
# job.sh OUTDIR DIR: put minivmm, the libraries it needs and the guest images into DIR, a job folder
# for `lab run`. In the host the program is called as ./minivmm from /job.
set -euo pipefail

out=$1 dir=$2
mkdir -p "$dir/lib"
cp "$out/minivmm" "$dir/minivmm.bin"
strip "$dir/minivmm.bin"
# The host has no dynamic linker of its own: it is called by name, with our library folder.
ldd "$out/minivmm" | awk '$2 == "=>" { print $3 } /ld-linux/ { print $1 }' | while read -r lib; do
	cp -L "$lib" "$dir/lib/"
done
cat > "$dir/minivmm" <<'EOF'
#!/bin/sh
# Of a build with a sanitizer: looking for leaks takes calls that a VM's process may not make.
export ASAN_OPTIONS=detect_leaks=0
exec /job/lib/ld-linux-x86-64.so.2 --library-path /job/lib /job/minivmm.bin "$@"
EOF
chmod +x "$dir/minivmm"
cp "$out"/guest-tests/*.elf "$dir/"
cp configs/overrides/*.mask tests/lab/in-host.sh "$dir/"
