// SPDX-License-Identifier: Apache-2.0

package selection

import "fmt"

// The fields of an ImagePolicy that Compile validates.
const (
	fieldPolicy            = "spec.policy"
	fieldRange             = "spec.policy.semver.range"
	fieldAlphabeticalOrder = "spec.policy.alphabetical.order"
	fieldNumericalOrder    = "spec.policy.numerical.order"
	fieldNaturalOrder      = "spec.policy.natural.order"
	fieldNewestBy          = "spec.policy.newest.by"
	fieldPattern           = "spec.filterTags.pattern"
	fieldExtract           = "spec.filterTags.extract"
)

// InvalidError is the error of a policy that can't be compiled. Retries don't help: the field must
// be changed. Compile returns no other error.
type InvalidError struct {
	// Field is the path of the field in the ImagePolicy, such as "spec.policy.semver.range".
	Field string
	// Value is the value of the field, or empty if the field is a struct.
	Value string
	// Problem describes the problem and the fix.
	Problem string
}

// Error names the field, its value, the problem and the fix.
func (e *InvalidError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("%s is invalid: %s", e.Field, e.Problem)
	}
	return fmt.Sprintf("%s %q is invalid: %s", e.Field, e.Value, e.Problem)
}
