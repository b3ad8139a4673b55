// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/runtime/features"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/fluxcd/image-reflector-controller/internal/controller"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
)

// setUpIdentity says whose identity objects may use towards clouds.
func (f *flags) setUpIdentity() error {
	var err error
	if f.objectLevelIdentity, err = features.Enabled(auth.FeatureGateObjectLevelWorkloadIdentity); err != nil {
		return err
	}
	if f.objectLevelIdentity {
		auth.EnableObjectLevelWorkloadIdentity()
	} else if f.defaultServiceAccount != "" {
		return fmt.Errorf("--%s is %q: %w",
			auth.ControllerFlagDefaultServiceAccount, f.defaultServiceAccount, auth.ErrInconsistentObjectLevelConfiguration)
	}
	return nil
}

// newVerifiers returns the one place that knows whose signatures are believed.
func (f *flags) newVerifiers(mgr ctrl.Manager) controller.Verifiers {
	return &controller.Signatures{
		Reader: mgr.GetClient(),
		Public: signature.NewPublicRoot(signature.WithFolder(filepath.Join(f.storagePath, "sigstore"))),
		Retry:  f.requeueDependency,
	}
}
