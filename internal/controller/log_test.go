// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
)

func TestLazyLogger_LogsValuesOfAllLevels(t *testing.T) {
	g := NewWithT(t)
	var lines []string
	record := func(prefix, args string) { lines = append(lines, prefix+" "+args) }
	log := LazyLogger(funcr.New(record, funcr.Options{Verbosity: 1})).WithValues("a", 1)
	first, second := log.WithValues("b", 2), log.WithName("n").WithValues("c", 3)

	first.Info("one", "d", 4)
	second.V(1).Info("two")
	first.V(2).Info("too verbose")
	second.Error(errors.New("broken"), "three", "d", 4)
	g.Expect(lines).To(Equal([]string{
		` "level"=0 "msg"="one" "a"=1 "b"=2 "d"=4`,
		`n "level"=1 "msg"="two" "a"=1 "c"=3`,
		`n "msg"="three" "error"="broken" "a"=1 "c"=3 "d"=4`,
	}))
}

func TestLazyLogger_AddsNoValuesToSink(t *testing.T) {
	g := NewWithT(t)
	sink := &countingSink{LogSink: funcr.New(func(string, string) {}, funcr.Options{}).GetSink()}
	log := LazyLogger(logr.New(sink))
	log.WithValues("a", 1).WithValues("b", 2).Info("line")
	g.Expect(sink.withValues).To(BeZero())
}

type countingSink struct {
	logr.LogSink
	withValues int
}

func (s *countingSink) WithValues(...any) logr.LogSink {
	s.withValues++
	return s
}
