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

// readTimes reads when the images were created, where the policy compares that.
func (q *request) readTimes(ctx context.Context, remote *source.RegistryReader, tags []string, progress *terminal.Progress) error {
	if !q.gates || q.Times() != v1.TimeCreated {
		return nil
	}
	timed := q.Timed(tags)
	images := remote.Images(progress.Counter("reading the images of", len(timed)))
	facts, err := admission.ReadCreated(ctx, images, timed, nil, q.request.Now)
	if err != nil {
		return err
	}
	q.ProvideCreated(facts)
	return nil
}

// evaluateGates runs the gates.
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
	in := q.Admission(rule, unverifiable, q.request.Now)
	q.request.GateResults, err = source.EvaluateGates(ctx, images, in, slices.Collect(q.Ranking(l)), q.tag)
	return err
}
