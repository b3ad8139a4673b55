// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"slices"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/explain/source"
	"github.com/fluxcd/image-reflector-controller/internal/terminal"
)

// readTimes reads the creation times of images, if the policy compares them.
func (q *request) readTimes(ctx context.Context, remote *source.RegistryReader, tags []string, progress *terminal.Progress) error {
	if !q.gates || q.Times() != v1.TimeCreated {
		return nil
	}
	timed := q.Timed(tags)
	images := remote.Images(progress.Counter("reading the images of", len(timed)))
	created, err := admission.ReadCreated(ctx, images, timed, nil, q.explainOptions.Now)
	if err != nil {
		return err
	}
	q.ProvideCreated(created)
	return nil
}

// evaluateGates evaluates the gates in the registry, if requested.
func (q *request) evaluateGates(ctx context.Context, remote *source.RegistryReader, l explain.Listing) error {
	if !q.gates || !q.Policy.Spec.HasGates() {
		return nil
	}
	images, rule, unverifiable := remote.Images(nil), "", ""
	var err error
	if q.Policy.Spec.Verify != nil {
		if images.Verifier, unverifiable, err = source.Verifier(ctx, q.secrets, q.Policy); err != nil {
			return err
		}
	}
	if images.Verifier != nil {
		rule = images.Verifier.Fingerprint()
	}
	in := q.Admission(rule, unverifiable, q.explainOptions.Now)
	in.Gates.VerifierDependsOnTime = images.Verifier != nil && images.Verifier.DependsOnTime()
	q.explainOptions.GateResults, err = source.EvaluateGates(ctx, images, in, slices.Collect(q.Ranking(l)), q.tag)
	return err
}
