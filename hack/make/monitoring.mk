# What is there for Prometheus and Grafana: config/monitoring.

##@ Test

.PHONY: monitoring-test
monitoring-test: ## Test the alerts and the dashboard with Prometheus' own packages.
	CGO_ENABLED=0 GOWORK=off go -C $(HACK)/monitoring test -count=1 ./...
