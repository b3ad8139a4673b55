// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"

	"github.com/go-logr/logr"
)

// LazyLogger returns a logger that encodes the values of WithValues when it logs a line.
// controller-runtime adds six values to the logger of every reconcile, most of which log nothing.
// Zap can defer this too (zap.Logger.WithLazy), but github.com/go-logr/zapr does not use it.
func LazyLogger(logger logr.Logger) logr.Logger {
	return logr.New(lazySink{LogSink: logger.GetSink()})
}

type lazySink struct {
	logr.LogSink
	values []any
}

// Init implements logr.LogSink. The wrapped sink is already initialized.
func (lazySink) Init(logr.RuntimeInfo) {}

// WithValues implements logr.LogSink.
func (s lazySink) WithValues(values ...any) logr.LogSink {
	return lazySink{s.LogSink, s.with(values)}
}

// WithName implements logr.LogSink.
func (s lazySink) WithName(name string) logr.LogSink {
	return lazySink{s.LogSink.WithName(name), s.values}
}

// Info implements logr.LogSink.
func (s lazySink) Info(level int, message string, values ...any) {
	s.LogSink.Info(level, message, s.with(values)...)
}

// Error implements logr.LogSink.
func (s lazySink) Error(err error, message string, values ...any) {
	s.LogSink.Error(err, message, s.with(values)...)
}

func (s lazySink) with(values []any) []any { return slices.Concat(s.values, values) }
