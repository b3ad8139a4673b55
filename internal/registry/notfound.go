/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// checkFound fails unless an answer has the status 200, with notFound if the
// registry says that it does not have what was asked for.
//
// A registry says so with the status 404 and its own errors, or no body at all.
// Other servers on the way, such as an ingress whose backends are all down, say 404
// too, in text or as a page: that is a failure like any other.
func checkFound(resp *http.Response) error {
	if resp.StatusCode != http.StatusNotFound {
		return checkStatus(resp, http.StatusOK)
	}
	body, err := readAtMost(resp.Body, maxErrorBody, "error")
	if err != nil {
		return err
	}
	resp.Body = &reread{Reader: bytes.NewReader(body), Closer: resp.Body}
	err = checkStatus(resp, http.StatusOK)
	if !isRegistryError(body) {
		return err
	}
	return notFound{err}
}

// asNotFound returns the answer by which a registry says that it does not have
// what was asked for, and whether an error is one.
func asNotFound(err error) (notFound, bool) { return errors.AsType[notFound](err) }

// maxErrorBody bounds the body of an error.
const maxErrorBody = 64 << 10

// reread is a body of which a part was read already.
type reread struct {
	io.Reader
	io.Closer
}

// isRegistryError reports whether the body of an error is one that a registry
// sends: errors as the distribution specification has them, or nothing.
func isRegistryError(body []byte) bool {
	if len(bytes.TrimSpace(body)) == 0 {
		return true
	}
	var answer struct {
		Errors []struct {
			Code string `json:"code"`
		} `json:"errors"`
	}
	err := json.Unmarshal(body, &answer)
	return err == nil && len(answer.Errors) > 0 && answer.Errors[0].Code != ""
}
