// SPDX-License-Identifier: Apache-2.0

package registrytest

// gcr imitates gcr.io. What differs between what Container Registry served and
// what Artifact Registry serves under its name is not imitated.
func gcr() Product {
	// containerd/containerd#8415, davedoesdev/dxf#28
	return google("gcr.io", "gcr.io", "project/app", "gcr.io")
}
