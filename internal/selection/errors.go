// SPDX-License-Identifier: Apache-2.0

package selection

import "fmt"

// The fields of an ImagePolicy that can be invalid.
const (
	fieldPolicy            = "spec.policy"
	fieldRange             = "spec.policy.semver.range"
	fieldAlphabeticalOrder = "spec.policy.alphabetical.order"
	fieldNumericalOrder    = "spec.policy.numerical.order"
	fieldNewestBy          = "spec.policy.newest.by"
	fieldPattern           = "spec.filterTags.pattern"
	fieldExtract           = "spec.filterTags.extract"
)

// InvalidError says that a policy cannot be compiled. No retry helps: the
// field has to be changed. Compile returns no other error; errors.As finds it.
type InvalidError struct {
	// Field is the path of the field in the ImagePolicy, such as
	// "spec.policy.semver.range".
	Field string
	// Value is what the field holds. It is empty where the field is a
	// structure.
	Value string
	// Problem says what is wrong with the value, and how to mend it.
	Problem string
}

// Error names the field, its value, the problem and the fix.
func (e *InvalidError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("%s is invalid: %s", e.Field, e.Problem)
	}
	return fmt.Sprintf("%s %q is invalid: %s", e.Field, e.Value, e.Problem)
}
