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
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
)

// serveTags answers with a page of a tag list. The backend cuts a list too,
// but names no next page.
func (r *Registry) serveTags(w http.ResponseWriter, req *http.Request) {
	whole := req.Clone(req.Context())
	whole.URL.RawQuery = ""
	recorder := httptest.NewRecorder()
	r.backend.ServeHTTP(recorder, whole)
	var list struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}
	if recorder.Code != http.StatusOK || json.Unmarshal(recorder.Body.Bytes(), &list) != nil {
		replay(w, recorder)
		return
	}
	query := req.URL.Query()
	size, more := r.pageSize(query.Get("n")), false
	list.Tags, more = cutPage(list.Tags, query.Get("last"), size)
	if more {
		next := url.Values{"last": {list.Tags[len(list.Tags)-1]}, "n": {strconv.Itoa(size)}}
		w.Header().Set("Link", fmt.Sprintf(`<%s?%s>; rel="next"`, req.URL.Path, next.Encode()))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list)
}

// pageSize returns how many tags a page has where n are asked for, 0 for all.
func (r *Registry) pageSize(n string) int {
	size, err := strconv.Atoi(n)
	if err != nil || size < 0 {
		size = 0
	}
	if r.maxPage > 0 && (size == 0 || size > r.maxPage) {
		return r.maxPage
	}
	return size
}

// cutPage returns at most size of the sorted tags after last, and whether
// there are more.
func cutPage(tags []string, last string, size int) ([]string, bool) {
	start, found := slices.BinarySearch(tags, last)
	if found {
		start++
	}
	tags = tags[start:]
	if size == 0 || len(tags) <= size {
		return tags, false
	}
	return tags[:size], true
}
