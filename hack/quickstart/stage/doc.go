/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

// Package stage starts the real programs that a run or an end-to-end test is
// made of: etcd and kube-apiserver, registries, and the controller. Nothing in
// it is a fake.
//
//	binaries, err := stage.BinariesFromEnv()
//	plane := &stage.ControlPlane{Assets: binaries.Assets, Dir: dir + "/controlplane", CRDs: []string{crds}}
//	registry := &stage.Registry{Binary: binaries.Registry, Dir: dir + "/registry"}
//	controller := &stage.Controller{Binary: binaries.Controller, Dir: dir + "/controller", Kubeconfig: …}
//
// Each has Start and Stop. A registry and a controller can also be killed, and
// started again with all that they had: address, contents, arguments. Every
// server listens on the loopback interface, on a port that was free, so stages
// don't get in each other's way. Everything that a program writes, its log
// included, is below its Dir.
package stage
