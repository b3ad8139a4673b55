# Alerts and dashboard for Prometheus and Grafana: config/monitoring.

##@ Test

.PHONY: monitoring-test
monitoring-test: ## Test the alerts and the dashboard with the packages of Prometheus.
	CGO_ENABLED=0 GOWORK=off go -C $(HACK)/monitoring test -count=1 ./...
