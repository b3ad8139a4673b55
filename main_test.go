// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	flag "github.com/spf13/pflag"

	"github.com/fluxcd/image-reflector-controller/internal/metrics"
	"github.com/fluxcd/image-reflector-controller/internal/options"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/mirrors"
	"github.com/fluxcd/image-reflector-controller/internal/store"
	"github.com/fluxcd/image-reflector-controller/internal/test/page"
)

func TestPrintVersion_PrintsVersionCommitAndPlatform(t *testing.T) {
	g := NewWithT(t)
	var out strings.Builder
	printVersion(&out)
	g.Expect(out.String()).To(MatchRegexp(`^image-reflector-controller dev \(commit unknown, go\S+, \w+/\w+\)\n$`))
}

// TestSystemCertPool_HasFallbackRoots checks that the fallback roots are trusted on a system
// without certificate authorities, such as the container image. It runs in a new process, because
// the pool is loaded once.
func TestSystemCertPool_HasFallbackRoots(t *testing.T) {
	g := NewWithT(t)
	const missingPath = "/no/such/path"
	if os.Getenv("SSL_CERT_FILE") != missingPath {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+missingPath, "SSL_CERT_DIR="+missingPath)
		out, err := cmd.CombinedOutput()
		g.Expect(err).NotTo(HaveOccurred(), string(out))
		return
	}
	authorities, err := x509.SystemCertPool()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(authorities.Equal(x509.NewCertPool())).To(BeFalse(), "certificate authorities")
}

// TestDocs_ListEveryFlag compares docs/flags.md with the flags of the controller.
func TestDocs_ListEveryFlag(t *testing.T) {
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	(&options.Options{}).BindFlags(fs)
	var table strings.Builder
	table.WriteString("| flag | default | meaning |\n|---|---|---|\n")
	fs.VisitAll(func(f *flag.Flag) {
		value := "none"
		if f.DefValue != "" && f.DefValue != "[]" {
			value = code(f.DefValue)
		}
		fmt.Fprintf(&table, "| %s | %s | %s |\n", code("--"+f.Name), value, f.Usage)
	})
	page.Generated(t, "docs/flags.md", "flags", table.String())
}

// TestDocs_ListEveryMetric compares docs/metrics.md with the collectors that the
// controller registers.
func TestDocs_ListEveryMetric(t *testing.T) {
	g := NewWithT(t)
	objects, scans, registries, stored := descriptions{}, descriptions{}, descriptions{}, descriptions{}
	objects.MustRegister(metrics.NewDurations(), &metrics.Objects{})
	scans.MustRegister(metrics.NewScans(nil))
	registry.NewClient(registry.WithMetrics(registries)).Close()
	registries.MustRegister(mirrors.NewMetric(nil))
	tags := store.New(t.TempDir(), store.Options{Metrics: stored})
	g.Expect(tags.Keys(t.Context())).To(BeEmpty()) // opens the store
	g.Expect(tags.Close()).To(Succeed())
	for name, group := range map[string]descriptions{
		"objects": objects, "scans": scans, "registries": registries, "store": stored,
	} {
		page.Generated(t, "docs/metrics.md", name, group.table())
	}
}

// descriptions maps the names of metrics to their help and labels. It is a prometheus.Registerer
// that keeps only the descriptions of collectors.
type descriptions map[string][2]string

// descPattern matches the String of a prometheus.Desc, which has no accessors.
var descPattern = regexp.MustCompile(`^Desc{fqName: "(.+)", help: "(.+)", constLabels: {}, variableLabels: {(.*)}}$`)

func (d descriptions) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 100)
	c.Describe(descs)
	close(descs)
	for desc := range descs {
		m := descPattern.FindStringSubmatch(desc.String())
		if m == nil {
			return fmt.Errorf("unexpected description of a metric: %s", desc)
		}
		d[m[1]] = [2]string{m[2], m[3]}
	}
	return nil
}

func (d descriptions) MustRegister(collectors ...prometheus.Collector) {
	for _, c := range collectors {
		if err := d.Register(c); err != nil {
			panic(err)
		}
	}
}

func (d descriptions) Unregister(prometheus.Collector) bool { return false }

func (d descriptions) table() string {
	var table strings.Builder
	table.WriteString("| metric | labels | meaning |\n|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(d)) {
		help, labels := d[name][0], ""
		if d[name][1] != "" {
			labels = code(strings.ReplaceAll(d[name][1], ",", "`, `"))
		}
		fmt.Fprintf(&table, "| %s | %s | %s |\n", code(name), labels, help)
	}
	return table.String()
}

func code(text string) string { return "`" + text + "`" }
