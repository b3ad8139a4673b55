// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// Policies for test tables.
func semVer(r string) v1.ImagePolicyChoice {
	return v1.ImagePolicyChoice{SemVer: &v1.SemVerPolicy{Range: r}}
}

func numerical(order string) v1.ImagePolicyChoice {
	return v1.ImagePolicyChoice{Numerical: &v1.NumericalPolicy{Order: order}}
}

func alphabetical(order string) v1.ImagePolicyChoice {
	return v1.ImagePolicyChoice{Alphabetical: &v1.AlphabeticalPolicy{Order: order}}
}

func natural(order string) v1.ImagePolicyChoice {
	return v1.ImagePolicyChoice{Natural: &v1.NaturalPolicy{Order: order}}
}

func filtered(pattern, extract string) *v1.TagFilter {
	return &v1.TagFilter{Pattern: pattern, Extract: extract}
}

// compiled returns the Rule of a valid policy.
func compiled(tb testing.TB, choice v1.ImagePolicyChoice, filter *v1.TagFilter) *Rule {
	tb.Helper()
	rule, err := compileParts(choice, filter)
	NewWithT(tb).Expect(err).NotTo(HaveOccurred(), "Compile")
	return rule
}

// realLists are the official images whose tags are in testdata/tags.
var realLists = []string{"alpine", "debian", "golang", "nginx", "node", "postgres", "python", "rabbitmq", "redis", "traefik"}

// realTags returns every tag that was ever published for an official image.
func realTags(tb testing.TB, image string) []string {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "tags", image+".tsv"))
	NewWithT(tb).Expect(err).NotTo(HaveOccurred())
	var tags []string
	for line := range strings.Lines(string(data)) {
		tag, _, _ := strings.Cut(line, "\t")
		tags = append(tags, tag)
	}
	return tags
}

func describe(choice v1.ImagePolicyChoice, filter *v1.TagFilter) string {
	var policy string
	switch {
	case choice.SemVer != nil:
		policy = fmt.Sprintf("semver %q", choice.SemVer.Range)
	case choice.Numerical != nil:
		policy = "numerical " + choice.Numerical.Order
	case choice.Natural != nil:
		policy = "natural " + choice.Natural.Order
	case choice.Alphabetical != nil:
		policy = "alphabetical " + choice.Alphabetical.Order
	}
	if filter != nil {
		policy += fmt.Sprintf(", pattern %q, extract %q", filter.Pattern, filter.Extract)
	}
	return policy
}

// compileParts compiles a policy with these parts.
func compileParts(choice v1.ImagePolicyChoice, filter *v1.TagFilter) (*Rule, error) {
	return Compile(&v1.ImagePolicySpec{Policy: choice, FilterTags: filter})
}
