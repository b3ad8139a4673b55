// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bufio"
	"strconv"
	"strings"
)

// textWriter writes metrics in the text format 0.0.4 of Prometheus
// (https://prometheus.io/docs/instrumenting/exposition_formats/). After the
// first error it writes nothing.
type textWriter struct {
	out    *bufio.Writer
	err    error
	family string // of the last sample
	labels []byte // of the current sample, reused
	line   []byte // reused
}

// header begins another metric. Samples of one metric must not be separated by others.
func (t *textWriter) header(name, help, kind string) {
	if t.family == name {
		return
	}
	t.family = name
	for _, part := range []string{"# HELP ", name, " ", escapeHelp.Replace(help), "\n# TYPE ", name, " ", kind, "\n"} {
		_, _ = t.out.WriteString(part)
	}
}

// gauge writes a sample of a gauge.
func (t *textWriter) gauge(g *gauge, value float64, labels []string) {
	if t.err != nil {
		return
	}
	t.header(g.name, g.help, "gauge")
	t.setLabels(g.labels, labels)
	t.begin(g.name, "")
	t.line = strconv.AppendFloat(append(t.line, "} "...), value, 'g', -1, 64)
	t.end()
}

// histogram writes the samples of the durations of an object.
func (t *textWriter) histogram(labels []string, h *histogram) {
	if t.err != nil {
		return
	}
	t.header(durationsName, durationsHelp, "histogram")
	t.setLabels(allKinds, labels)
	count := uint64(0)
	for i, number := range h.counts {
		count += number
		t.begin(durationsName, "_bucket")
		t.line = append(append(append(t.line, `,le="`...), bucketTexts[i]...), `"} `...)
		t.line = strconv.AppendUint(t.line, count, 10)
		t.end()
	}
	t.begin(durationsName, "_sum")
	t.line = strconv.AppendFloat(append(t.line, "} "...), h.sum, 'g', -1, 64)
	t.end()
	t.begin(durationsName, "_count")
	t.line = strconv.AppendUint(append(t.line, "} "...), count, 10)
	t.end()
}

// bucketTexts holds the upper bounds of the buckets.
var bucketTexts = func() [durationSteps + 1]string {
	texts := [durationSteps + 1]string{durationSteps: "+Inf"}
	for i, bound := range durationBuckets {
		texts[i] = strconv.FormatFloat(bound, 'g', -1, 64)
	}
	return texts
}()

func (t *textWriter) flush() {}

func (t *textWriter) setLabels(names, values []string) {
	t.labels = t.labels[:0]
	for i, name := range names {
		if i > 0 {
			t.labels = append(t.labels, ',')
		}
		t.labels = append(append(t.labels, name...), `="`...)
		t.labels = append(append(t.labels, escapeLabel.Replace(values[i])...), '"')
	}
}

// begin begins the line of a sample with its name and labels, without the closing brace.
func (t *textWriter) begin(name, suffix string) {
	t.line = append(append(append(t.line[:0], name...), suffix...), '{')
	t.line = append(t.line, t.labels...)
}

func (t *textWriter) end() {
	t.line = append(t.line, '\n')
	_, t.err = t.out.Write(t.line)
}

var (
	escapeLabel = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	escapeHelp  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
)
