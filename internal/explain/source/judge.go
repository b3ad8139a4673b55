// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"slices"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// Judge judges the candidates of a ranking as the controller does, best first, until one passes,
// but no more than admission.Budget of them, and the tag also, where it is among them. It fails
// with the errors of images.
func Judge(
	ctx context.Context, images admission.Images, in admission.Input, ranking []selection.Choice, also string,
) (*explain.Trials, error) {
	in.Budget = admission.Budget
	result, err := admission.Evaluate(ctx, images, in, slices.Values(ranking))
	if err != nil && !errors.Is(err, admission.ErrUnfinished) {
		return nil, err
	}
	trials := &explain.Trials{By: explain.ByExplain, Judged: result.Judged, Complete: err == nil}
	i := slices.IndexFunc(ranking, func(c selection.Choice) bool { return c.Tag == also })
	if i < len(trials.Judged) { // the best ones, or none
		return trials, nil
	}
	below, err := admission.Evaluate(ctx, images, in, slices.Values(ranking[i:i+1]))
	trials.Judged = append(trials.Judged, below.Judged...)
	return trials, err
}
