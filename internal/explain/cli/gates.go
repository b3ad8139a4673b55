// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/explain/judging"
	"github.com/fluxcd/image-reflector-controller/internal/explain/source"
	"github.com/fluxcd/image-reflector-controller/internal/gating"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
	"github.com/fluxcd/image-reflector-controller/internal/terminal"
)

// readTimes reads when the images were created, where the policy compares that.
func (q *inquiry) readTimes(ctx context.Context, images *source.Images, tags []string, progress *terminal.Progress) error {
	if !q.gates || q.Times() != v1.TimeCreated {
		return nil
	}
	timed := q.Timed(tags)
	images.Looked = progress.Counter("reading the images of", len(timed))
	facts, err := gating.ReadCreated(ctx, images, timed, nil, q.told.Now)
	images.Looked = nil
	if err != nil {
		return err
	}
	q.ProvideCreated(facts)
	return nil
}

// judge runs the gates.
func (q *inquiry) judge(ctx context.Context, images *source.Images, l explain.Listing) error {
	if !q.gates || !q.Policy.Spec.HasGates() {
		return nil
	}
	judge := &judging.Judge{Case: q.Case, Asker: images, Now: q.told.Now}
	if q.Policy.Spec.Verify != nil {
		var err error
		if images.Verifier, judge.Unverifiable, err = q.verifier(ctx); err != nil {
			return err
		}
		if images.Verifier != nil {
			judge.Rule = images.Verifier.Fingerprint()
		}
	}
	var err error
	q.told.Trials, err = judge.Run(ctx, q.Ranking(l), q.tag)
	return err
}

// verifier returns what checks the signatures, or else why that can't be done here.
func (q *inquiry) verifier(ctx context.Context) (source.Verifier, string, error) {
	const unchecked = "passes the other gates, but its signatures were not checked: "
	if name := q.secrets.Missing(q.Policy); name != "" {
		return nil, unchecked + fmt.Sprintf("the files hold no Secret '%s' that can be read, add --filename with it", name), nil
	}
	signatures := source.Signatures{Secrets: q.secrets, Public: signature.NewPublicRoot()}
	verifier, err := signatures.Verifier(ctx, q.Policy)
	return verifier, "", err
}
