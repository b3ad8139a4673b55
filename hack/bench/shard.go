// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	poll "k8s.io/apimachinery/pkg/util/wait"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

const (
	// replicasPerShard is the number of replicas of each shard of the part soak.
	replicasPerShard = 2
	// takeOverTimeout bounds the time until a replica leads: the lease of a killed leader expires
	// after 35 s by default.
	takeOverTimeout = 2 * time.Minute
)

// shardConfig is one of the shards of docs/guides/sharding.md.
type shardConfig struct {
	name, selector string
	labels         map[string]string
	sharedStore    bool // whether its replicas share a volume
}

const shardKey = "sharding.fluxcd.io/key"

var shardConfigs = []shardConfig{
	{name: "main", selector: "!" + shardKey, sharedStore: true},
	{name: "shard1", selector: shardKey + "=shard1", labels: map[string]string{shardKey: "shard1"}},
}

// shardOf returns the shard of a pair.
func (l load) shardOf(pair int) shardConfig {
	if !l.sharded {
		return shardConfigs[0]
	}
	return shardConfigs[pair%len(shardConfigs)]
}

// shard is the replicas of a shard, one of which leads.
type shard struct {
	shardConfig
	replicas []*testenv.Controller
	stores   []string // the folder of each replica
	copies   string   // the folder with older copies of the stores
	// disturbed is locked while replicas are stopped, started, or without a leader.
	disturbed sync.Mutex
	// series are those of the leader with the process ID.
	series []series
	pid    int
}

// newShard adds the replicas of a shard, which are not started yet.
func newShard(f *fixture, config shardConfig) *shard {
	s := &shard{shardConfig: config, copies: filepath.Join(f.dir, config.name+"-copies")}
	for i := range replicasPerShard {
		store := filepath.Join(f.dir, fmt.Sprintf("%s-store-%d", config.name, i))
		if config.sharedStore {
			store = filepath.Join(f.dir, config.name+"-store")
		}
		s.stores = append(s.stores, store)
		s.replicas = append(s.replicas, f.addController(fmt.Sprintf("%s-%d", config.name, i), "--enable-leader-election",
			"--watch-label-selector="+config.selector, "--storage-path="+store, "--max-retry-delay=10s"))
	}
	return s
}

// start starts the replicas that are not running, and waits until one leads.
func (s *shard) start(ctx context.Context) error {
	for i, replica := range s.replicas {
		if isRunning(replica) {
			continue
		}
		if err := os.MkdirAll(s.stores[i], 0o755); err != nil {
			return err
		}
		if err := replica.Start(ctx); err != nil {
			return err
		}
	}
	_, err := s.awaitLeader(ctx)
	return err
}

// stop stops all replicas, the standby first, so that it does not take over.
func (s *shard) stop(ctx context.Context) error {
	leader, err := s.leader(ctx)
	if err != nil {
		return err
	}
	for _, replica := range append(s.others(leader), s.replicas[leader]) {
		if err := replica.Stop(); err != nil {
			return err
		}
	}
	return nil
}

// replaceLeader ends the leader, waits until another replica leads, and starts the first one again.
func (s *shard) replaceLeader(ctx context.Context, end func(*testenv.Controller) error) error {
	before, err := s.leader(ctx)
	if err != nil {
		return err
	}
	if err := end(s.replicas[before]); err != nil {
		return err
	}
	after, err := s.awaitLeader(ctx)
	if err == nil && after == before {
		err = fmt.Errorf("replica %d of shard %s leads although it ended", before, s.name)
	}
	if err != nil {
		return err
	}
	return s.start(ctx)
}

func (s *shard) killLeader(ctx context.Context) error {
	return s.replaceLeader(ctx, (*testenv.Controller).Kill)
}

func (s *shard) stopLeader(ctx context.Context) error {
	return s.replaceLeader(ctx, (*testenv.Controller).Stop)
}

// loseStore restarts all replicas without their stores.
func (s *shard) loseStore(ctx context.Context) error {
	return s.restart(ctx, func(_ int, store string) error { return os.RemoveAll(store) })
}

// copyStore restarts all replicas, and keeps a copy of their stores.
func (s *shard) copyStore(ctx context.Context) error {
	return s.restart(ctx, func(i int, store string) error { return os.CopyFS(s.copyOf(i), os.DirFS(store)) })
}

// restoreStore restarts all replicas with the copies of their stores.
func (s *shard) restoreStore(ctx context.Context) error {
	return s.restart(ctx, func(i int, store string) error {
		if err := os.RemoveAll(store); err != nil {
			return err
		}
		return os.CopyFS(store, os.DirFS(s.copyOf(i)))
	})
}

func (s *shard) copyOf(replica int) string {
	return filepath.Join(s.copies, filepath.Base(s.stores[replica]))
}

// restart changes each store while all replicas are stopped.
func (s *shard) restart(ctx context.Context, change func(replica int, store string) error) error {
	if err := s.stop(ctx); err != nil {
		return err
	}
	for i, store := range s.stores {
		if i > 0 && store == s.stores[i-1] {
			continue
		}
		if err := change(i, store); err != nil {
			return err
		}
	}
	return s.start(ctx)
}

// others returns all replicas but one.
func (s *shard) others(leader int) []*testenv.Controller {
	var others []*testenv.Controller
	for i, replica := range s.replicas {
		if i != leader {
			others = append(others, replica)
		}
	}
	return others
}

// leader returns the number of the replica that leads. It returns an error unless exactly one does.
func (s *shard) leader(ctx context.Context) (int, error) {
	var leaders []int
	for i, replica := range s.replicas {
		if !isRunning(replica) {
			continue
		}
		leads, err := leads(ctx, replica)
		if err != nil {
			return 0, err
		}
		if leads {
			leaders = append(leaders, i)
		}
	}
	if len(leaders) != 1 {
		return 0, fmt.Errorf("%d replicas of shard %s lead, want 1", len(leaders), s.name)
	}
	return leaders[0], nil
}

// awaitLeader waits until a replica leads, and returns its number.
func (s *shard) awaitLeader(ctx context.Context) (int, error) {
	leader, failure := 0, error(nil)
	err := poll.PollUntilContextTimeout(ctx, 500*time.Millisecond, takeOverTimeout, true, func(ctx context.Context) (bool, error) {
		leader, failure = s.leader(ctx)
		return failure == nil, nil
	})
	if err != nil && failure != nil {
		err = failure
	}
	return leader, err
}

// storeGauge is the key of the size of the store among the gauges.
const storeGauge = "store"

// newSeries returns the series of a process.
func newSeries() []series {
	return []series{
		{name: "goroutines", gauge: "go_goroutines", fraction: 0.10, amount: 20, drift: 40},
		{name: "open files and sockets", gauge: "process_open_fds", fraction: 0.10, amount: 15, drift: 30},
		{name: "resident memory", gauge: "process_resident_memory_bytes", unit: "MiB", fraction: 0.20, amount: 16, drift: 6},
		// what the last collection found, without what reading the profile itself allocated since
		{name: "live heap", gauge: "go_gc_heap_live_bytes", unit: "MiB", fraction: 0.15, amount: 6, drift: 2.5},
		// the facts of removed tags are kept for a week
		{name: "the store", gauge: storeGauge, unit: "MiB", fraction: 0.25, amount: 2, drift: 1},
	}
}

// sample takes a sample of the leader. The series begin with the process that leads.
func (s *shard) sample(ctx context.Context, at time.Duration) error {
	if err := s.exited(); err != nil {
		return err
	}
	leader, err := s.leader(ctx)
	if err != nil {
		return err
	}
	gauges, err := gauges(ctx, s.replicas[leader])
	if err != nil {
		return err
	}
	if gauges[storeGauge], err = storeSize(s.stores[leader]); err != nil {
		return err
	}
	if pid := s.replicas[leader].PID(); pid != s.pid {
		s.pid, s.series = pid, newSeries()
	}
	for i := range s.series {
		value := gauges[s.series[i].gauge]
		if s.series[i].unit == "MiB" {
			value = mebi(value)
		}
		s.series[i].add(at, value)
	}
	return nil
}

// printGrowth prints the growth of the leader's series, with the slope since a time, and returns
// the problems.
func (s *shard) printGrowth(table io.Writer, since time.Duration) []string {
	var problems []string
	for _, series := range s.series {
		g, err := series.evaluate(since)
		if err != nil {
			problems = append(problems, fmt.Sprintf("shard %s: %v", s.name, err))
		}
		maxSlope := "–" // it has no bound
		if !math.IsInf(g.maxSlope, 1) {
			maxSlope = fmt.Sprintf("%.1f", g.maxSlope)
		}
		fmt.Fprintf(table, "%s (%s)\t%.1f %s\t%.1f\t%.1f\t%+.1f\t%s\n",
			series.name, s.name, g.first, series.unit, g.last, g.bound, g.slope, maxSlope)
	}
	return problems
}

// exited returns an error if a replica is not running.
func (s *shard) exited() error {
	for _, replica := range s.replicas {
		if !isRunning(replica) {
			return fmt.Errorf("a replica of shard %s exited: %w", s.name, replica.Exit())
		}
	}
	return nil
}

func isRunning(controller *testenv.Controller) bool {
	select {
	case <-controller.Done():
		return false
	default:
		return true
	}
}
