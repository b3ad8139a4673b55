// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"slices"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/admission/images"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/explain/source"
	"github.com/fluxcd/image-reflector-controller/internal/explain/terminal"
)

// readTimes reads when the images were created, where the policy compares that.
func (q *inquiry) readTimes(ctx context.Context, remote *source.Remote, tags []string, progress *terminal.Progress) error {
	if !q.gates || q.Times() != v1.TimeCreated {
		return nil
	}
	timed := q.Timed(tags)
	images := remote.Images(nil, progress.Counter("reading the images of", len(timed)))
	facts, err := admission.ReadCreated(ctx, images, timed, nil, q.told.Now)
	if err != nil {
		return err
	}
	q.ProvideCreated(facts)
	return nil
}

// judge runs the gates.
func (q *inquiry) judge(ctx context.Context, remote *source.Remote, l explain.Listing) error {
	if !q.gates || !q.Policy.Spec.HasGates() {
		return nil
	}
	verifier, unverifiable, err := q.verifier(ctx)
	if err != nil {
		return err
	}
	rule := ""
	if verifier != nil {
		rule = verifier.Fingerprint()
	}
	in, err := q.Admission(rule, unverifiable, q.told.Now)
	if err != nil {
		return err
	}
	q.told.Trials, err = source.Judge(ctx, remote.Images(verifier, nil), in, slices.Collect(q.Ranking(l)), q.tag)
	return err
}

// verifier returns what verifies the signatures, nil where that is nothing, or else why it can't
// be done here.
func (q *inquiry) verifier(ctx context.Context) (images.Verifier, string, error) {
	if q.Policy.Spec.Verify == nil {
		return nil, "", nil
	}
	if name := q.secrets.Missing(q.Policy); name != "" {
		return nil, fmt.Sprintf("passes the other gates, but its signatures were not checked: "+
			"the files hold no Secret '%s' that can be read, add --filename with it", name), nil
	}
	verifier, err := q.secrets.Verifier(ctx, q.Policy)
	return verifier, "", err
}
