// SPDX-License-Identifier: Apache-2.0

package store

import "github.com/prometheus/client_golang/prometheus"

func (s *Store) makeMetrics() {
	s.reports = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "image_reflector_store_reports_total",
		Help: "The problems that the tag store found in its files, by kind.",
	}, []string{"kind"})
	for _, kind := range []ReportKind{RecordDamaged, FactsDamaged, LeftoversFound} { // so that rate() sees the first report
		s.reports.WithLabelValues(string(kind))
	}
	s.metrics = []prometheus.Collector{
		s.reports,
		s.gauge("image_reflector_store_records", "The image repositories whose tags are stored.",
			func(o *objectState) int64 { return min(1, o.bytes.Load()) }),
		s.gauge("image_reflector_store_facts",
			"The tags with stored facts of their images, of repositories whose facts were used since the store was opened.",
			func(o *objectState) int64 { return o.facts.Load() }),
		s.gauge("image_reflector_store_size_bytes", "The size of the tag store's files.",
			func(o *objectState) int64 { return o.bytes.Load() + o.factBytes.Load() }),
	}
}

// gauge returns a metric that sums a value over all objects.
func (s *Store) gauge(name, help string, valueOf func(*objectState) int64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
		sum := int64(0)
		s.objects.Range(func(_, value any) bool {
			sum += valueOf(value.(*objectState))
			return true
		})
		return float64(sum)
	})
}
