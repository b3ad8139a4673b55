// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// TestPlatform_NormalizesNames covers the cases of containerd's normalization and other spellings
// in use.
func TestPlatform_NormalizesNames(t *testing.T) {
	g := NewWithT(t)
	for _, tt := range []struct{ os, architecture, variant, want string }{
		{"linux", "amd64", "", "linux/amd64"},
		{"linux", "amd64", "v1", "linux/amd64"},
		{"linux", "amd64", "v2", "linux/amd64/v2"},
		{"linux", "x86_64", "", "linux/amd64"},
		{"linux", "x86-64", "", "linux/amd64"},
		{"linux", "i386", "", "linux/386"},
		{"linux", "i386", "v1", "linux/386"},
		{"linux", "386", "", "linux/386"},
		{"linux", "aarch64", "", "linux/arm64"},
		{"linux", "arm64", "", "linux/arm64"},
		{"linux", "arm64", "8", "linux/arm64"},
		{"linux", "arm64", "v8", "linux/arm64"},
		{"linux", "arm64", "v8.0", "linux/arm64"},
		{"linux", "arm64", "v8.1", "linux/arm64/v8.1"},
		{"linux", "arm64", "9", "linux/arm64/v9"},
		{"linux", "arm64", "9.0", "linux/arm64/v9"},
		{"linux", "arm64", "v9", "linux/arm64/v9"},
		{"linux", "arm64", "v9.0", "linux/arm64/v9"},
		{"linux", "arm64", "8.0.0", "linux/arm64/v8.0.0"},
		{"linux", "arm64", ".0", "linux/arm64"},
		{"linux", "armhf", "", "linux/arm/v7"},
		{"linux", "armel", "", "linux/arm/v6"},
		{"linux", "arm", "", "linux/arm/v7"},
		{"linux", "arm", "7", "linux/arm/v7"},
		{"linux", "arm", "v7", "linux/arm/v7"},
		{"linux", "arm", "6", "linux/arm/v6"},
		{"linux", "arm", "5", "linux/arm/v5"},
		{"linux", "arm", "8", "linux/arm/v8"},
		{"Linux", "AMD64", "V2", "linux/amd64/v2"},
		{"macOS", "arm64", "", "darwin/arm64"},
		{"windows", "amd64", "", "windows/amd64"},
		{"linux", "riscv64", "", "linux/riscv64"},
		{"linux", "ppc64le", "power9", "linux/ppc64le/power9"},
		{"unknown", "unknown", "", ""},
		{"linux", "unknown", "", ""},
		{"unknown", "amd64", "", ""},
		{"", "amd64", "", ""},
		{"linux", "", "", ""},
		{"", "", "", ""},
		{"linux", "amd64\x1b[31m", "", ""},
		{"linux\n", "amd64", "", ""},
		{"linux", "am d64", "", ""},
		{"linux", "amd64/v2", "", ""},
		{"linux", "\xff", "", ""},
		{"linux", "amd64", strings.Repeat("v", 33), ""},
	} {
		got := Platform(tt.os, tt.architecture, tt.variant)
		g.Expect(got).To(Equal(tt.want), "Platform(%q, %q, %q)", tt.os, tt.architecture, tt.variant)
		g.Expect(ParsePlatform(got)).To(Equal(got), "ParsePlatform of a normalized name")
	}
}

func TestParsePlatform_RejectsMalformedText(t *testing.T) {
	for text, want := range map[string]string{
		"linux/amd64": "linux/amd64", "linux/arm64/v8": "linux/arm64", "linux/arm/7": "linux/arm/v7",
		"linux": "", "": "", "/": "", "linux/": "", "/amd64": "", "linux/arm/v7/x": "", "a/b/c/d": "",
	} {
		NewWithT(t).Expect(ParsePlatform(text)).To(Equal(want), "%q", text)
	}
}

func TestCompile_NormalizesAndValidates(t *testing.T) {
	g, err := Compile(&v1.ImagePolicySpec{
		Platforms:  []string{"linux/arm64/v8", "linux/amd64", "linux/arm64"},
		MinimumAge: &metav1.Duration{Duration: time.Hour},
	})
	if diff := cmp.Diff(Gates{Platforms: []string{"linux/amd64", "linux/arm64"}, MinimumAge: time.Hour}, g); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	for want, spec := range map[string]v1.ImagePolicySpec{
		`spec.platforms[1] "linux" is invalid`: {Platforms: []string{"linux/amd64", "linux"}},
		"spec.minimumAge is invalid":           {MinimumAge: &metav1.Duration{Duration: -time.Hour}},
	} {
		NewWithT(t).Expect(Compile(&spec)).Error().To(MatchError(ContainSubstring(want)))
	}
}

const (
	day       = 24 * 60 * 60
	firstScan = 1_000_000_000 // the time of the first scan
)

func TestGates_ReturnVerdicts(t *testing.T) {
	now := time.Unix(firstScan+10*day, 0)
	gates := Gates{MinimumAge: 72 * time.Hour, Platforms: []string{"linux/amd64", "linux/arm64"}, VerifierFingerprint: "r"}
	age := Gates{MinimumAge: 72 * time.Hour}
	seen := func(ago int64) ImageInfo { return ImageInfo{Digest: "d", DigestSince: now.Unix() - ago} }
	all := ImageInfo{Digest: "d", DigestSince: 1, PlatformsKnown: true, Platforms: []string{"linux/amd64", "linux/arm64", "linux/s390x"}}
	addedLater := func(f ImageInfo) Candidate { return Candidate{FirstSeen: firstScan + 1, Since: firstScan, Info: f} }
	listedFirst := func(f ImageInfo) Candidate { return Candidate{FirstSeen: firstScan, Since: firstScan, Info: f} }
	verdict := func(f ImageInfo, signer, problem string) ImageInfo { return f.WithVerdict("r", signer, problem, now) }
	pending := func(at int64, message string) Decision {
		return Decision{Verdict: v1.CandidatePending, Gate: v1.GateMinimumAge, EligibleAt: time.Unix(at, 0), Message: message}
	}
	for _, tt := range []struct {
		reason    string
		gates     Gates
		candidate Candidate
		want      Decision
	}{
		{"nothing is known", gates, addedLater(ImageInfo{}), Decision{Need: NeedDigest}},
		{"without gates a digest is needed, too", Gates{}, addedLater(ImageInfo{}), Decision{Need: NeedDigest}},
		{"without gates everything passes", Gates{}, addedLater(seen(0)), Decision{Verdict: v1.CandidatePassed}},

		{"seen just now", age, addedLater(seen(0)), pending(now.Unix()+3*day,
			"was first seen at 2001-09-19T01:46:40Z, and is old enough at 2001-09-22T01:46:40Z")},
		{"one second too young", age, addedLater(seen(3*day - 1)), pending(now.Unix()+1,
			"was first seen at 2001-09-16T01:46:41Z, and is old enough at 2001-09-19T01:46:41Z")},
		{"old enough to the second", age, addedLater(seen(3 * day)), Decision{Verdict: v1.CandidatePassed}},
		{"a publisher can't backdate", age, addedLater(ImageInfo{Digest: "d", DigestSince: now.Unix(), Created: 1}), pending(now.Unix()+3*day,
			"was first seen at 2001-09-19T01:46:40Z, and is old enough at 2001-09-22T01:46:40Z")},
		{"listed by the first scan", age, listedFirst(seen(0)), Decision{Need: NeedCreated}},
		{"created long before", age, listedFirst(ImageInfo{Digest: "d", DigestSince: now.Unix(), Created: 1}), Decision{Verdict: v1.CandidatePassed}},
		{"created recently", age, listedFirst(ImageInfo{Digest: "d", DigestSince: now.Unix(), Created: now.Unix() - day, CreatedBy: CreatedByLabel}),
			pending(now.Unix()+2*day, "was created at 2001-09-18T01:46:40Z according to its label org.opencontainers.image.created, "+
				"and is old enough at 2001-09-21T01:46:40Z")},
		{"created in the future, which is ignored", age, listedFirst(ImageInfo{Digest: "d", DigestSince: now.Unix() - 4*day, Created: now.Unix() + 1}), Decision{Verdict: v1.CandidatePassed}},
		{"no creation time stated", age, listedFirst(ImageInfo{Digest: "d", DigestSince: now.Unix(), Created: CreatedUnstated}), pending(now.Unix()+3*day,
			"was first seen at 2001-09-19T01:46:40Z, and is old enough at 2001-09-22T01:46:40Z")},
		{"moved since the first scan", age, listedFirst(ImageInfo{Digest: "d", DigestSince: now.Unix(), DigestChanged: true, Created: 1}), pending(now.Unix()+3*day,
			"was first seen at 2001-09-19T01:46:40Z, and is old enough at 2001-09-22T01:46:40Z")},
		{"the current image is old enough", age, Candidate{FirstSeen: firstScan + 1, Since: firstScan, Info: seen(0), Current: true}, Decision{Verdict: v1.CandidatePassed}},

		{"the minimum age is the first gate", gates, addedLater(seen(3*day - 1)), pending(now.Unix()+1,
			"was first seen at 2001-09-16T01:46:41Z, and is old enough at 2001-09-19T01:46:41Z")},
		{"unknown platforms", gates, addedLater(seen(4 * day)), Decision{Need: NeedPlatforms}},
		{"one platform is missing", gates, addedLater(ImageInfo{Digest: "d", DigestSince: 1, PlatformsKnown: true, Platforms: []string{"linux/amd64"}}),
			rejected(v1.GatePlatforms, "does not provide linux/arm64, only linux/amd64")},
		{"both platforms are missing", gates, addedLater(ImageInfo{Digest: "d", DigestSince: 1, PlatformsKnown: true, Platforms: []string{"windows/amd64", "linux/s390x"}}),
			rejected(v1.GatePlatforms, "does not provide linux/amd64 and linux/arm64, only windows/amd64 and linux/s390x")},
		{"no platforms", gates, addedLater(ImageInfo{Digest: "d", DigestSince: 1, PlatformsKnown: true}), rejected(v1.GatePlatforms, "does not provide linux/amd64 and linux/arm64: it names no platform")},
		{"not verified yet", gates, addedLater(all), Decision{Need: NeedSignature}},
		{"verified by another rule", gates, addedLater(all.WithVerdict("other", "ann", "", now)), Decision{Need: NeedSignature}},
		{"signed", gates, addedLater(verdict(all, "ann", "")), Decision{Verdict: v1.CandidatePassed, Message: "signed by ann"}},
		{"not signed", gates, addedLater(verdict(all, "", "has no signature")), rejected(v1.GateVerify, "has no signature")},
		{"the current image must be signed", gates, Candidate{Current: true, Info: verdict(all, "", "has no signature")}, rejected(v1.GateVerify, "has no signature")},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			NewWithT(t).Expect(tt.gates.Evaluate(tt.candidate, now)).To(BeComparableTo(tt.want))
		})
	}
}

// TestMinimumAge_PassesAtAnnouncedTime expects a pending candidate to pass from its eligible time
// on, and not earlier.
func TestMinimumAge_PassesAtAnnouncedTime(t *testing.T) {
	property := func(age, seen, created uint32, first, moved bool) bool {
		g := Gates{MinimumAge: time.Duration(age%(30*day)+1) * time.Second}
		c := Candidate{Since: firstScan, FirstSeen: firstScan + 1, Info: ImageInfo{
			Digest: "d", DigestSince: firstScan + int64(seen%day), DigestChanged: moved, Created: int64(created) - 1,
		}}
		if first {
			c.FirstSeen = firstScan
		}
		if c.Info.Created == CreatedUnread {
			c.Info.Created = CreatedUnstated
		}
		d := g.Evaluate(c, time.Unix(firstScan+day, 0))
		if d.Verdict == v1.CandidatePassed {
			return true
		}
		return g.Evaluate(c, d.EligibleAt.Add(-time.Second)).Verdict == v1.CandidatePending && g.Evaluate(c, d.EligibleAt).Verdict == v1.CandidatePassed
	}
	NewWithT(t).Expect(quick.Check(property, &quick.Config{MaxCount: 5000})).To(Succeed())
}

// TestImageInfo_ResetsOnNewDigest expects nothing to be kept for another image, and no change for
// the same one.
func TestImageInfo_ResetsOnNewDigest(t *testing.T) {
	g := NewWithT(t)
	now := time.Unix(firstScan, 0)
	f := ImageInfo{}.WithDigest("a", now)
	g.Expect(f).To(BeComparableTo(ImageInfo{Digest: "a", DigestSince: firstScan}), "a first image")
	f.Created, f.PlatformsKnown, f.Platforms = 7, true, []string{"linux/amd64"}
	f = f.WithVerdict("r", "ann", "", now)
	g.Expect(f.WithDigest("a", now.Add(time.Hour))).To(BeComparableTo(f), "the same image")
	g.Expect(f.WithDigest("b", now.Add(time.Hour))).To(BeComparableTo(ImageInfo{Digest: "b", DigestSince: firstScan + 3600, DigestChanged: true}), "another image")
}

func TestImageInfo_KeepsLastVerdicts(t *testing.T) {
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	f := ImageInfo{}.WithVerdict("a", "", "bad", at(1))
	f = f.WithVerdict("a", "", "bad", at(5))
	if v, _ := f.VerdictOf("a"); v.Since != 1 || v.At != 5 || v.Passed() {
		t.Errorf("the same verdict: %+v", v)
	}
	f = f.WithVerdict("a", "ann", "", at(9))
	if v, _ := f.VerdictOf("a"); v.Since != 9 || v.At != 9 || !v.Passed() {
		t.Errorf("another verdict: %+v", v)
	}
	before, others := f, strings.Split("bcdefghi", "")
	for _, rule := range others {
		f = f.WithVerdict(rule, "ann", "", at(10))
	}
	var rules []string
	for _, v := range f.Verdicts {
		rules = append(rules, v.Rule)
	}
	NewWithT(t).Expect(rules).To(Equal(others), "rules of the stored verdicts")
	if _, found := f.VerdictOf("a"); found || len(before.Verdicts) != 1 {
		t.Error("the original value was modified")
	}
}

func TestList_JoinsAndTruncates(t *testing.T) {
	g := NewWithT(t)
	for want, items := range map[string][]string{
		"a":                                 {"a"},
		"a and b":                           {"a", "b"},
		"a, b and c":                        {"a", "b", "c"},
		"a, b, c, d, e, f, g and h":         strings.Split("abcdefgh", ""),
		"a, b, c, d, e, f, g, h and others": strings.Split("abcdefghi", ""),
	} {
		g.Expect(list(items)).To(Equal(want))
	}
	items := strings.Split("abcdefghij", "")
	list(items)
	g.Expect(items[8]).To(Equal("i"), "the caller's slice was modified")
}

// TestGates_KeepResultsOfRulesThatDependOnTime covers three policies whose rules depend on the
// time: their results for one image, as the current one and as a candidate, are all kept.
func TestGates_KeepResultsOfRulesThatDependOnTime(t *testing.T) {
	var info ImageInfo
	selectedAt := time.Unix(firstScan-60, 0)
	rules := []Gates{
		{VerifierFingerprint: "a", VerifierDependsOnTime: true},
		{VerifierFingerprint: "b", VerifierDependsOnTime: true},
		{VerifierFingerprint: "c", VerifierDependsOnTime: true},
	}
	for _, g := range rules {
		info = info.WithVerdict(g.verdictKey(Candidate{}), "", "is too old", time.Unix(firstScan, 0))
		info = info.WithVerdict(g.verdictKey(Candidate{Current: true, SelectedAt: selectedAt}), "ann", "", time.Unix(firstScan, 0))
	}
	for _, g := range rules {
		for _, current := range []bool{false, true} {
			candidate := Candidate{Info: info, Current: current}
			if current {
				candidate.SelectedAt = selectedAt
			}
			v, found := g.verdictOn(candidate, time.Unix(firstScan, 0))
			NewWithT(t).Expect(found).To(BeTrue(), "%s, current %v", g.VerifierFingerprint, current)
			NewWithT(t).Expect(v.Passed()).To(Equal(current), g.VerifierFingerprint)
		}
	}
}
