# Development tools and the control plane, built from Go modules into $(BIN) when they are first needed.
# The root Makefile sets BIN := $(CURDIR)/bin and includes this file.

BIN ?= $(CURDIR)/bin
HACK := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))..)

##@ Tools

# To use a tool, depend on its variable:
#   manifests: $(CONTROLLER_GEN)
#   	$(CONTROLLER_GEN) crd paths=./...
CONTROLLER_GEN := $(BIN)/controller-gen
CRD_REF_DOCS   := $(BIN)/crd-ref-docs
GOLANGCI_LINT  := $(BIN)/golangci-lint
GOVULNCHECK    := $(BIN)/govulncheck
KREW           := $(BIN)/krew
KUSTOMIZE      := $(BIN)/kustomize
REGISTRY       := $(BIN)/registry
REGISTRY_V2    := $(BIN)/registry-v2

# The CLIs with which make conformance signs and attaches, cosign in two major versions. make tools excludes them, because
# building them takes minutes.
COSIGN    := $(BIN)/cosign
COSIGN_V2 := $(BIN)/cosign-v2
ORAS      := $(BIN)/oras

SIGNERS := $(COSIGN) $(COSIGN_V2) $(ORAS)
TOOLS   := $(CONTROLLER_GEN) $(CRD_REF_DOCS) $(GOLANGCI_LINT) $(GOVULNCHECK) $(KREW) $(KUSTOMIZE) $(REGISTRY) $(REGISTRY_V2)

# Linker flags that set the version of a tool, which it can't read from the build info, because it is not the main module.
# The recipe sets $$version. golangci-lint uses its version only if a date is set.
LINK.controller-gen := -X sigs.k8s.io/controller-tools/pkg/version.version=$$version
LINK.cosign         := -X sigs.k8s.io/release-utils/version.gitVersion=$$version
LINK.cosign-v2      := $(LINK.cosign)
LINK.crd-ref-docs   := -X main.buildVersion=$$version
LINK.golangci-lint  := -X main.version=$$version -X main.date=unknown
LINK.krew           := -X sigs.k8s.io/krew/internal/version.gitTag=$$version
LINK.oras           := -X oras.land/oras/internal/version.Version=$${version\#v}
LINK.registry       := -X github.com/distribution/distribution/v3/version.version=$$version
LINK.registry-v2    := -X github.com/docker/distribution/version.Version=$$version

# The module of a tool whose main package is in its folder.
MODULE.registry := github.com/distribution/distribution/v3

# Every folder of hack/tools is a module that pins one tool by its tool directive, or by its own main package. The rename is atomic.
# Messages go to stderr, because stdout may be piped, as with make render.
$(TOOLS) $(SIGNERS): $(BIN)/%: $(HACK)/tools/%/go.mod $(HACK)/tools/%/go.sum
	@export CGO_ENABLED=0 GOWORK=off GOOS= GOARCH= && cd $(HACK)/tools/$* && \
	version=$$(go list $(if $(MODULE.$*),-m -f '{{.Version}}' $(MODULE.$*),-f '{{.Module.Version}}' tool)) && echo "building $* $$version" >&2 && \
	$(CONTROLPLANE) compile -name "$* $$version" -dir $(HACK)/tools/$* -o $@ -- -ldflags="-s -w $(LINK.$*)" $(if $(MODULE.$*),.,tool)

$(REGISTRY): $(HACK)/tools/registry/main.go

# Relative names: make bin/registry.
TOOL_NAMES := $(patsubst $(BIN)/%,bin/%,$(TOOLS) $(SIGNERS))
.PHONY: $(TOOL_NAMES)
$(TOOL_NAMES): bin/%: $(BIN)/%

.PHONY: tools
tools: $(TOOLS) ## Build every development tool into bin/.

##@ Control plane

# This command is built for this machine, also if GOOS or GOARCH are set. It replaces the shell, so that it receives the signals
# of make and stops the compilers; go run would not forward SIGTERM.
CONTROLPLANE := mkdir -p $(BIN) && cd $(HACK)/controlplane && export CGO_ENABLED=0 GOWORK=off GOOS= GOARCH= && \
	go build -o $(BIN)/.controlplane . && exec $(BIN)/.controlplane

# go build with progress: $(COMPILE) -name name -dir folder -o file -- flags package. The variables are those of the caller. In a
# recipe of several commands, it is the last one, or in parentheses.
COMPILE = $(CONTROLPLANE) compile -env "GOWORK=$(GOWORK)" -env "GOOS=$(GOOS)" -env "GOARCH=$(GOARCH)"

# The go command compiles this command before it can print anything.
FIRST_BUILD = [ -d "$(BIN)" ] || echo "the first build compiles everything: this takes minutes, of which the first one prints nothing" >&2

# For recipes of targets that depend on controlplane: it is evaluated when the recipe runs.
#   test: controlplane
#   	KUBEBUILDER_ASSETS="$(CONTROLPLANE_ASSETS)" go test ./...
# It is not exported: in the environment it would take precedence over the build, also after a change of a pin.
CONTROLPLANE_ASSETS = $$(cd $(HACK)/controlplane && $(BIN)/.controlplane path -bin $(BIN))

.PHONY: controlplane
controlplane: ## Download or build etcd, kube-apiserver and kubectl once. CONTROLPLANE_PREBUILT=0 forbids the download.
	@$(FIRST_BUILD)
	@$(CONTROLPLANE) build -bin $(BIN)

.PHONY: controlplane-test
controlplane-test: ## Test the command that builds the control plane.
	CGO_ENABLED=0 GOWORK=off go -C $(HACK)/controlplane test ./...

.PHONY: controlplane-replaces
controlplane-replaces: ## Align the module versions of the control plane and its tools with those of the operator.
	@$(HACK)/controlplane/replaces.sh

.PHONY: controlplane-check
controlplane-check: ## Fail if these versions are out of date.
	@$(HACK)/controlplane/replaces.sh -check
