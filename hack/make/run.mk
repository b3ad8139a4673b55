# Running the controller: with everything that it needs around it, or against a cluster that is there already.

##@ Run

QUICKSTART := $(BIN)/quickstart
CONTROLLER := $(BIN)/image-reflector-controller

# A program is run by exec, and not by go run: a signal to make then reaches it, which ends what it started.
.PHONY: run
run: controlplane $(REGISTRY) build quickstart ## Run everything on this machine and show it. ONCE=1 ends when the samples have resolved.
	@assets="$(CONTROLPLANE_ASSETS)" && \
	export KUBEBUILDER_ASSETS="$$assets" REGISTRY="$(REGISTRY)" CONTROLLER="$(CONTROLLER)" && \
	exec $(QUICKSTART) $(if $(filter-out 0 false no,$(ONCE)),-once)

.PHONY: dev
dev: controlplane $(REGISTRY) build quickstart ## Run everything, and build and start the controller anew whenever its sources or CRDs change.
	@assets="$(CONTROLPLANE_ASSETS)" && \
	export KUBEBUILDER_ASSETS="$$assets" REGISTRY="$(REGISTRY)" CONTROLLER="$(CONTROLLER)" && \
	exec $(QUICKSTART) -dev

# The move makes it all or nothing: another run may be about to start the program.
.PHONY: quickstart
quickstart:
	@echo "building quickstart"
	@mkdir -p $(BIN) && go build -o $(QUICKSTART).$$$$ ./hack/quickstart && mv $(QUICKSTART).$$$$ $(QUICKSTART)

RUN_LOCAL_ARGS ?= --storage-path=$(CURDIR)/.run/local --metrics-addr=127.0.0.1:8080 --health-addr=127.0.0.1:9440 --log-encoding=console

.PHONY: run-local
run-local: build ## Run the controller on this machine for the cluster of your KUBECONFIG, after make install.
	@mkdir -p .run/local
	@exec $(CONTROLLER) $(RUN_LOCAL_ARGS) $(ARGS)
