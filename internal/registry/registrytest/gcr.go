// SPDX-License-Identifier: Apache-2.0

package registrytest

// gcr imitates gcr.io. Differences between Container Registry and Artifact Registry, which serves
// its images now, are not imitated.
func gcr() Product {
	// containerd/containerd#8415, davedoesdev/dxf#28
	return google("gcr.io", "gcr.io", "project/app", "gcr.io")
}
