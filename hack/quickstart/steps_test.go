// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestSteps_PrintWhereTheTimeWent(t *testing.T) {
	for name, tc := range map[string]struct{ reason, file, want string }{
		"built": {
			reason: "a long build is worth a table", file: "92.4 controller\n12.0 download of Kubernetes v1.36.2\n",
			want: "Where the time went (some steps overlap):\n" +
				"  controller                         92.4 s\n" +
				"  download of Kubernetes v1.36.2     12.0 s\n" +
				"  samples                             1.5 s\n\n",
		},
		"cached": {reason: "there is nothing to explain", file: "1.2 controller\n"},
		"none":   {reason: "quickstart may be started without make"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			path := filepath.Join(t.TempDir(), "steps")
			if tc.file != "" {
				g.Expect(os.WriteFile(path, []byte(tc.file), 0o600)).To(Succeed())
			}
			s := readSteps(path, "")
			s.add("samples", 1500*time.Millisecond)
			g.Expect(s.String()).To(Equal(tc.want), tc.reason)
			g.Expect(path).NotTo(BeAnExistingFile(), "the next run has other steps")
		})
	}
}

func TestSteps_EndWithTheTimeOfMakeRun(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "steps")
	g.Expect(os.WriteFile(path, []byte("92.4 controller\n"), 0o600)).To(Succeed())
	started := time.Now().Add(-100 * time.Second).Unix()
	g.Expect(readSteps(path, strconv.FormatInt(started, 10)).String()).To(MatchRegexp(`\n  all +10[0-2]\.\d s\n\n$`), "it started 100 s ago")
}
