// SPDX-License-Identifier: Apache-2.0

// Package monitoring tests config/monitoring with the packages of Prometheus: alerts and dashboard
// are valid and use existing metrics, and the alerts fire as expected. It is a separate module, so
// that the requirements of Prometheus don't determine versions of the controller's dependencies.
package monitoring
