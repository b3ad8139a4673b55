// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
)

// TestRepository_DoesNotBlockOnSlowCredentials tests that an operation ends with its own context
// while another one reads the credentials, and that the other one is not affected.
func TestRepository_DoesNotBlockOnSlowCredentials(t *testing.T) {
	checkGoroutines(t)
	_, img := start(t)
	reading, proceed := make(chan struct{}), make(chan struct{})
	repo := newTestClient(t).Open(Access{Image: img, Auth: func(context.Context) (AuthOptions, error) {
		close(reading)
		<-proceed
		return AuthOptions{}, nil
	}})
	first := make(chan error)
	go func() {
		_, err := repo.List(context.Background(), "")
		first <- err
	}()
	<-reading
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := repo.List(canceled, "")
	checkError(t, err, v1.ReadOperationFailedReason, "canceled")
	_, err = repo.Digest(timeout(t, 1), "1.0.0")
	checkError(t, err, v1.ReadOperationFailedReason, "in time")
	close(proceed)
	NewWithT(t).Expect(<-first).To(Succeed())
	repo.Close()
}

// TestRepository_ReleasesLimiterOnPanic tests that a panic in Auth leaks neither a lock nor a
// ticket of the limiter.
func TestRepository_ReleasesLimiterOnPanic(t *testing.T) {
	_, img := start(t)
	c := newTestClient(t, WithRateLimits(ratelimit.Config{InFlight: 1}))
	func() {
		repo := c.Open(Access{Image: img, Auth: func(context.Context) (AuthOptions, error) { panic("broken") }})
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		defer repo.Close()
		_, _ = repo.List(t.Context(), "")
	}()
	NewWithT(t).Expect(c.ListTags(t.Context(), img, AuthOptions{})).Error().NotTo(HaveOccurred())
}
