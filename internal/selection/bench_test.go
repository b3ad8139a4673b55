// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"
	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// workload is a policy, tags, and a simple implementation with the same result.
type workload struct {
	name     string
	choice   v1.ImagePolicyChoice
	filter   *v1.TagFilter
	tags     []string
	baseline func(tags []string) string
}

func workloads(tb testing.TB) []workload {
	tb.Helper()
	all := []workload{
		{name: "node/semver", choice: semVer(">=18.0.0"), tags: realTags(tb, "node"), baseline: simpleVersions(tb, ">=18.0.0")},
		{name: "node/semver-prereleases", choice: semVer("^18.0.0-0"), tags: realTags(tb, "node"), baseline: simpleVersions(tb, "^18.0.0-0")},
		{name: "golang/semver", choice: semVer("~1.20"), tags: realTags(tb, "golang"), baseline: simpleVersions(tb, "~1.20")},
		{name: "debian/alphabetical", choice: alphabetical("asc"), tags: realTags(tb, "debian"), baseline: simpleTexts},
		{name: "debian/natural", choice: natural("asc"), tags: sorted(realTags(tb, "debian")), baseline: selectAlphabetical(tb)},
		{name: "traefik/natural", choice: natural("asc"), tags: sorted(realTags(tb, "traefik")), baseline: selectAlphabetical(tb)},
		{name: "node/natural", choice: natural("asc"), tags: sorted(realTags(tb, "node")), baseline: selectAlphabetical(tb)},
		{name: "debian/numerical-extract", choice: numerical("asc"), filter: filtered(`^bookworm-(?P<ts>[0-9]{8})$`, "$ts"), tags: realTags(tb, "debian")},
	}
	for _, size := range []struct {
		name string
		tags int
	}{{"100k", 100_000}, {"1M", 1_000_000}} {
		versions, numbers := generated(size.tags)
		all = append(all,
			workload{name: size.name + "/semver", choice: semVer(">=1.0.0"), tags: versions, baseline: simpleVersions(tb, ">=1.0.0")},
			workload{name: size.name + "/semver-narrow", choice: semVer("^7.3"), tags: versions, baseline: simpleVersions(tb, "^7.3")},
			workload{name: size.name + "/alphabetical", choice: alphabetical("asc"), tags: versions, baseline: simpleTexts},
			workload{name: size.name + "/natural", choice: natural("asc"), tags: versions, baseline: selectAlphabetical(tb)},
			workload{name: size.name + "/numerical", choice: numerical("asc"), tags: numbers, baseline: simpleNumbers},
		)
	}
	return all
}

// generated returns n versions and n numbers in random order.
func generated(n int) ([]string, []string) {
	var versions, numbers []string
	rnd := rand.New(rand.NewPCG(9, 10))
	for i := range n {
		versions = append(versions, fmt.Sprintf("%d.%d.%d", rnd.IntN(50), rnd.IntN(100), i))
		numbers = append(numbers, strconv.FormatUint(rnd.Uint64(), 10))
	}
	return versions, numbers
}

// simpleVersions checks every tag with Masterminds/semver.
func simpleVersions(tb testing.TB, text string) func([]string) string {
	tb.Helper()
	constraints, err := semver.NewConstraint(text)
	NewWithT(tb).Expect(err).NotTo(HaveOccurred())
	return func(tags []string) string {
		latest := semver.New(0, 0, 0, "0", "")
		for _, tag := range tags {
			if strings.Count(tag, ".") < 2 {
				continue
			}
			if v, err := semver.NewVersion(tag); err == nil && constraints.Check(v) && v.GreaterThan(latest) {
				latest = v
			}
		}
		return latest.Original()
	}
}

func simpleTexts(tags []string) string {
	sorted := slices.Sorted(slices.Values(tags))
	return sorted[len(sorted)-1]
}

// selectAlphabetical selects with an alphabetical policy in place of a simple implementation, so that
// x-baseline is the factor to it.
func selectAlphabetical(tb testing.TB) func([]string) string {
	tb.Helper()
	rule := compiled(tb, alphabetical("asc"), nil)
	return func(tags []string) string {
		best, _ := rule.Select(tags)
		return best.Tag
	}
}

// sorted returns the tags in the order of a snapshot.
func sorted(tags []string) []string { return slices.Sorted(slices.Values(tags)) }

// simpleNumbers compares numbers with the precision of float64.
func simpleNumbers(tags []string) string {
	var latest string
	var greatest float64
	for _, tag := range tags {
		if n, err := strconv.ParseFloat(tag, 64); err == nil && (latest == "" || n > greatest) {
			latest, greatest = tag, n
		}
	}
	return latest
}

// BenchmarkSelect reports as x-baseline by what factor Select is faster than the simple
// implementation in the same process.
func BenchmarkSelect(b *testing.B) {
	for _, w := range workloads(b) {
		b.Run(w.name, func(b *testing.B) {
			rule := compiled(b, w.choice, w.filter)
			baseline := 0.0
			if w.baseline != nil {
				baseline = secondsPerCall(func() { w.baseline(w.tags) })
			}
			b.ReportAllocs()
			for b.Loop() {
				rule.Select(w.tags)
			}
			if baseline > 0 {
				b.ReportMetric(baseline*1e3, "baseline-ms")
				b.ReportMetric(baseline/(b.Elapsed().Seconds()/float64(b.N)), "x-baseline")
			}
		})
	}
}

func secondsPerCall(call func()) float64 {
	const calls = 3
	fastest := 0.0
	for range calls {
		start := time.Now()
		call()
		if elapsed := time.Since(start).Seconds(); fastest == 0 || elapsed < fastest {
			fastest = elapsed
		}
	}
	return fastest
}

// TestSelect_BoundsAllocations covers what does not depend on the machine: Select allocates nothing
// for tags that it skips, and checks the range best version first until one is accepted. One check
// takes ten allocations.
func TestSelect_BoundsAllocations(t *testing.T) {
	versions, numbers := generated(10_000)
	for _, tt := range []struct {
		reason string
		rule   *Rule
		tags   []string
		limit  float64
	}{
		{"releases with the highest in the range", compiled(t, semVer(">=18.0.0"), nil), realTags(t, "node"), 40},
		{"prereleases with the highest in the range", compiled(t, semVer(">=1.0.0-0"), nil), realTags(t, "rabbitmq"), 40},
		{"prereleases that the range rejects", compiled(t, semVer(">=99.0.0"), filtered("-", "")), realTags(t, "rabbitmq"), 2},
		{"texts", compiled(t, alphabetical("asc"), nil), versions, 2},
		{"texts that a pattern matches", compiled(t, alphabetical("desc"), filtered("^1", "")), versions, 2},
		{"texts in natural order", compiled(t, natural("asc"), nil), versions, 2},
		{"real tags in natural order", compiled(t, natural("desc"), nil), realTags(t, "traefik"), 2},
		{"numbers", compiled(t, numerical("desc"), nil), numbers, 2},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			NewWithT(t).Expect(testing.AllocsPerRun(3, func() { tt.rule.Select(tt.tags) })).To(BeNumerically("<=", tt.limit), "allocations, want at most")
		})
	}
}
