# Fuzzing goes on from the seeds, which make test runs, for as long as it is told.

##@ Test

# How long each target is fuzzed, or with how many inputs (1000x), and which packages are.
FUZZTIME ?= 10s
FUZZ_PACKAGES ?= $(shell grep -rl --include='*_test.go' '^func Fuzz' internal | xargs -n 1 dirname | sort -u)

# By default an input is made smaller for up to a minute each time it reaches new code, which would be all of a short run.
# All targets are fuzzed, also after one that failed. What it failed on is in its package's testdata/fuzz then, to be
# committed with the fix.
.PHONY: fuzz
fuzz: ## Fuzz every target for a while. FUZZTIME=10s says how long each, or 1000x with how many inputs, FUZZ_PACKAGES which.
	@failed=; count=0; \
	for package in $(FUZZ_PACKAGES); do \
		targets=$$(go test -list '^Fuzz' ./$$package) || { failed="$$failed $$package"; echo "$$targets"; continue; }; \
		for target in $$(grep '^Fuzz' <<<"$$targets"); do \
			result=passed; count=$$((count + 1)); \
			output=$$(go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x ./$$package 2>&1) || result=failed; \
			[ $$result = passed ] || { failed="$$failed $$target"; echo "$$output"; }; \
			execs=$$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' <<<"$$output" | tail -n 1); \
			line=$$(printf '%-7s %-26s %-24s %8s inputs' $$result $$package $$target "$${execs:-0}"); \
			echo "$$line"; \
		done; \
	done; \
	if [ -n "$$failed" ]; then echo "fuzzing found something in:$$failed" >&2; exit 1; fi; \
	if [ $$count = 0 ]; then echo "there is nothing to fuzz" >&2; exit 1; fi; \
	echo "$$count targets were fuzzed for $(FUZZTIME) each, and all held"
