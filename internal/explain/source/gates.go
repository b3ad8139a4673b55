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

// EvaluateGates evaluates candidates as the controller does, best first, until one passes, but at
// most admission.Budget of them. It evaluates tag too if it is a candidate; tag may be empty. It
// returns the errors of images.
func EvaluateGates(
	ctx context.Context, images admission.Images, in admission.Input, ranking []selection.Choice, tag string,
) (*explain.GateResults, error) {
	in.Budget = admission.Budget
	result, err := admission.Evaluate(ctx, images, in, slices.Values(ranking))
	if err != nil && !errors.Is(err, admission.ErrBudgetExhausted) {
		return nil, err
	}
	results := &explain.GateResults{By: explain.ByExplain, Evaluated: result.Evaluated, Complete: err == nil}
	i := slices.IndexFunc(ranking, func(c selection.Choice) bool { return c.Tag == tag })
	if i < len(results.Evaluated) { // evaluated already, or not a candidate (-1)
		return results, nil
	}
	below, err := admission.Evaluate(ctx, images, in, slices.Values(ranking[i:i+1]))
	results.Evaluated = append(results.Evaluated, below.Evaluated...)
	return results, err
}
