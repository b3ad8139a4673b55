// SPDX-License-Identifier: Apache-2.0

package assets

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/binary"
)

// set is the plans of all binaries and the folder that holds them.
type set struct {
	version string // of Kubernetes
	folder  string
	plans   []binary.Plan
}

// plan reads what the modules pin. The folder carries the version of Kubernetes, which is the one people ask for.
func (f *Finder) plan(ctx context.Context) (set, error) {
	var s set
	for _, b := range f.binary {
		plan, err := binary.NewPlan(ctx, f.modules, b)
		if err != nil {
			return set{}, err
		}
		s.plans = append(s.plans, plan)
		if b.Name == binary.KubeAPIServer().Name {
			s.version = plan.Version
		}
	}
	s.folder = filepath.Join(f.bin, s.version)
	return s, nil
}

// stale says why the folder cannot be used as it is; it is empty where it can.
func (s set) stale() (string, error) {
	for _, plan := range s.plans {
		reason, err := plan.Stale(s.folder)
		if err != nil {
			return "", err
		}
		if reason != "" {
			return fmt.Sprintf("%s: %s", plan.Name, reason), nil
		}
	}
	return "", nil
}
