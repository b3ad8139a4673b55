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

package registrytest

import (
	"encoding/json"
	"net/http"
)

// refusal is an error answer with a JSON body.
type refusal struct {
	status int
	body   string
}

func (r refusal) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.status)
	_, _ = w.Write([]byte(r.body))
}

// refuse answers every request with an error.
func refuse(status int, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { refusal{status, body}.write(w) }
}

// errorBody returns the body of an error as the distribution specification has
// it.
func errorBody(code, message string) string {
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, _ := json.Marshal(map[string][]entry{"errors": {{code, message}}}) // strings always encode
	return string(body)
}
