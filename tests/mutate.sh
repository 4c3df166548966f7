#!/bin/sh
# SPDX-License-Identifier: MIT
# Are the tests of the core awake? Each mutant below is one line of cpuid/ made wrong; the tests named
# after the file have to notice. A mutant that no test notices survives, and that fails this script.
#
#   tests/mutate.sh OUTDIR     (CC=…, JOBS=…, ONLY=TEXT: mutants whose file or description has it)
#
# Prints a test line (tests/lib.sh); VERBOSE=1 tells who noticed what.
# Exit status: 0 all noticed, 1 some survived, 2 a mutant no longer applies or does not compile.
set -eu

cd "$(dirname "$0")/.."
out=${1:?usage: tests/mutate.sh OUTDIR}
cc=${CC:-cc}
jobs=${JOBS:-$(nproc)}
flags="-std=c11 -D_GNU_SOURCE -O0 -w -Icpuid -Itests/unit -DMV_SOURCE_DIR=\"$PWD\""
tests="table xstate host apply answer leak predict verdict unknown"

mkdir -p "$out"
out=$(cd "$out" && pwd)
rm -rf "$out/mutant"
mkdir "$out/mutant"

# ---- the core and the tests, once ----

compile() { # SOURCE OBJECT
	# shellcheck disable=SC2086 # a list of words
	"$cc" $flags -c "$1" -o "$2"
}

build() { # SOURCE OBJECT
	compile "$1" "$2" || { echo "$1 does not compile" >&2; exit 2; }
}

for f in cpuid/*.c; do
	build "$f" "$out/$(basename "$f" .c).o" &
done
for t in $tests; do
	build "tests/unit/test_$t.c" "$out/test_$t.o" &
done
build tests/unit/support.c "$out/support.o"
wait
rm -f "$out/core.a"
for f in cpuid/*.c; do
	ar rcs "$out/core.a" "$out/$(basename "$f" .c).o"
done

# The tests have to pass before they may fail.
run() { # SECONDS DIR TEST OBJECT… : prints the name of a test that fails
	limit=$1 dir=$2 test=$3
	shift 3
	"$cc" -o "$dir/test" "$out/test_$test.o" "$out/support.o" "$@" "$out/core.a" -lcriterion || return 2
	status=0
	# shellcheck disable=SC2016 # for the inner shell
	timeout "$limit" sh -c 'echo $$ >"$0/pid"; exec "$0/test" --fail-fast' "$dir" >"$dir/log" 2>&1 || status=$?
	rm -f "/tmp/criterion_$(cat "$dir/pid").sock"	# which Criterion leaves when it stops early
	[ "$status" != 0 ] || return 0
	[ "$status" != 124 ] || echo 'it hangs '
	sed -n 's/^\[FAIL\] \([a-z_:]*\).*/\1/p' "$dir/log" | sort -u | tr '\n' ' '
	return 1
}

for t in $tests; do
	mkdir -p "$out/mutant/$t"
	run 100 "$out/mutant/$t" "$t" || { echo "test_$t fails without any mutant" >&2; exit 2; }
done

# ---- the mutants ----

count=0
mutant() { # FILE[@TEST] DESCRIPTION SED
	case "$1: $2" in *"${ONLY-}"*) ;; *) return 0 ;; esac
	count=$((count + 1))
	dir=$out/mutant/$(printf '%03d' "$count")
	mkdir "$dir"
	echo "$1.c: $2" >"$dir/what"
	one "$dir" "$1" "$3" &
	[ $((count % jobs)) -ne 0 ] || wait
}

one() { # DIR FILE SED
	file=${2%@*} test=${2#*@}
	case $test in verdict_rules | policy) test=verdict ;; apply_derived) test=apply ;; esac
	sed "$3" "cpuid/$file.c" >"$1/$file.c"
	if cmp -s "cpuid/$file.c" "$1/$file.c"; then
		echo 'no longer applies' >"$1/broken"
	elif ! compile "$1/$file.c" "$1/$file.o" 2>"$1/log"; then
		echo 'does not compile' >"$1/broken"
	else
		run 10 "$1" "$test" "$1/$file.o" >"$1/noticed" || :
	fi
}

# Rules dropped.
mutant verdict_rules 'vendor is not compared'          's/^\tvendor(c);//'
mutant verdict 'symbols are not compared'        's/^\tsymbols(&c);//'
mutant verdict_rules 'interception is not looked at'   's/^\tinterception(c);//'
mutant verdict_rules 'no power-on rule for numbers'    's/^\t\tpower_on_fields(c);//'
mutant verdict_rules 'no rule for numbers'         's/^\tnumbers(c);//'
mutant verdict_rules 'no rule for tile sizes'      's/^\t\t\tequal(c, (enum mv_field_id)i);/\t\t\t(void)0;/'
mutant verdict_rules 'guest-phys-bits of 0 is a limit' 's/ && !have)$/ \&\& 0)/'
mutant verdict_rules 'phys-bits go by another name' 's/^\tcase MV_FIELD_PHYS_BITS:$//'
mutant verdict_rules 'no rule for xsave'               's/^\txsave(c);//'
mutant verdict_rules 'no rule for clflush'             's/^\tclflush(c);//'
mutant verdict_rules 'no rule for tsc'                 's/^\ttsc(c);//'
mutant verdict_rules 'no rule for arch-caps'           's/^\tarch_caps(c);//'
mutant verdict_rules 'no rule for hazards'             's/^\thazards(c);//'
mutant verdict_rules 'no check of raw without interception' 's/^\t\t\tuntouched(c, &p->source.raw,/\t\t\t(void)(\&p->source.raw,/'

# Symbols.
mutant verdict 'T counts what executes'          's/(t & ~d)/(t \& ~de)/'
mutant verdict 'F counts what is offered'        's/(f & de)/(f \& d)/'
mutant verdict 'H is x'                          's/equality ? mv_mask_reg_with(r, MV_SYM_H) : 0/0/'
mutant verdict 'R is 0'                          's/equality ? mv_mask_reg_with(r, MV_SYM_R) : 0/0/'
mutant verdict 'H compares what executes'        's/(h & (so ^ d))/(h \& (se ^ de))/'
mutant verdict 'R compares offers'               's/(x & (se ^ de))/(x \& (so ^ d))/'
mutant verdict 'H asks for a subset'             's/(h & (so ^ d))/(h \& so \& ~d)/'
mutant verdict 'what was seen to execute does not count on the source' 's/ | s.src_ran\[r->reg\]//'
mutant verdict 'what was seen to execute does not count on the destination' 's/ | s.dst_ran\[r->reg\]//'
mutant verdict 'bit 31 is not looked at'         '/^static void symbols/,/^}/s/bit < 32/bit < 31/'
mutant verdict 'the final mask, not the effective one' 's/eff = &c->p->effective/eff = \&c->p->final/'
mutant verdict 'H and R count for a VM that is off' 's/equality = !c->opts->cold &&/equality =/'
mutant verdict 'H and R count without interception' 's/equality = \(.*\) && c->p->intercept.*;/equality = \1;/'
mutant verdict 'run-time and topology bits are compared' 's/(!f || !mv_feature_computed(f)) &&//'
mutant verdict 'fields with their own rule are compared' 's/field->rule == MV_FR_SYMBOL || field->rule == MV_FR_ATMOST/1/'
mutant verdict 'a difference in x hides one in H' 's/if (same & field_bits/if ((want ^ have) \& field_bits/'

# The subset rule.
mutant verdict 'subset: H accepts all'           's/return !guest || m->have;/return true;/'
mutant verdict 'subset: H accepts nothing'       's/return !guest || m->have;/return false;/'
mutant verdict 'subset: R on an enforced bit refuses' 's/ || enforced(c, f))/)/'
mutant verdict 'subset: R on a hidden-only bit accepts' 's/(!m->want || m->have || enforced(c, f))/true/'
mutant verdict 'subset: enforced without interception' 's/ || mv_host_intercepts(&c->p->source)) &&/ || 1) \&\&/'
mutant verdict 'subset: numbers must be equal'   's/ <= m->have;/ == m->have;/'
mutant verdict 'subset is the guide'             's/ && c->opts->mode == MV_VERDICT_SUBSET)/ \&\& 0)/'

# Structural rules turned.
mutant verdict_rules 'at most becomes at least'        's/^\tif (want <= have)/\tif (want >= have)/'
mutant verdict_rules 'vendor: four characters'         's/3 \* sizeof(\*s)/sizeof(*s)/'
mutant verdict_rules 'xsave: offsets may differ'       's/s\[MV_EBX\] == d\[MV_EBX\] && //'
mutant verdict_rules 'xsave: sizes may differ'         's/s\[MV_EAX\] == d\[MV_EAX\] && //'
mutant verdict_rules 'xsave: flags may differ'         's/ && s\[MV_ECX\] == d\[MV_ECX\])/)/'
mutant verdict_rules 'xsave: supervisor state is forgotten' 's/ | mv_xstate_xss(&c->p->guest);/;/'
mutant verdict_rules 'clflush: counts when hidden'     '/^static void clflush/,/^}/s/if (!mv_table_has(.*/if (0)/'
mutant verdict_rules 'tsc: 252 ppm'                    's/define TSC_TOLERANCE_PPM 250/define TSC_TOLERANCE_PPM 252/'
mutant verdict_rules 'tsc: 249 ppm'                    's/define TSC_TOLERANCE_PPM 250/define TSC_TOLERANCE_PPM 249/'
mutant verdict_rules 'tsc: the source may scale'       's/c->dst->tsc_scaling/c->p->source.tsc_scaling/'
mutant verdict_rules 'arch-caps: new hazards are fine' 's/gained = .*;/gained = 0;/'
mutant verdict_rules 'arch-caps: lost hazards are not' 's/lost = want & ~have & ~hazards/lost = want \& ~have/'
mutant verdict_rules 'arch-caps: one *_NO is enough'   's/(have & fb_no) == fb_no/have \& fb_no/'
mutant verdict_rules 'arch-caps: counts when hidden'   '/^static void arch_caps/,/^}/s/^\tif (!mv_table_has(.*/\tif (0)/'
mutant verdict_rules 'hazard: what the guest was not told' '/^bool mv_hazard_excused/,/^}/s/return false;/return true;/'
mutant verdict_rules 'hazard: MDS_NO does not matter'  's/ && caps & ARCH_CAP_MDS_NO;/;/'
mutant verdict_rules 'hazard: inverted bits must not go' 's/return mv_features\[id\].cls == MV_FC_INVERTED;/return false;/'
mutant verdict_rules 'kvm: controls are forgotten' 's/^\t\tkvm_controls(c, .*/;/'
mutant verdict_rules 'kvm: features are forgotten'  's/^\t\tkvm_feature(c, .*/;/'
mutant verdict_rules 'kvm: what was not in force'   '/^static void kvm_controls/,/^}/s/ & c->p->kvm_controls &/ \&/'
mutant verdict_rules 'kvm: R without MWAIT faults'  's/MV_KVM_CONTROL_BIT(MWAIT_KEPT) | MV_KVM_CONTROL_BIT(MWAIT_FAULTS)/MV_KVM_CONTROL_BIT(MWAIT_KEPT)/'
mutant verdict_rules 'kvm: hidden by 0 counts'      '/^static uint32_t controls_of/,/^}/s/ != MV_SYM_R)/ == MV_SYM_X)/'
mutant verdict_rules 'kvm: other symbols do not matter' 's/ || m.sym != MV_SYM_X || !mv_table_has(&c->p->guest, id)/ || !mv_table_has(\&c->p->guest, id)/'
mutant verdict 'msr: T is not compared'             's/bad = (t & ~dst) | (f & dst)/bad = (f \& dst)/'
mutant verdict 'msr: F is not compared'             's/bad = (t & ~dst) | (f & dst)/bad = (t \& ~dst)/'
mutant verdict 'msr: H and R are not compared'      's/ | ((h | r) & (src ^ dst));/;/'
mutant verdict 'msr: hidden ones are compared'      's/ || !msr_shown(c->p, line->index))/)/'
mutant apply 'msr: T and F at power-on'             's/^\tmsr_notes(p, notes);//'
mutant apply 'a T the host lacks is told twice'     's/ || mv_table_has(c->offer, id))) {/ || 1)) {/'
mutant policy 'msr: T is not given'                 's/ | mv_mask_msr_with(m, MV_SYM_T);/;/'
mutant policy 'msr: bits under x are compared'      's/by_symbol |= .*/by_symbol = 0;/'
mutant policy 'ignored names stand twice'           's/if (!len || listed(.*/if (!len)/'
mutant policy 'ignored: a part of a name is listed' 's/if (n == len && !memcmp/if (n >= len \&\& !memcmp/'
mutant policy 'ignored: no limit'                   's/if (at + 1 + len >= sizeof(p->ignored))/if (0)/'
mutant policy 'ignored: something of a list too long' "s/p->ignored\[before\] = .*/;/"
mutant verdict_rules 'interception: CPL 3 is forgotten' 's/(c->dst, p->patchable && p->patch_cpl3)/(c->dst, p->patchable)/'
mutant host@verdict 'interception: step at one level' 's/proof\[MV_INTERCEPTION_STEP\] == MV_PROOF_BOTH/proof[MV_INTERCEPTION_STEP]/'

# What a host does not tell.
mutant verdict@unknown 'what is unknown is fine'       's/ (x & (se ^ de)) | unknown;/ (x \& (se ^ de));/'
mutant verdict@unknown 'H of what the source does not tell' 's/((h | x) & ~(src_told & dst_told))/((h | x) \& ~dst_told)/'
mutant verdict@unknown 'T of what is not told'         's/unknown = ((t | f) & ~dst_told)/unknown = (f \& ~dst_told)/'
mutant verdict_rules@unknown 'an unknown cache line is compared' '/^static void clflush/,/^}/s/!mv_host_told_field(c->dst, MV_FIELD_CLFLUSH_SIZE)/0/'

# What is told.
mutant verdict 'ignored mismatches refuse'       's/if (!m.ignored) {/if (1) {/'
mutant verdict 'only the kept mismatches count'  's/v->refusals++;/v->refusals = v->n + 1;/'
mutant verdict 'unknown names are ignored'       's/^\t\tif (known)/\t\tif (1)/'
mutant verdict 'the remedy of a field is 0'      's/m->lo == m->hi ? MV_SYM_0 : MV_SYM_X/MV_SYM_0/'
mutant verdict 'the remedy of a hazard is 1'     's/m->want ? MV_SYM_0 : MV_SYM_1/MV_SYM_1/'
mutant verdict_rules 'the line of a number is the register'\''s' 's/line ? line->at : //'

# From mask to table.
mutant apply 'H and x are 0'                     's/return (offer & host) | t | one;/return t | one;/'
mutant apply 'T is not checked'                  's/look = ((t | one) & ~offer)/look = (one \& ~offer)/'
mutant apply 'F is not checked'                  's/ & ~offer) | f;/ \& ~offer);/'
mutant apply '1 does not warn'                   's/look = ((t | one) & ~offer)/look = (t \& ~offer)/'
mutant apply 'bits of the VMM need permission'   's/ || !mv_feature_computed(f);/ || 1;/'
mutant apply 'no closure'                        's/^\tclosure(p, &offer, notes);//'
mutant apply 'a single round of closure'         's/^\twhile (close_once(&c, false))/\twhile (0)/'
mutant apply 'closure leaves the symbols'        's/^\tif (r)$/\tif (0)/'
mutant apply 'a child of R becomes 0'            's/== MV_SYM_R ? MV_SYM_R : MV_SYM_0/== MV_SYM_R ? MV_SYM_0 : MV_SYM_0/'
mutant apply 'components without users stay'     's/changed |= orphan(c, component, user, tell);/;/'
mutant apply 'the line in the middle, not the last' 's/^\tif (mv_featset_has(&c->closed, id))/\tif (0)/'
mutant apply 'dynamic bits stay'                 's/cls == MV_FC_DYNAMIC/cls == MV_FC_HAZARD/'
mutant apply_derived 'AMD'\''s copies are left alone'    's/^\tmirror_bits(&p->guest);//'
mutant apply_derived 'the area'\''s size is copied'      's/^\t\td0->reg\[MV_ECX\] = .*//'
mutant apply_derived 'leaf 0xD stays without XSAVE'      's/^\t\twithout_xsave(p);//'
mutant apply_derived 'empty entries stay'                's/^\tdrop_zero_entries(g);//'
mutant apply_derived 'maxima above the host'\''s'        's/ && top > mv_table_field(offer, id))/ \&\& 0)/'
mutant apply_derived 'maxima beat number lines'          's/^\tif (mv_mask_find_field(&p->final, id))/\tif (0)/'
mutant apply_derived 'number lines are forgotten'        's/rc = fixed_fields(p, err);/;/'
mutant apply_derived 'numbers stay comparable'           '/^static int fixed_fields/,/^}/s/r && bit <= f->hi/0/'
mutant apply_derived 'leaf 0xB as the highest leaf'      's/highest_leaf(g, 0, 0x3fffffff) > 0xb && //'
mutant apply_derived 'what a number line cuts off stays'    's/^\tdrop_out_of_range(&p->guest);//'
mutant apply_derived 'leaves in the order of numbers'    's/^\torder(&p->guest);//'

# What a host offers.
mutant host 'the kvm view is the ceiling'        's/^\tif (mv_host_intercepts(h))/\tif (1)/'
mutant host 'raw counts in spite of interception' 's/^\tif (mv_host_intercepts(h))/\tif (0)/'
mutant host 'XCR0 is not asked'                  's/return need && !(need & ~h->xcr0);/return true;/'
mutant host 'CR4 comes for free'                 's/^\t\treturn (id == MV_F_XSAVE || id/\t\treturn (1 || id == MV_F_XSAVE || id/'
mutant host 'run-time bits are offered'          's/^\tif (mv_feature_computed(f))/\tif (0)/'
mutant host 'all components are copied'          's/ ||$/ ||/;s/!(h->xcr0 >> e->subleaf & 1))/0)/'
mutant host 'maxima stay too low'                's/^\tif (mv_table_field(t, max) < leaf)/\tif (0)/'
mutant host 'what was seen to execute does not count' 's/return f && mv_featset_has(.*/return false;/'

# Leaks, sizes, answers.
mutant leak 'no groups'                          's/^\t\tif (member && visible)/\t\tif (0)/'
mutant leak 'XCR0 is whole'                      's/ & ~mv_xstate_xcr0(guest);/;/'
mutant leak 'modes enforce nothing'              's/return mode_is_off(guest, id, vmx);/return false;/'
mutant leak 'VMX for SVM'                        's/(vmx ? f->vmx : f->svm)/(f->vmx)/'
mutant predict 'what was tried does not count'   's/mv_featset_has(&h->exec_known, id) ?/false ?/'
mutant predict 'what KVM emulates is not there'  's/ || mv_table_has(&h->kvm, id);/;/'
mutant leak 'the other vendor'\''s is disabled'     's/return foreign_refused(guest, id, vmx);/return true;/'
mutant leak 'the other vendor'\''s MSRs leak'       's/return foreign_refused(guest, id, vmx);/return false;/'
mutant leak 'the other vendor'\''s intercepts count' '/^static bool foreign_refused/,/^}/s/case MV_FE_CTRL:/case 99:/'
mutant leak 'the other vendor'\''s AVX is off'      '/^static bool foreign_refused/,/^}/s/return mv_xstate.*/return true;/'
mutant leak 'PV features are always refused'     's/return kvm_controls & MV_KVM_CONTROL_BIT(PV_ENFORCED);/return true;/'
mutant leak 'SMAP is disabled as a whole'        's/id == MV_F_SMAP || !/!/'
mutant predict 'KVM has 1 GiB pages for all'    's/if (a->feature == MV_F_PDPE1GB \&\& /if (0 \&\& /'
mutant predict 'controls disable all instructions' 's/ && !a->control && !a->msr && a->needs == MV_NFEATURES && !a->xcr0)/ \&\& 0)/'
mutant leak 'MONITOR always faults'              's/id == MV_F_MONITOR &&/0 \&\&/'
mutant predict 'an MSR runs without its control' 's/ && !a->msr &&/ \&\&/'
mutant predict 'components are not looked at'    's/^\treturn !(a->xcr0 & ~.*/\treturn true;/'
mutant predict 'control bits are BROKEN'         's/on && !a->control ?/on ?/'
mutant predict 'VMX for SVM'                     's/uint8_t by = vmx ? f->vmx : f->svm;/uint8_t by = f->vmx;/'
mutant xstate 'sums wrap'                        's/return size > UINT32_MAX ? UINT32_MAX : /return /'
mutant xstate 'no alignment'                     's/size = (size + 63) & ~UINT64_C(63);/;/'
mutant table 'VMX on Intel alone'                's/return !mv_vendor_amd(mv_table_vendor(t));/return mv_table_vendor(t) == MV_VENDOR_INTEL;/'
mutant xstate 'APX has no component'             's/{ MV_F_XSTATE_APX, MV_F_APX_F },//'
mutant answer 'AMD answers as Intel'             's/^\tif (!basic || mv_vendor_amd.*/\tif (!basic)/'
mutant answer 'the redirected subleaf is 0'      '/The subleaf asked for/,/}/s/lookup(guest, leaf, subleaf)/lookup(guest, leaf, 0)/'
mutant answer 'OSXSAVE stays'                    's/now->cr4 >> 18 & 1/0/'
mutant answer 'OSPKE stays'                      's/now->cr4 >> 22 & 1/0/'
mutant answer 'the area in force is the whole'   's/mv_xstate_standard_size(guest, now->xcr0)/out[MV_ECX]/'
mutant answer 'no level beyond the last'         's/^\tif (!e && (leaf == 0xb || leaf == 0x1f)) {/\tif (0) {/'
mutant table 'a full table takes more'           's/^\tif (t->n == MV_TABLE_MAX)/\tif (0)/'
mutant table 'the APIC id is not volatile'       's/ || f->rule == MV_FR_PERCPU)/)/'
wait

# ---- who noticed ----

survived=0 broken=0
for dir in "$out"/mutant/[0-9]*; do
	what=$(cat "$dir/what")
	if [ -s "$dir/broken" ]; then
		broken=$((broken + 1))
		echo "not ok mutant of $what: $(cat "$dir/broken")"
	elif [ -s "$dir/noticed" ]; then
		[ -z "${VERBOSE-}" ] || echo "noticed: $what: $(cat "$dir/noticed")" >&2
	else
		survived=$((survived + 1))
		echo "not ok mutant of $what: no test notices"
	fi
done
[ $((survived + broken)) -ne 0 ] || echo "ok $count mutants of the core, each noticed by a test"
[ "$broken" -eq 0 ] || exit 2
[ "$survived" -eq 0 ]
