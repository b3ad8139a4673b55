// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// numbered returns n tags in ascending order.
func numbered(n int) []string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprintf("v%06d", i)
	}
	return tags
}

// TestListTags_AdaptsToPageSize tests that all pages are read from registries that respect, limit,
// reject or ignore the page size, and that the session remembers the behavior of the registry.
func TestListTags_AdaptsToPageSize(t *testing.T) {
	reject := func(limit, code int) registrytest.Fault {
		return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
			if n, err := strconv.Atoi(req.URL.Query().Get("n")); err == nil && n > limit {
				w.WriteHeader(code)
				return
			}
			next.ServeHTTP(w, req)
		}
	}
	ignore := func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		req.URL.RawQuery = ""
		next.ServeHTTP(w, req)
	}
	absolute := func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if req.URL.Query().Get("last") == "" {
			registrytest.SetHeader("Link", `<https://`+req.Host+`/v2/app/tags/list?last=v000999&n=1000>; rel="next"`)(w, req, next)
			return
		}
		next.ServeHTTP(w, req)
	}
	cases := map[string]struct {
		reason      string
		tags        int
		opts        []registrytest.Option
		fault       registrytest.Fault
		first, next int
	}{
		"Rejected":       {reason: "a rejected size is omitted from later requests", tags: 25, fault: reject(100, 400), first: 2, next: 1},
		"RejectedPaged":  {reason: "pages of the registry's default size are followed", tags: 25, opts: []registrytest.Option{registrytest.WithMaxPage(10)}, fault: reject(100, 422), first: 4, next: 3},
		"Capped":         {reason: "pages may be smaller than requested", tags: 250, opts: []registrytest.Option{registrytest.WithMaxPage(100)}, first: 3, next: 3},
		"OnePage":        {reason: "fewer tags than the page size", tags: 7, first: 1, next: 1},
		"ThreePages":     {reason: "relative links are followed", tags: 2500, first: 3, next: 3},
		"AbsoluteLink":   {reason: "absolute links are followed, with the registry's scheme", tags: 1500, fault: absolute, first: 2, next: 2},
		"Ignored":        {reason: "an unpaged list is complete", tags: 100_000, fault: ignore, first: 1, next: 1},
		"IgnoredAndFull": {reason: "also if it has exactly the tags of a page", tags: 1000, fault: ignore, first: 2, next: 1},
		"Full":           {reason: "a full page is followed by one request for more, until paging is known", tags: 1000, first: 2, next: 1},
		"FullAtTheEnd":   {reason: "but not if a previous page had a link", tags: 2000, first: 2, next: 2},
		"NoLinks":        {reason: "without links, the next page is requested by its last tag", tags: 2500, fault: registrytest.DropHeader("Link"), first: 4, next: 3},
		"NoLinksFull":    {reason: "an empty next page ends the list", tags: 2000, fault: registrytest.DropHeader("Link"), first: 4, next: 3},
		"Unlinked":       {reason: "without links, a full page is always followed by another request", tags: 1000, fault: registrytest.DropHeader("Link"), first: 3, next: 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			reg := registrytest.Start(t, tc.opts...)
			want := numbered(tc.tags)
			reg.PushTags(t, "app", want...)
			if tc.fault != nil {
				reg.Inject(registrytest.Tags, tc.fault)
			}
			c := newTestClient(t)
			for _, pages := range []int{tc.first, tc.next} {
				reg.Reset()
				g.Expect(c.ListTags(t.Context(), parse(t, reg.Image("app")), AuthOptions{})).To(BeComparableTo(want), tc.reason)
				g.Expect(reg.Count(registrytest.Tags)).To(Equal(pages), "%s: requests", tc.reason)
			}
		})
	}
}

func TestListTags_ReportsProgress(t *testing.T) {
	g := NewWithT(t)
	reg, img := start(t)
	reg.PushTags(t, "app", numbered(2500)...) // in addition to two existing tags
	var reported [][2]int
	client := newTestClient(t, WithProgress(func(pages, tags int) { reported = append(reported, [2]int{pages, tags}) }))
	g.Expect(client.ListTags(t.Context(), img, AuthOptions{})).Error().NotTo(HaveOccurred())
	g.Expect(reported).To(BeComparableTo([][2]int{{1, 1000}, {2, 2000}, {3, 2502}}))
}

func TestListTags_AcceptsUnusualPages(t *testing.T) {
	cases := map[string]struct {
		reason, body string
		want         []string
	}{
		"Null":       {reason: "registries written in Go return null", body: `{"name":"app","tags":null}`, want: []string{}},
		"Missing":    {reason: "the field is omitted if there are no tags", body: `{"name":"app"}`, want: []string{}},
		"Empty":      {reason: "no tags", body: `{"name":"app","tags":[]}`, want: []string{}},
		"Nameless":   {reason: "the name is ignored", body: `{"tags":["a"]}`, want: []string{"a"}},
		"Duplicates": {reason: "duplicates are removed", body: `{"name":"app","tags":["b","a","b"]}`, want: []string{"b", "a"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			reg, img := start(t)
			reg.Inject(registrytest.Tags, registrytest.Body("application/json", tc.body))
			g.Expect(newTestClient(t).ListTags(t.Context(), img, AuthOptions{})).To(BeComparableTo(tc.want), tc.reason)
		})
	}
}

// TestListTags_ReturnsErrorIfIncomplete tests that an incomplete list is an error, even if its
// first page is valid.
func TestListTags_ReturnsErrorIfIncomplete(t *testing.T) {
	tight := Limits{BodyBytes: 1 << 20, ManifestBytes: 1 << 20, Pages: 50, Tags: 50_000, ListBytes: 1 << 20}
	limit := func(change func(*Limits)) Limits { l := tight; change(&l); return l }
	link := func(value string) registrytest.Fault { return registrytest.SetHeader("Link", value) }
	cases := map[string]struct {
		reason string
		limits Limits
		fault  registrytest.Fault
		words  []string
	}{
		"NotALink": {reason: "an invalid link may be that to the next page", limits: tight, fault: link(`/v2/app/tags/list`), words: []string{"malformed"}},
		"ManyTags": {reason: "the number of tags is limited", limits: limit(func(l *Limits) { l.Tags = 1 }), words: []string{"1 tags"}},
		"ManyStrings": {reason: "invalid tags count too, because they use memory", limits: limit(func(l *Limits) { l.Tags = 100 }),
			fault: registrytest.Body("", `{"name":"app","tags":["`+strings.Repeat(`","`, 100)+`"]}`), words: []string{"100 tags"}},
		"ManyBytes":     {reason: "the total size of all pages is limited", limits: limit(func(l *Limits) { l.ListBytes = 100 }), fault: registrytest.EndlessPages(), words: []string{"100 bytes"}},
		"HTML":          {reason: "captive portals return HTML", limits: tight, fault: registrytest.HTML(), words: []string{"HTML", "spec.image"}},
		"Garbage":       {reason: "not JSON", limits: tight, fault: registrytest.Body("", "\x00\x01"+canary), words: []string{"malformed"}},
		"Nothing":       {reason: "no body", limits: tight, fault: registrytest.Body("", ""), words: []string{"empty"}},
		"OtherJSON":     {reason: "other JSON", limits: tight, fault: registrytest.Body("", `{"ok":true}`), words: []string{"no tag list"}},
		"Array":         {reason: "JSON of another type", limits: tight, fault: registrytest.Body("", `["a"]`), words: []string{"no tag list"}},
		"NumbersInTags": {reason: "tags are strings", limits: tight, fault: registrytest.Body("", `{"name":"app","tags":[1]}`), words: []string{"not strings"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			reg, img := start(t)
			if tc.fault != nil {
				reg.Inject(registrytest.Tags, tc.fault)
			}
			tags, err := newTestClient(t, withLimits(tc.limits)).ListTags(t.Context(), img, AuthOptions{})
			NewWithT(t).Expect(tags).To(BeNil(), "%s: tags in addition to an error", tc.reason)
			checkError(t, err, v1.ReadOperationFailedReason, append(tc.words, "failed to list the tags of "+img.String())...)
		})
	}
}

// checkFresh checks that the tags equal those of a list without a fingerprint.
func checkFresh(t *testing.T, c *testClient, img image.Name, tags []string) {
	t.Helper()
	g := NewWithT(t)
	want, err := c.List(t.Context(), img, AuthOptions{}, "")
	g.Expect(err).NotTo(HaveOccurred(), "list without a fingerprint")
	g.Expect(tags).To(BeComparableTo(want.Tags), "list without a fingerprint")
}

// TestList_DetectsUnchangedTags lists twice, and changes the repository in between.
func TestList_DetectsUnchangedTags(t *testing.T) {
	dropLinks := func(reg *registrytest.Registry) {
		reg.Inject(registrytest.Tags, registrytest.DropHeader("Link"))
	}
	for name, tc := range map[string]struct {
		reason    string
		tags      int
		prepare   func(*registrytest.Registry)
		push      []string
		change    func(*registrytest.Registry) // in addition to push
		unchanged bool
		wantTags  int
	}{
		"OnePage":           {reason: "nothing changed", tags: 3, unchanged: true},
		"NoTags":            {reason: "also with a single tag", tags: 1, unchanged: true},
		"Pages":             {reason: "nothing changed on any page", tags: 25, unchanged: true},
		"PagesWithoutLinks": {reason: "a list without links is not reported as unchanged", tags: 2500, prepare: dropLinks, unchanged: false, wantTags: 2500},
		"FirstPage":         {reason: "the first page has a new tag", tags: 25, push: []string{"a"}, wantTags: 26},
		"LastPage":          {reason: "the last page has a new tag, so the tags of all pages are returned", tags: 25, push: []string{"z"}, wantTags: 26},
		"Shorter":           {reason: "the list is a prefix of the previous one", tags: 20, change: dropLinks, wantTags: 10},
		"OneMorePage":       {reason: "there is a new page", tags: 30, push: []string{"z"}, wantTags: 31},
	} {
		t.Run(name, func(t *testing.T) {
			reg := registrytest.Start(t, registrytest.WithMaxPage(10))
			if tc.prepare != nil {
				reg = registrytest.Start(t)
				tc.prepare(reg)
			}
			reg.PushTags(t, "app", numbered(tc.tags)...)
			c, img := newTestClient(t), parse(t, reg.Image("app"))
			first, err := c.List(t.Context(), img, AuthOptions{}, "")
			if err != nil || first.Unchanged || len(first.Tags) != tc.tags {
				t.Fatalf("%s: first list: %d tags, unchanged %t, %v", tc.reason, len(first.Tags), first.Unchanged, err)
			}
			reg.PushTags(t, "app", tc.push...)
			if tc.change != nil {
				tc.change(reg)
			}
			second, err := c.List(t.Context(), img, AuthOptions{}, first.Fingerprint)
			if err != nil || second.Unchanged != tc.unchanged || len(second.Tags) != tc.wantTags {
				t.Fatalf("%s: second list: %d tags, unchanged %t, %v", tc.reason, len(second.Tags), second.Unchanged, err)
			}
			if !tc.unchanged {
				checkFresh(t, c, img, second.Tags)
			}
		})
	}
}

// FuzzWellFormedTag compares IsTag with the regular expression of the specification.
func FuzzWellFormedTag(f *testing.F) {
	for _, tag := range []string{"", "a", "_", ".a", "-a", "a.-_", "a b", "a\n", "é", "a\x00", strings.Repeat("a", 128), strings.Repeat("a", 129)} {
		f.Add(tag)
	}
	specified := regexp.MustCompile(`\A[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\z`)
	f.Fuzz(func(t *testing.T, tag string) {
		if got, want := IsTag(tag), specified.MatchString(tag); got != want {
			t.Errorf("%q: got %t, want %t", tag, got, want)
		}
	})
}

// FuzzPlainStrings compares plainStrings with encoding/json.
func FuzzPlainStrings(f *testing.F) {
	for _, array := range []string{
		`[]`, `["a"]`, `[ "a" ,\n"b" ]`, `["a",1]`, `[1,"a"]`, `[null]`, `["a",null]`, `null`, `"a"`, `1`, `[["a"]]`, `["a",["b"]]`, `[[],"a"]`,
		`["\u0041"]`, `["é"]`, `["]"]`, `["[",","]`, `{"a":"b"}`, `[{"a":"b"}]`, "[\"\xff\"]", `["",""]`, `[true]`, `[[[]]]`, `["a",[]]`,
	} {
		f.Add(array)
	}
	f.Fuzz(func(t *testing.T, array string) {
		if !json.Valid([]byte(array)) {
			return
		}
		got, plain := plainStrings([]byte(array))
		if !plain {
			return
		}
		var want []string
		if err := json.Unmarshal([]byte(array), &want); err != nil {
			t.Fatalf("%s was parsed as %q, but is not a list of strings: %v", array, got, err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", array, got, want)
		}
	})
}

func TestPlainStrings_ParsesArrays(t *testing.T) {
	g := NewWithT(t)
	for array, want := range map[string][]string{`[]`: {}, `["a"]`: {"a"}, "[ \"a\" ,\n\t\"\" ]": {"a", ""}} {
		got, plain := plainStrings([]byte(array))
		g.Expect(plain).To(BeTrue(), "%s: plain", array)
		g.Expect(got).To(BeComparableTo(want), array)
	}
}

// TestTagSet_RemovesDuplicates compares tagSet with a simple implementation, for lists that are
// sorted, unsorted, or sorted up to some page.
func TestTagSet_RemovesDuplicates(t *testing.T) {
	g := NewWithT(t)
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var n tagSet
		var want []string
		last := 0
		for range random.IntN(4) {
			var page []string
			for range random.IntN(4) {
				if last++; random.IntN(8) == 0 {
					last = random.IntN(10)
				}
				page = append(page, string(rune('a'+last)))
			}
			before := len(want)
			for _, name := range page {
				if !slices.Contains(want, name) {
					want = append(want, name)
				}
			}
			g.Expect(n.add(slices.Clone(page))).To(Equal(len(want) > before), "%v: added", page)
		}
		g.Expect(n.list).To(Equal(want))
		g.Expect(n.len()).To(Equal(len(want)))
	}
}
