# Measurements, whose results depend on the machine.

##@ Measure

.PHONY: bench
bench: controlplane $(REGISTRY) build ## Measure the controller on a real control plane, and run the Go benchmarks of internal/selection.
	KUBEBUILDER_ASSETS="$(CONTROLPLANE_ASSETS)" REGISTRY="$(REGISTRY)" CONTROLLER="$(BIN)/image-reflector-controller" go run ./hack/bench $(ARGS)
	go test -run '^$$' -bench . -benchtime 20x ./internal/selection

DURATION ?= 30m

.PHONY: soak
soak: controlplane $(REGISTRY) build ## Run the controller under faults for DURATION=30m, and fail if a result is wrong, if it leaks or does not recover.
	KUBEBUILDER_ASSETS="$(CONTROLPLANE_ASSETS)" REGISTRY="$(REGISTRY)" CONTROLLER="$(BIN)/image-reflector-controller" \
		go run ./hack/bench -parts soak -duration $(DURATION)
