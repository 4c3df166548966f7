# SPDX-License-Identifier: MIT
# What is installed besides the program: manual pages, completion, the core as a library, packages.
VERSION  := $(shell sed -n 's/^\#define MV_VERSION "\(.*\)"/\1/p' vmm/cli/cli.h)
PREFIX   ?= /usr/local
LIBDIR   ?= $(PREFIX)/lib
DESTDIR  ?=
CORE_SO  := libminivmm-cpuid.so
CORE_ABI := 0

# ---- the core as a shared library ----------------------------------------------------------------

CORE_PIC  := $(patsubst %.c,$(OUT)/pic/%.o,$(CPUID_SRCS))
CORE_HDRS := $(filter-out cpuid/%_impl.h cpuid/masklex.h,$(wildcard cpuid/*.h)) cpuid/features.def cpuid/fields.def

$(OUT)/pic/%.o: %.c $(OUT)/.flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CSTD) $(WARN) $(CFLAGS) $(SANFLAGS) $(CPUID_INC) -fPIC $(DEPFLAGS) -c -o $@ $<

$(OUT)/$(CORE_SO).$(CORE_ABI): $(CORE_PIC) contrib/pkg/minivmm-cpuid.map
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) -shared -Wl,-soname,$(CORE_SO).$(CORE_ABI) -Wl,-z,defs \
		-Wl,--version-script=contrib/pkg/minivmm-cpuid.map -o $@ $(CORE_PIC)

-include $(CORE_PIC:.o=.d)

# ---- from the command table ----------------------------------------------------------------------

$(OUT)/commands.json: $(OUT)/minivmm
	$(Q)$(OUT)/minivmm --help --json > $@

$(OUT)/man/minivmm.1: $(OUT)/commands.json $(wildcard contrib/man/*)
	$(call say,MAN,$(@D))
	$(Q)rm -rf $(@D) && contrib/man/mkman.py $< $(@D)

$(OUT)/minivmm.bash: $(OUT)/commands.json contrib/completion/mkcompletion.py
	$(call say,GEN,$@)
	$(Q)contrib/completion/mkcompletion.py $< > $@

# ---- install -------------------------------------------------------------------------------------

.PHONY: man install deb
man: $(OUT)/man/minivmm.1

define pages
$(patsubst $(OUT)/man/%,%,$(wildcard $(OUT)/man/*.$(1)))
endef

install: all man $(OUT)/minivmm.bash $(OUT)/$(CORE_SO).$(CORE_ABI)
	install -D -m 755 $(OUT)/minivmm $(DESTDIR)$(PREFIX)/bin/minivmm
	install -D -m 755 $(OUT)/cpuid-probe $(DESTDIR)$(PREFIX)/lib/minivmm/cpuid-probe
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 644 $(OUT)/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 $(OUT)/man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5/
	install -D -m 644 $(OUT)/minivmm.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/minivmm
	install -d $(DESTDIR)$(PREFIX)/share/minivmm/guest-os $(DESTDIR)$(PREFIX)/share/minivmm/baselines \
		$(DESTDIR)$(PREFIX)/share/minivmm/overrides
	install -m 644 configs/guest-os/*.mask $(DESTDIR)$(PREFIX)/share/minivmm/guest-os/
	install -m 644 configs/baselines/*.mask $(DESTDIR)$(PREFIX)/share/minivmm/baselines/
	install -m 644 configs/overrides/*.mask $(DESTDIR)$(PREFIX)/share/minivmm/overrides/
	install -m 644 $(OUT)/guest-tests/*.elf $(DESTDIR)$(PREFIX)/lib/minivmm/
	install -D -m 755 contrib/libvirt-hook/qemu $(DESTDIR)$(PREFIX)/share/minivmm/libvirt-hook/qemu
	install -d $(DESTDIR)$(PREFIX)/share/doc/minivmm
	install -m 644 README.md $(DESTDIR)$(PREFIX)/share/doc/minivmm/
	install -d $(DESTDIR)$(PREFIX)/share/doc/minivmm/docs
	install -m 644 docs/*.md $(DESTDIR)$(PREFIX)/share/doc/minivmm/docs/
	install -D -m 644 contrib/systemd/minivmm@.service $(DESTDIR)$(PREFIX)/lib/systemd/system/minivmm@.service
	sed -i 's|/usr/bin/|$(PREFIX)/bin/|' $(DESTDIR)$(PREFIX)/lib/systemd/system/minivmm@.service
	install -D -m 644 $(OUT)/$(CORE_SO).$(CORE_ABI) $(DESTDIR)$(LIBDIR)/$(CORE_SO).$(CORE_ABI)
	ln -sf $(CORE_SO).$(CORE_ABI) $(DESTDIR)$(LIBDIR)/$(CORE_SO)
	install -d $(DESTDIR)$(PREFIX)/include/minivmm $(DESTDIR)$(LIBDIR)/pkgconfig
	install -m 644 $(CORE_HDRS) $(DESTDIR)$(PREFIX)/include/minivmm/
	sed 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|' contrib/pkg/minivmm-cpuid.pc.in \
		> $(DESTDIR)$(LIBDIR)/pkgconfig/minivmm-cpuid.pc

# ---- Debian packages -----------------------------------------------------------------------------
# In build/deb, from the files that git knows; lintian has the last word.

PKGS_DEB := debhelper lintian dpkg-dev pkgconf

deb:
	$(call need,$(PKGS_BUILD) $(PKGS_DEB))
	rm -rf $(OUT)/deb && mkdir -p $(OUT)/deb/minivmm-$(VERSION)
	git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t $(OUT)/deb/minivmm-$(VERSION)
	mv $(OUT)/deb/minivmm-$(VERSION)/contrib/debian $(OUT)/deb/minivmm-$(VERSION)/debian
	cd $(OUT)/deb/minivmm-$(VERSION) && dpkg-buildpackage -b -us -uc >../build.log 2>&1 || { tail -30 ../build.log; exit 1; }
	lintian --fail-on error,warning --display-info $(OUT)/deb/*.changes
