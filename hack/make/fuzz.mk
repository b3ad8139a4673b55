# Fuzzing beyond the seeds, which make test runs.

##@ Test

# Duration or number of inputs (1000x) for each target, and the packages.
FUZZTIME ?= 10s
FUZZ_PACKAGES ?= $(shell grep -rl --include='*_test.go' '^func Fuzz' internal | xargs -n 1 dirname | sort -u)

# The test of a package is linked once for all of its targets. -fuzzminimizetime: by default, each input that reaches new code is
# minimized for up to a minute, which would take all of a short run. A failed target does not stop the others. Its input is written
# to testdata/fuzz of the package: commit it with the fix.
.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME=10s, or with 1000x inputs. FUZZ_PACKAGES limits the packages.
	@failed=; count=0; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; binary=$$folder/fuzz.test; \
	for package in $(FUZZ_PACKAGES); do \
		targets=$$(go test -c -fuzz . -o $$binary ./$$package 2>&1 && cd $$package && $$binary -test.list '^Fuzz' 2>&1) || \
			{ failed="$$failed $$package"; echo "$$targets"; continue; }; \
		cache=$$(go env GOCACHE)/fuzz/$$(go list ./$$package); \
		for target in $$(grep '^Fuzz' <<<"$$targets"); do \
			result=passed; count=$$((count + 1)); \
			output=$$(cd $$package && $$binary -test.run '^$$' -test.fuzz "^$$target\$$" -test.fuzztime $(FUZZTIME) \
				-test.fuzzminimizetime 100x -test.fuzzcachedir "$$cache" 2>&1) || result=failed; \
			[ $$result = passed ] || { failed="$$failed $$target"; echo "$$output"; }; \
			execs=$$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' <<<"$$output" | tail -n 1); \
			line=$$(printf '%-7s %-26s %-24s %8s inputs' $$result $$package $$target "$${execs:-0}"); \
			echo "$$line"; \
		done; \
	done; \
	if [ -n "$$failed" ]; then echo "fuzzing failed for:$$failed" >&2; exit 1; fi; \
	if [ $$count = 0 ]; then echo "there are no fuzz targets" >&2; exit 1; fi; \
	echo "$$count targets were fuzzed for $(FUZZTIME) each, and all passed"
