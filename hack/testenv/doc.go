// SPDX-License-Identifier: Apache-2.0

// Package testenv starts the real programs for make run and for end-to-end tests: etcd and
// kube-apiserver, registries, and the controller. It contains no fakes.
//
//	binaries, err := testenv.BinariesFromEnv()
//	plane := &testenv.ControlPlane{Assets: binaries.Assets, Dir: dir + "/controlplane", CRDs: []string{crds}}
//	registry := &testenv.Registry{Binary: binaries.Registry, Dir: dir + "/registry"}
//	controller := &testenv.Controller{Binary: binaries.Controller, Dir: dir + "/controller", Kubeconfig: …}
//
// Each has Start and Stop. A registry and a controller can also be killed, and restarted with
// the same address, contents and arguments. Every server listens on a free port of the loopback
// interface, so that several environments can run in parallel. A program writes all its files,
// including its log, below its Dir.
package testenv
