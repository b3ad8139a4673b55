# Checks in CI besides the tests.

##@ Check

# Modules with Go code, and all modules.
CODE_MODULES := . api hack/controlplane hack/licenses hack/monitoring hack/release hack/tools/registry
ALL_MODULES   = $(patsubst %/go.mod,%,$(shell git ls-files go.mod '*/go.mod' | sed 's|^go.mod$$|./go.mod|'))

# One cache per checkout: cached findings of another one have paths that the rules don't match.
LINT := GOWORK=off GOLANGCI_LINT_CACHE=$(BIN)/golangci-lint-cache $(GOLANGCI_LINT)

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Lint every module and the words of comments and documentation, and prove that these rules can fail.
	@failed=; for module in $(CODE_MODULES); do \
		echo "linting $$module"; (cd $$module && $(LINT) run ./...) || failed="$$failed $$module"; \
	done; \
	if [ -n "$$failed" ]; then echo "lint found problems in:$$failed" >&2; exit 1; fi
	hack/lint/rules.sh $(GOLANGCI_LINT)
	hack/lint/markdown.sh
	hack/lint/words.sh --self-test
	hack/lint/words.sh

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## Format the code, and sort its imports.
	@for module in $(CODE_MODULES); do (cd $$module && $(LINT) fmt ./...); done

.PHONY: api-docs
api-docs: $(CRD_REF_DOCS) ## Generate the API reference from the comments in the code.
	@mkdir -p docs/api/v1
	cd api && $(CRD_REF_DOCS) --source-path=. --config=../hack/api-docs/config.yaml --renderer=markdown \
		--output-path=../docs/api/v1/image-reflector.md --log-level=WARN
	@# crd-ref-docs prints the CEL rules of items only: remove them, as it prints none of other fields.
	@sed -E 's/items:XValidation: [^|]*<nil>\\\} <br \/>//' docs/api/v1/image-reflector.md > docs/api/v1/image-reflector.md.unfinished && \
		mv docs/api/v1/image-reflector.md.unfinished docs/api/v1/image-reflector.md

.PHONY: docs
docs: ## Generate the tables of flags, of metrics and, from the fake registries, of registries.
	go test -count=1 -run '^TestDocs' . -update
	go test -count=1 ./internal/registry/matrix -update

.PHONY: tidy
tidy: ## Tidy go.mod and go.sum of every module.
	@for module in $(ALL_MODULES); do echo "tidying $$module"; (cd $$module && GOWORK=off go mod tidy); done

# LINTED=1 skips lint, which CI runs in another step.
.PHONY: verify
verify: ## Lint, regenerate everything, and fail if the tree is dirty.
	@$(MAKE) --no-print-directory --keep-going $(if $(LINTED),,lint) verify-format verify-modules verify-workflow controlplane-check verify-generated

.PHONY: verify-format
verify-format:
	@files=$$(git ls-files '*.go' | xargs gofmt -l); \
	if [ -n "$$files" ]; then printf 'not formatted, run make fmt:\n%s\n' "$$files" >&2; exit 1; fi

.PHONY: verify-modules
verify-modules:
	@failed=; for module in $(ALL_MODULES); do \
		(cd $$module && GOWORK=off go mod tidy -diff) || failed="$$failed $$module"; \
	done; \
	if [ -n "$$failed" ]; then echo "not tidy, run make tidy:$$failed" >&2; exit 1; fi

# GitHub runs the same steps as .ci/run, and CONTRIBUTING has the flags of the Makefile.
.PHONY: verify-workflow
verify-workflow:
	@diff <(sed -n 's/^step [a-z]* //p' .ci/run) <(sed -n 's/^ *- \(make .*\)$$/\1/p' .github/workflows/ci.yaml) || \
		{ echo "the steps of .ci/run (<) are not those of .github/workflows/ci.yaml (>)" >&2; exit 1; }
	@grep -qxF 'export GOFLAGS="$(COMMON_FLAGS)"' <(sed 's/ *#.*//' CONTRIBUTING.md) || \
		{ echo 'CONTRIBUTING.md must contain: export GOFLAGS="$(COMMON_FLAGS)"' >&2; exit 1; }

.PHONY: verify-generated
verify-generated: generate api-docs docs
	@changed=$$(git status --porcelain); \
	if [ -n "$$changed" ]; then \
		printf 'The tree is dirty. Commit these files: generated files among them were out of date.\n%s\n' "$$changed" >&2; \
		git --no-pager diff --stat >&2; exit 1; \
	fi
