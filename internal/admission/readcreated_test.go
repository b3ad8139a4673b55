// SPDX-License-Identifier: Apache-2.0

package admission_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
)

// newNumberedRegistry returns a registry with n tags, each with an image.
func newNumberedRegistry(n int) (*fakeRegistry, []string) {
	images, tags := newFakeRegistry(), make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprintf("%02d", i)
		images.push(tags[i], "d"+tags[i], good)
	}
	return images, tags
}

// TestReadCreated_KeepsInfoOfUnchangedImages expects one request per tag.
func TestReadCreated_KeepsInfoOfUnchangedImages(t *testing.T) {
	images, tags := newNumberedRegistry(20)
	delete(images.tags, "07")
	known := map[string]admission.ImageInfo{"03": {Digest: "d03", DigestSince: 5, PlatformsKnown: true}, "04": {Digest: "old", DigestSince: 5, Created: 9}}
	results, err := admission.ReadCreated(t.Context(), images, tags, known, firstScan)
	if err != nil || len(results) != len(tags) || len(images.requests()) != len(tags) {
		t.Fatalf("%d results, %v", len(results), err)
	}
	for tag, want := range map[string]admission.ImageInfo{
		"01": {Digest: "d01", DigestSince: firstScan.Unix(), Created: firstScan.Unix() - 1},
		"03": {Digest: "d03", DigestSince: 5, PlatformsKnown: true, Created: firstScan.Unix() - 1},
		"04": {Digest: "d04", DigestSince: firstScan.Unix(), DigestChanged: true, Created: firstScan.Unix() - 1},
		"07": {DigestSince: firstScan.Unix(), Created: admission.CreatedUnstated},
	} {
		NewWithT(t).Expect(results[tag]).To(BeComparableTo(want), "%s", tag)
	}
}

// TestReadCreated_ReturnsPartialResultOnError covers a failing image and a cancelled context.
func TestReadCreated_ReturnsPartialResultOnError(t *testing.T) {
	images, tags := newNumberedRegistry(40)
	images.failing = []string{"image 20"}
	results, err := admission.ReadCreated(t.Context(), images, tags, nil, firstScan)
	_, known := results["20"]
	if !errors.Is(err, errNoNet) || known || len(results) < 20 {
		t.Errorf("%d results, %v", len(results), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if results, err = admission.ReadCreated(ctx, images, tags, nil, firstScan); !errors.Is(err, context.Canceled) || len(results) > 0 {
		t.Errorf("cancelled context: %d results, %v", len(results), err)
	}
}

// TestReadCreated_ReturnsErrorOfFirstTag expects the error not to depend on the order of failures.
func TestReadCreated_ReturnsErrorOfFirstTag(t *testing.T) {
	tags := []string{"0", "1", "2", "3", "4", "5"}
	for range 50 {
		_, err := admission.ReadCreated(t.Context(), &failingImages{}, tags, nil, firstScan)
		NewWithT(t).Expect(err).To(MatchError("no 0"), "error of the first tag")
	}
}

// failingImages fails for every image, and for the first one last.
type failingImages struct {
	admission.Images
	others atomic.Int32
}

func (f *failingImages) Read(_ context.Context, reference string, _ admission.ReadOptions) (admission.ImageInfo, error) {
	if reference != "0" {
		f.others.Add(1)
	}
	for reference == "0" && f.others.Load() == 0 {
		runtime.Gosched()
	}
	return admission.ImageInfo{}, errors.New("no " + reference)
}
