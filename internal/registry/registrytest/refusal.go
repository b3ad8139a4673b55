// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"encoding/json"
	"net/http"
)

// errorResponse is an error response with a JSON body.
type errorResponse struct {
	status int
	body   string
}

func (r errorResponse) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.status)
	_, _ = w.Write([]byte(r.body))
}

// errorBody returns the body of an error in the form of the distribution specification.
func errorBody(code, message string) string {
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, _ := json.Marshal(map[string][]entry{"errors": {{code, message}}}) // strings always encode
	return string(body)
}
