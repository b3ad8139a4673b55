# Development tools and the control plane, each built from Go modules into $(BIN) the first time it is needed.
# The root Makefile includes this file, and sets BIN := $(CURDIR)/bin before that.

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
KUSTOMIZE      := $(BIN)/kustomize
REGISTRY       := $(BIN)/registry
REGISTRY_V2    := $(BIN)/registry-v2
SETUP_ENVTEST  := $(BIN)/setup-envtest

# The CLIs that sign and attach in make conformance, cosign in two major versions. They take minutes to build: make tools
# leaves them out.
COSIGN    := $(BIN)/cosign
COSIGN_V2 := $(BIN)/cosign-v2
ORAS      := $(BIN)/oras

SIGNERS := $(COSIGN) $(COSIGN_V2) $(ORAS)
TOOLS   := $(CONTROLLER_GEN) $(CRD_REF_DOCS) $(GOLANGCI_LINT) $(GOVULNCHECK) $(KUSTOMIZE) $(REGISTRY) $(REGISTRY_V2) $(SETUP_ENVTEST)

# Tools ask the linker for their version: built here they are not the main module, where they would find it themselves.
# $$version is set by the recipe. golangci-lint heeds its version only together with a date.
LINK.controller-gen := -X sigs.k8s.io/controller-tools/pkg/version.version=$$version
LINK.cosign         := -X sigs.k8s.io/release-utils/version.gitVersion=$$version
LINK.cosign-v2      := $(LINK.cosign)
LINK.crd-ref-docs   := -X main.buildVersion=$$version
LINK.golangci-lint  := -X main.version=$$version -X main.date=unknown
LINK.oras           := -X oras.land/oras/internal/version.Version=$${version\#v}
LINK.registry       := -X github.com/distribution/distribution/v3/version.version=$$version
LINK.registry-v2    := -X github.com/docker/distribution/version.Version=$$version
LINK.setup-envtest  := -X sigs.k8s.io/controller-runtime/tools/setup-envtest/version.version=$$version

# Every folder of hack/tools is a module that pins one tool, by its tool directive. The move makes it all or nothing.
# What it says goes to stderr: stdout may be piped, as that of make render.
$(TOOLS) $(SIGNERS): $(BIN)/%: $(HACK)/tools/%/go.mod $(HACK)/tools/%/go.sum
	@mkdir -p $(BIN)
	@export CGO_ENABLED=0 GOWORK=off GOOS= GOARCH= && cd $(HACK)/tools/$* && \
	version=$$(go list -f '{{.Module.Version}}' tool) && echo "building $* $$version" >&2 && \
	go build -trimpath -ldflags="-s -w $(LINK.$*)" -o $@.unfinished tool && mv $@.unfinished $@

# As people name them: make bin/registry.
TOOL_NAMES := $(patsubst $(BIN)/%,bin/%,$(TOOLS) $(SIGNERS))
.PHONY: $(TOOL_NAMES)
$(TOOL_NAMES): bin/%: $(BIN)/%

.PHONY: tools
tools: $(TOOLS) ## Build every development tool into bin/.

##@ Control plane

CONTROLPLANE := CGO_ENABLED=0 GOWORK=off GOOS= GOARCH= go -C $(HACK)/controlplane run .

# For recipes of targets that depend on controlplane, as the shell asks for it only when the recipe runs:
#   test: controlplane
#   	KUBEBUILDER_ASSETS="$(CONTROLPLANE_ASSETS)" go test ./...
# The variable is not exported for all: in the environment it would win over what is built, also when a pin changes.
CONTROLPLANE_ASSETS = $$($(CONTROLPLANE) path -bin $(BIN))

.PHONY: controlplane
controlplane: ## Build etcd, kube-apiserver and kubectl, once. KUBEBUILDER_ASSETS=folder or CONTROLPLANE_PREBUILT=1 spare that.
	@$(CONTROLPLANE) build -bin $(BIN)

.PHONY: controlplane-test
controlplane-test: ## Test the command that builds the control plane.
	CGO_ENABLED=0 GOWORK=off go -C $(HACK)/controlplane test ./...

.PHONY: controlplane-replaces
controlplane-replaces: ## Write the replace lists that k8s.io/kubernetes needs.
	@$(HACK)/controlplane/replaces.sh

.PHONY: controlplane-check
controlplane-check: ## Fail where these lists do not fit the pinned version.
	@$(HACK)/controlplane/replaces.sh -check
