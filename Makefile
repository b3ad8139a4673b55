# make help lists all targets.
# A fresh clone needs Go, make and git. Everything else is built from Go modules into bin/.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN := $(CURDIR)/bin
export CGO_ENABLED := 0

# For every go command, so that packages are compiled once: with other flags, the build cache has no common packages. No program
# contains DWARF, because all are linked with -s -w. A -gcflags of the user comes later, and replaces ours.
COMMON_FLAGS := -trimpath -gcflags=all=-dwarf=false
override export GOFLAGS := $(strip $(COMMON_FLAGS) $(filter-out $(COMMON_FLAGS),$(or $(GOFLAGS),$(shell go env GOFLAGS 2>/dev/null))))

# The go command compiles in parallel. Several at once would compile the packages that they share twice.
.NOTPARALLEL:

include hack/make/tools.mk
-include $(filter-out hack/make/tools.mk,$(wildcard hack/make/*.mk))

##@ Build

# The output of image-reflector-controller --version.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

# Reproducible, with -trimpath: the binary does not depend on the folder of the sources.
BUILD_FLAGS = -buildvcs=false -ldflags="-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)"

.PHONY: build
build: ## Build the controller into bin/.
	@$(FIRST_BUILD)
	@$(COMPILE) -name controller -dir $(CURDIR) -o $(BIN)/image-reflector-controller -- $(BUILD_FLAGS) .

.PHONY: generate
generate: $(CONTROLLER_GEN) ## Generate deep copies, CRDs and RBAC from the markers in the code.
	cd api && $(CONTROLLER_GEN) object:headerFile=../hack/boilerplate.go.txt paths=./...
	cd api && $(CONTROLLER_GEN) crd paths=./... output:crd:artifacts:config=../config/crd/bases
	$(CONTROLLER_GEN) rbac:roleName=image-reflector-controller paths=./internal/controller/... output:rbac:artifacts:config=config/rbac

##@ Test

.PHONY: test
test: build $(REGISTRY) $(REGISTRY_V2) $(KUSTOMIZE) $(KREW) controlplane ## Run all tests, on a real control plane and real registries.
	KUBEBUILDER_ASSETS="$(CONTROLPLANE_ASSETS)" REGISTRY="$(REGISTRY)" REGISTRY_V2="$(REGISTRY_V2)" \
		CONTROLLER="$(BIN)/image-reflector-controller" KREW="$(KREW)" go test -count=1 ./...
	cd api && go test -count=1 ./...
	$(MAKE) controlplane-test
	$(MAKE) monitoring-test
	$(MAKE) licenses-test release-test

##@ Help

# Groups of targets in the order of make help; others follow. A group may be in several files.
GROUPS := Run,Build,Test,Check,Measure,Cluster,Image,Release,Tools,Control plane,Help

.PHONY: help
help: ## Show this help.
	@awk -v order="$(GROUPS)" ' \
		BEGIN {FS = ":.*## "; n = split(order, titles, ","); for (i = 1; i <= n; i++) known[titles[i]]} \
		FNR == 1 {title = ""} \
		/^##@ / {title = substr($$0, 5); if (!(title in known)) {known[title]; titles[++n] = title}} \
		/^[a-zA-Z_-]+:.*## / {lines[title] = lines[title] sprintf("  %-22s %s\n", $$1, $$2)} \
		END {for (i = 1; i <= n; i++) if (lines[titles[i]] != "") printf "\n%s\n%s", titles[i], lines[titles[i]]}' $(MAKEFILE_LIST)
