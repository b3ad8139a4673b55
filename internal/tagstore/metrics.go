// SPDX-License-Identifier: Apache-2.0

package tagstore

import "github.com/prometheus/client_golang/prometheus"

// metrics tells of one store. It asks the store when it is asked.
type metrics struct {
	reports                    *prometheus.CounterVec
	records, facts, size, free *prometheus.Desc
	usage                      func() (Usage, error)
}

func newMetrics() *metrics {
	describe := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, nil, nil)
	}
	m := &metrics{
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "image_reflector_store_reports_total",
			Help: "What happened to the tag store besides the calls made to it, by kind.",
		}, []string{"kind"}),
		records: describe("image_reflector_store_records", "The image repositories whose tags the tag store holds."),
		facts:   describe("image_reflector_store_facts", "The tags of whose images the tag store knows something."),
		size:    describe("image_reflector_store_size_bytes", "The size of the tag store's file."),
		free:    describe("image_reflector_store_free_bytes", "The bytes in the tag store's file that wait to be used again."),
	}
	for _, kind := range reportKinds { // so that an alert sees the first one as an increase
		m.reports.WithLabelValues(string(kind))
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	m.reports.Describe(to)
	to <- m.records
	to <- m.facts
	to <- m.size
	to <- m.free
}

// Collect implements prometheus.Collector. A store that is closed has no usage.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	m.reports.Collect(to)
	usage, err := m.usage()
	if err != nil {
		return
	}
	for desc, value := range map[*prometheus.Desc]int64{
		m.records: usage.Records, m.facts: usage.Facts, m.size: usage.Size, m.free: usage.Free,
	} {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value))
	}
}

// WithMetrics counts reports and measures the store, for whoever asks the
// registerer, which must know no other store.
func WithMetrics(registerer prometheus.Registerer) Option {
	return func(o *options) { o.registerer = registerer }
}

// counted has reports counted before they are told.
func (m *metrics) counted(report func(Report)) func(Report) {
	return func(r Report) {
		m.reports.WithLabelValues(string(r.Kind)).Inc()
		report(r)
	}
}
