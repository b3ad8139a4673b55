// SPDX-License-Identifier: Apache-2.0

package admission_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
)

// TestReadCreated reads the times of images, at the tag that they are listed under.
func TestReadCreated(t *testing.T) {
	asker := newFake()
	var tags []string
	for i := range 20 {
		tag := fmt.Sprint(i)
		tags = append(tags, tag)
		asker.push(tag, "d"+tag, good)
	}
	delete(asker.tags, "7")
	known := map[string]admission.Fact{"3": {Digest: "d3", Seen: 5, Read: true}, "4": {Digest: "old", Seen: 5, Created: 9}}
	learned, err := admission.ReadCreated(t.Context(), asker, tags, known, began)
	if err != nil || len(learned) != len(tags) {
		t.Fatalf("%d are known, %v", len(learned), err)
	}
	for tag, want := range map[string]admission.Fact{
		"1": {Digest: "d1", Seen: began.Unix(), Created: began.Unix() - 1},
		"3": {Digest: "d3", Seen: 5, Read: true, Created: began.Unix() - 1},
		"4": {Digest: "d4", Seen: began.Unix(), Moved: true, Created: began.Unix() - 1},
		"7": {Seen: began.Unix(), Created: admission.CreatedUnsaid},
	} {
		if diff := cmp.Diff(want, learned[tag]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tag, diff)
		}
	}
	if got := len(asker.requests()); got != len(tags) {
		t.Errorf("%d requests", got)
	}
}

// TestReadCreatedIsGoneOnWith: what was read before a failure is known.
func TestReadCreatedIsGoneOnWith(t *testing.T) {
	asker := newFake()
	var tags []string
	for i := range 40 {
		tag := fmt.Sprintf("%02d", i)
		tags = append(tags, tag)
		asker.push(tag, "d"+tag, good)
	}
	asker.failing = []string{"image 20"}
	learned, err := admission.ReadCreated(t.Context(), asker, tags, nil, began)
	if !errors.Is(err, errNoNet) {
		t.Fatal(err)
	}
	if _, known := learned["20"]; known || len(learned) < 16 {
		t.Errorf("%d are known", len(learned))
	}
	asker.requests()
	asker.failing = nil
	rest := slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { _, known := learned[tag]; return known })
	more, err := admission.ReadCreated(t.Context(), asker, rest, nil, began)
	if err != nil || len(more)+len(learned) != len(tags) {
		t.Errorf("%d and %d are known, %v", len(learned), len(more), err)
	}
}

// TestReadCreatedFailsWithOneError: of all that fails at the same time it tells the
// same, whatever comes to its end first.
func TestReadCreatedFailsWithOneError(t *testing.T) {
	tags := []string{"0", "1", "2", "3", "4", "5"}
	for range 50 {
		_, err := admission.ReadCreated(t.Context(), &failingImages{}, tags, nil, began)
		if err == nil || err.Error() != "no 0" {
			t.Fatalf("got %v, want the error about the first one", err)
		}
	}
}

// failingImages can't tell of any image, and says so of the first one last.
type failingImages struct {
	admission.Images
	others atomic.Int32
}

func (f *failingImages) Read(_ context.Context, reference string, _ admission.Wants) (admission.Fact, error) {
	if reference != "0" {
		f.others.Add(1)
	}
	for reference == "0" && f.others.Load() == 0 {
		runtime.Gosched()
	}
	return admission.Fact{}, errors.New("no " + reference)
}
