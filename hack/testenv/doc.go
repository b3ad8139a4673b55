// SPDX-License-Identifier: Apache-2.0

// Package testenv starts the real programs that a run or an end-to-end test is
// made of: etcd and kube-apiserver, registries, and the controller. Nothing in
// it is a fake.
//
//	binaries, err := testenv.BinariesFromEnv()
//	plane := &testenv.ControlPlane{Assets: binaries.Assets, Dir: dir + "/controlplane", CRDs: []string{crds}}
//	registry := &testenv.Registry{Binary: binaries.Registry, Dir: dir + "/registry"}
//	controller := &testenv.Controller{Binary: binaries.Controller, Dir: dir + "/controller", Kubeconfig: …}
//
// Each has Start and Stop. A registry and a controller can also be killed, and
// started again with all that they had: address, contents, arguments. Every
// server listens on the loopback interface, on a port that was free, so stages
// don't get in each other's way. Everything that a program writes, its log
// included, is below its Dir.
package testenv
