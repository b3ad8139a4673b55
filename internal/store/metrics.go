// SPDX-License-Identifier: Apache-2.0

package store

import "github.com/prometheus/client_golang/prometheus"

func (s *Store) makeMetrics() {
	s.reports = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "image_reflector_store_reports_total",
		Help: "What happened to the tag store besides the calls made to it, by kind.",
	}, []string{"kind"})
	for _, kind := range []ReportKind{RecordDamaged, FactsDamaged, LeftoversFound} { // so that an alert sees the first one as an increase
		s.reports.WithLabelValues(string(kind))
	}
	s.metrics = []prometheus.Collector{
		s.reports,
		s.gauge("image_reflector_store_records", "The image repositories whose tags the tag store holds.",
			func(o *objectState) int64 { return min(1, o.bytes.Load()) }),
		s.gauge("image_reflector_store_facts",
			"The tags of whose images the tag store knows something, of repositories that it was asked about since it was opened.",
			func(o *objectState) int64 { return o.facts.Load() }),
		s.gauge("image_reflector_store_size_bytes", "The size of the tag store's files.",
			func(o *objectState) int64 { return o.bytes.Load() + o.factBytes.Load() }),
	}
}

// gauge returns a metric that is a sum over all objects.
func (s *Store) gauge(name, help string, of func(*objectState) int64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
		sum := int64(0)
		s.objects.Range(func(_, value any) bool {
			sum += of(value.(*objectState))
			return true
		})
		return float64(sum)
	})
}
