// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
)

// serveTags responds with a page of a tag list. The backend supports n and last, but sends no Link
// to the next page.
func (r *Registry) serveTags(w http.ResponseWriter, req *http.Request) {
	unpaged := req.Clone(req.Context())
	unpaged.URL.RawQuery = ""
	recorder := httptest.NewRecorder()
	r.backend.ServeHTTP(recorder, unpaged)
	var list struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}
	if recorder.Code != http.StatusOK || json.Unmarshal(recorder.Body.Bytes(), &list) != nil {
		replay(w, recorder)
		return
	}
	query := req.URL.Query()
	if r.paging.unpaged {
		query = nil
	}
	size, rejection := r.paging.pageSize(query.Get("n"))
	if rejection != nil {
		rejection.write(w)
		return
	}
	tags, more := cutPage(list.Tags, r.paging.last(query), size)
	if r.paging.zeroIsEmpty && query.Get("n") == "0" {
		tags, more = []string{}, false
	}
	if more || r.paging.linkAlways && len(tags) > 0 {
		w.Header().Set("Link", r.paging.next(req, tags[len(tags)-1], size))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(r.paging.document(r, list.Name, tags))
}

// cutPage returns at most size of the sorted tags after last, and whether more follow.
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
