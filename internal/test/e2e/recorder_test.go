// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/image-reflector-controller/internal/test/canary"
)

// recording writes every state of the objects of a kind to a file. It does not write Secrets, but
// reports credentials in them that the leak check does not search for.
type recording struct {
	kind    string
	file    string
	secrets *canary.Search
	drained chan struct{} // closed when the sentinel is received
	ended   chan struct{} // closed when the watch ends before

	mu   sync.Mutex
	errs []error
}

func record(list client.ObjectList, dir string, secrets *canary.Search) (*recording, error) {
	listType := reflect.TypeOf(list).Elem()
	kind := strings.ReplaceAll(listType.PkgPath(), "/", "-") + "-" + listType.Name() // there are two kinds of Events
	r := &recording{
		kind: kind, file: filepath.Join(dir, kind+".json"), secrets: secrets,
		drained: make(chan struct{}), ended: make(chan struct{}),
	}
	changes, err := suite.api.Watch(context.Background(), list)
	if err != nil {
		return nil, err
	}
	file, err := os.Create(r.file)
	if err != nil {
		return nil, err
	}
	go func() {
		defer file.Close()
		defer changes.Stop()
		for change := range changes.ResultChan() {
			if r.note(change, file) {
				close(r.drained)
				return
			}
		}
		close(r.ended)
	}()
	return r, nil
}

// note writes a state to the file, and reports whether it is the final state.
func (r *recording) note(change watch.Event, file *os.File) bool {
	obj, ok := change.Object.(client.Object)
	if !ok {
		r.fail(fmt.Errorf("the watch of %s failed: %v", r.kind, change.Object))
		return false
	}
	if obj.GetName() == sentinel {
		return true
	}
	if secret, ok := obj.(*corev1.Secret); ok {
		r.noteSecret(secret)
		return false
	}
	line, err := json.Marshal(obj)
	if err == nil {
		_, err = file.Write(append(line, '\n'))
	}
	if err != nil {
		r.fail(err)
	}
	return false
}

// credentialKeys are the keys of Secrets with confidential values.
var credentialKeys = []string{corev1.DockerConfigJsonKey, corev1.DockerConfigKey, "password", corev1.TLSPrivateKeyKey, "keyFile"}

// noteSecret reports credentials whose leak would not be found.
func (r *recording) noteSecret(secret *corev1.Secret) {
	for _, key := range credentialKeys {
		if value, found := secret.Data[key]; found && len(r.secrets.In(value)) == 0 {
			r.fail(fmt.Errorf("%s of Secret %s/%s does not contain %q or another text that the leak check searches for", key, secret.Namespace, secret.Name, secretPart))
		}
	}
}

func (r *recording) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

func (r *recording) problems() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.errs
}
