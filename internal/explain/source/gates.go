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

// EvaluateGates judges the candidates of a ranking as the controller does, best first, until one passes,
// but no more than admission.Budget of them, and the tag also, where it is among them. It fails
// with the errors of images.
func EvaluateGates(
	ctx context.Context, images admission.Images, in admission.Input, ranking []selection.Choice, also string,
) (*explain.GateResults, error) {
	in.Budget = admission.Budget
	result, err := admission.Evaluate(ctx, images, in, slices.Values(ranking))
	if err != nil && !errors.Is(err, admission.ErrBudgetExceeded) {
		return nil, err
	}
	trials := &explain.GateResults{By: explain.ByExplain, Evaluated: result.Evaluated, Complete: err == nil}
	i := slices.IndexFunc(ranking, func(c selection.Choice) bool { return c.Tag == also })
	if i < len(trials.Evaluated) { // the best ones, or none
		return trials, nil
	}
	below, err := admission.Evaluate(ctx, images, in, slices.Values(ranking[i:i+1]))
	trials.Evaluated = append(trials.Evaluated, below.Evaluated...)
	return trials, err
}
