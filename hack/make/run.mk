# Running the controller with a control plane and registries, or against an existing cluster.

##@ Run

QUICKSTART := $(BIN)/quickstart
CONTROLLER := $(BIN)/image-reflector-controller

# exec instead of go run, so that the program receives the signals of make, and stops everything that it started.
.PHONY: run
run: controlplane $(REGISTRY) build quickstart ## Run everything on this machine and show it. ONCE=1 exits when the samples have resolved.
	@assets="$(CONTROLPLANE_ASSETS)" && \
	export KUBEBUILDER_ASSETS="$$assets" REGISTRY="$(REGISTRY)" CONTROLLER="$(CONTROLLER)" && \
	exec $(QUICKSTART) $(if $(filter-out 0 false no,$(ONCE)),-once)

.PHONY: dev
dev: controlplane $(REGISTRY) build quickstart ## Run everything, and rebuild and restart the controller whenever its sources or CRDs change.
	@assets="$(CONTROLPLANE_ASSETS)" && \
	export KUBEBUILDER_ASSETS="$$assets" REGISTRY="$(REGISTRY)" CONTROLLER="$(CONTROLLER)" && \
	exec $(QUICKSTART) -dev

# The rename is atomic: another run never starts a partial binary.
.PHONY: quickstart
quickstart:
	@echo "building quickstart"
	@mkdir -p $(BIN) && go build -o $(QUICKSTART).$$$$ ./hack/quickstart && mv $(QUICKSTART).$$$$ $(QUICKSTART)

RUN_LOCAL_ARGS ?= --storage-path=$(CURDIR)/.run/local --metrics-addr=127.0.0.1:8080 --health-addr=127.0.0.1:9440 --log-encoding=console

.PHONY: run-local
run-local: build ## Run the controller on this machine for the cluster of your KUBECONFIG, after make install.
	@mkdir -p .run/local
	@exec $(CONTROLLER) $(RUN_LOCAL_ARGS) $(ARGS)
