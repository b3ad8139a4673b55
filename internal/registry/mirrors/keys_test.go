// SPDX-License-Identifier: Apache-2.0

package mirrors

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestParse_NeverPrintsPasswords(t *testing.T) {
	for _, file := range []string{
		`["r".host."https://user:s3cret@m.example.com"]`,
		`["r".host."user:s3cret@m.example.com"]`,
		`["r".host."ftp://user:s3cret@m.example.com"]`,
		`["r".host."user:a://s3cret@m.example.com"]`,
		`["r".host."https://user:s3cret%40m.example.com"]`,
		`["user:s3cret@r".host."m.example.com"]`,
		`[user."user:s3cret@m.example.com"]`,
		"[\"r\"]\nserver = \"user:s3cret@m.example.com\"",
		"[\"r\"]\n\"user:s3cret@m.example.com\" = 1",
		"[\"r\".host.\"user:s3cret@m.example.com\"]\ncapabilities = [1]",
		"[\"r\".host.\"user:s3cret@m.example.com\"]\noverride_path = 1",
		"[\"r\".host.\"user:s3cret@m.example.com\"]\n= 1",
		"[\"r\".host.\"user:s3cret@m.example.com\"]\n[\"r\".host.\"user:s3cret@m.example.com\"]",
		"[\"r.example.com\".host.\"m.example.com\"]\ncapabilities = [\"user:s3cret@m\"]",
		"\"user:s3cret@m.example.com\" = 1",
	} {
		_, err := Parse([]byte(file), noFiles)
		NewWithT(t).Expect(err).To(MatchError(Not(ContainSubstring("s3cret"))), file)
	}
	_, err := Parse([]byte(`["docker.io".host."https://user:s3cret@m.example.com"]`), noFiles)
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("write it without user and password: credentials are in spec.secretRef")))
}

// TestParse_BoundsFiles checks that files are refused before the decoder needs the memory for them.
func TestParse_BoundsFiles(t *testing.T) {
	for name, tc := range map[string]struct{ file, want string }{
		"Size":    {"#" + strings.Repeat("x", maxBytes), "at most 262144 are read"},
		"Parts":   {"[" + strings.Repeat("a.", 100_000) + "a]", "line 1 nests"},
		"Quoted":  {"\n" + strings.Repeat(`"a" . `, 40_000) + "a = 1", "line 2 nests"},
		"Inline":  {"a = " + strings.Repeat("{a=", 80_000), "line 1 nests"},
		"Lists":   {"a = " + strings.Repeat("[\n", 100_000), "line 17 nests"},
		"Hidden":  {"a = {x = \"\"\"\n\"\"\", " + strings.Repeat("b.", 100_000) + "b = \"c\"}", "line 1 has a string of several lines: write it in one"},
		"Literal": {"a = '''\n'''", "line 1 has a string of several lines"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(tc.file), noFiles)
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(tc.want)))
		})
	}
	_, err := Parse([]byte("# it's ....................... \"\n[\"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v\"] # ["+strings.Repeat("[", 20)), noFiles)
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), "strings and comments are not counted")
}
