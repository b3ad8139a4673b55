# CLIs that users run with the controller: flux, and those that sign images and attach artifacts to them.

##@ Test more

# The versions for v1 and v1beta2. Each folder in hack/tools is a module that pins one.
FLUX         := $(BIN)/flux
FLUX_V1BETA2 := $(BIN)/flux-v1beta2

# The module of the CLI does not contain the manifests of "flux install", without which it does not compile: it is built from a
# copy with an empty one.
$(FLUX) $(FLUX_V1BETA2): $(BIN)/%: $(HACK)/tools/%/go.mod $(HACK)/tools/%/go.sum
	@mkdir -p $(BIN)
	@export CGO_ENABLED=0 GOWORK=off GOOS= GOARCH= module=github.com/fluxcd/flux2/v2 copy=$@.source && \
	rm -rf "$$copy" && cd $(HACK)/tools/$* && go mod download $$module && \
	version=$$(go list -m -f '{{.Version}}' $$module) && echo "building $* $$version" >&2 && \
	cp -R "$$(go list -m -f '{{.Dir}}' $$module)" "$$copy" && chmod -R u+w "$$copy" && \
	mkdir -p "$$copy/cmd/flux/manifests" && echo '# empty' >"$$copy/cmd/flux/manifests/none.yaml" && \
	cp go.mod "$$copy/tool.mod" && cp go.sum "$$copy/tool.sum" && go mod edit -replace "$$module=$$copy" "$$copy/tool.mod" && \
	go build -modfile "$$copy/tool.mod" -ldflags="-s -w -X main.VERSION=$${version#v}" -o $@.unfinished $$module/cmd/flux && \
	mv $@.unfinished $@ && rm -rf "$$copy"

.PHONY: conformance
conformance: controlplane $(REGISTRY) $(KUSTOMIZE) $(KREW) build $(FLUX) $(FLUX_V1BETA2) $(SIGNERS) ## Run the flux, cosign and ORAS CLIs against the controller.
	KUBEBUILDER_ASSETS="$(CONTROLPLANE_ASSETS)" REGISTRY="$(REGISTRY)" CONTROLLER="$(BIN)/image-reflector-controller" \
		FLUX="$(FLUX)" FLUX_V1BETA2="$(FLUX_V1BETA2)" COSIGN="$(COSIGN)" COSIGN_V2="$(COSIGN_V2)" ORAS="$(ORAS)" \
		go test -count=1 -timeout=30m ./hack/conformance $(ARGS)
	KUBEBUILDER_ASSETS="$(CONTROLPLANE_ASSETS)" REGISTRY="$(REGISTRY)" CONTROLLER="$(BIN)/image-reflector-controller" \
		KREW="$(KREW)" FLUX="$(FLUX)" go test -count=1 ./hack/make -run '^TestRelease_' $(ARGS)
