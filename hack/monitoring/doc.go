// SPDX-License-Identifier: Apache-2.0

// Package monitoring tests config/monitoring with Prometheus' own packages: the
// alerts and the dashboard parse, name metrics that the controller has, and the
// alerts fire when they should. It is a module of its own so that these packages
// have no say in the versions of the controller's.
package monitoring
