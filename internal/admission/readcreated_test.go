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

// numbered returns n tags with an image each.
func numbered(n int) (*fake, []string) {
	images, tags := newFake(), make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprintf("%02d", i)
		images.push(tags[i], "d"+tags[i], good)
	}
	return images, tags
}

// TestReadCreated_KeepsInfoOfUnchangedImages reads each image once, at the tag that it is listed under.
func TestReadCreated_KeepsInfoOfUnchangedImages(t *testing.T) {
	images, tags := numbered(20)
	delete(images.tags, "07")
	known := map[string]admission.ImageInfo{"03": {Digest: "d03", DigestSince: 5, PlatformsKnown: true}, "04": {Digest: "old", DigestSince: 5, Created: 9}}
	learned, err := admission.ReadCreated(t.Context(), images, tags, known, began)
	if err != nil || len(learned) != len(tags) || len(images.requests()) != len(tags) {
		t.Fatalf("%d are known, %v", len(learned), err)
	}
	for tag, want := range map[string]admission.ImageInfo{
		"01": {Digest: "d01", DigestSince: began.Unix(), Created: began.Unix() - 1},
		"03": {Digest: "d03", DigestSince: 5, PlatformsKnown: true, Created: began.Unix() - 1},
		"04": {Digest: "d04", DigestSince: began.Unix(), DigestChanged: true, Created: began.Unix() - 1},
		"07": {DigestSince: began.Unix(), Created: admission.CreatedUnsaid},
	} {
		NewWithT(t).Expect(learned[tag]).To(BeComparableTo(want), "%s", tag)
	}
}

// TestReadCreated_ReturnsPartialResultOnError, also where the context ends.
func TestReadCreated_ReturnsPartialResultOnError(t *testing.T) {
	images, tags := numbered(40)
	images.failing = []string{"image 20"}
	learned, err := admission.ReadCreated(t.Context(), images, tags, nil, began)
	_, known := learned["20"]
	if !errors.Is(err, errNoNet) || known || len(learned) < 20 {
		t.Errorf("%d are known, %v", len(learned), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if learned, err = admission.ReadCreated(ctx, images, tags, nil, began); !errors.Is(err, context.Canceled) || len(learned) > 0 {
		t.Errorf("of a context that ended: %d are known, %v", len(learned), err)
	}
}

// TestReadCreated_ReturnsErrorOfFirstTag: the one about the first tag, whatever fails first in time.
func TestReadCreated_ReturnsErrorOfFirstTag(t *testing.T) {
	tags := []string{"0", "1", "2", "3", "4", "5"}
	for range 50 {
		_, err := admission.ReadCreated(t.Context(), &failingImages{}, tags, nil, began)
		NewWithT(t).Expect(err).To(MatchError("no 0"), "want the error about the first one")
	}
}

// failingImages fails for every image, for the first one last.
type failingImages struct {
	admission.Images
	others atomic.Int32
}

func (f *failingImages) Read(_ context.Context, reference string, _ admission.Wants) (admission.ImageInfo, error) {
	if reference != "0" {
		f.others.Add(1)
	}
	for reference == "0" && f.others.Load() == 0 {
		runtime.Gosched()
	}
	return admission.ImageInfo{}, errors.New("no " + reference)
}
