// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// familyWriter writes metrics in any format of expfmt. It needs the memory of all samples of one
// metric, as the format protobuf does.
type familyWriter struct {
	out    expfmt.Encoder
	err    error             // the first one
	family *dto.MetricFamily // not written yet
}

func (f *familyWriter) gauge(g *gauge, value float64, labels []string) {
	if f.err == nil {
		f.add(g.name, g.help, dto.MetricType_GAUGE, g.metric(value, labels))
	}
}

func (f *familyWriter) histogram(labels []string, h *histogram) {
	if f.err == nil {
		f.add(durationsName, durationsHelp, dto.MetricType_HISTOGRAM, h.metric(labels))
	}
}

func (f *familyWriter) add(name, help string, kind dto.MetricType, metric prometheus.Metric) {
	if f.family.GetName() != name {
		f.flush()
		f.family = &dto.MetricFamily{Name: &name, Help: &help, Type: &kind}
	}
	written := &dto.Metric{}
	if metric.Write(written) == nil { // fails only for labels that are not UTF-8, and Objects replaces those
		f.family.Metric = append(f.family.Metric, written)
	}
}

func (f *familyWriter) flush() {
	if f.family != nil && f.err == nil {
		f.err = f.out.Encode(f.family)
	}
}
