# What is measured, and not tested: figures depend on the machine.

##@ Measure

.PHONY: bench
bench: controlplane $(REGISTRY) build ## Measure the controller on a real control plane, and its parts beside a baseline.
	KUBEBUILDER_ASSETS="$(CONTROLPLANE_ASSETS)" REGISTRY="$(REGISTRY)" CONTROLLER="$(BIN)/image-reflector-controller" go run ./hack/bench $(ARGS)
	go test -run '^$$' -bench . -benchtime 20x ./internal/selection

DURATION ?= 10m

.PHONY: soak
soak: controlplane $(REGISTRY) build ## Run the controller for a while under faults, and fail where anything grows. DURATION=10m
	KUBEBUILDER_ASSETS="$(CONTROLPLANE_ASSETS)" REGISTRY="$(REGISTRY)" CONTROLLER="$(BIN)/image-reflector-controller" \
		go run ./hack/bench -parts soak -duration $(DURATION)
