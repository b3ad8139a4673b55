# Running the controller with a control plane and registries, or against an existing cluster.

##@ Run

QUICKSTART := $(BIN)/quickstart
CONTROLLER := $(BIN)/image-reflector-controller

# After setup-envtest, the controller is compiled first, while the control plane is downloaded, or else before it is built.
RUN_PROGRAMS = $(MAKE) --no-print-directory -C $(CURDIR) build quickstart $(REGISTRY)

# $(call RUN,flags). The steps of the builds are recorded for quickstart, which prints where the time went. Without -j, because
# make -j4 run can't share its jobs with a make that another program starts.
RUN = [ -x $(QUICKSTART) ] || echo "the first run compiles the programs: this takes minutes" >&2; \
	export MAKEFLAGS="$$(sed -E 's/(^| )(-j[0-9]*|--jobserver[^ ]*)//g' <<<"$${MAKEFLAGS-}")" && \
	export BUILD_STARTED=$$(date +%s) BUILD_STEPS=$(BIN)/.steps.$$$$ REGISTRY="$(REGISTRY)" CONTROLLER="$(CONTROLLER)" && \
	$(CONTROLPLANE) build -bin $(BIN) -kubectl=false -first '$(RUN_PROGRAMS)' -- $(QUICKSTART) $(1)

.PHONY: run
run: ## Run everything on this machine and show it. ONCE=1 exits when the samples have resolved.
	@$(call RUN,$(if $(filter-out 0 false no,$(ONCE)),-once))

.PHONY: dev
dev: ## Run everything, and rebuild and restart the controller whenever its sources or CRDs change.
	@$(call RUN,-dev)

.PHONY: quickstart
quickstart:
	@$(COMPILE) -name quickstart -dir $(CURDIR) -o $(QUICKSTART) -- -buildvcs=false -ldflags="-s -w" ./hack/quickstart

RUN_LOCAL_ARGS ?= --storage-path=$(CURDIR)/.run/local --metrics-addr=127.0.0.1:8080 --health-addr=127.0.0.1:9440 --log-encoding=console

.PHONY: run-local
run-local: build ## Run the controller on this machine for the cluster of your KUBECONFIG, after make install.
	@mkdir -p .run/local
	@exec $(CONTROLLER) $(RUN_LOCAL_ARGS) $(ARGS)
