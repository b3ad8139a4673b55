// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// distributionHabits are what all versions of Distribution do. A test of
// internal/registry/integration compares them with the real servers.
// contentType is that of JSON.
func distributionHabits(contentType string) Option {
	return func(r *Registry) {
		for _, opt := range []Option{
			// distribution/distribution registry/handlers/app.go
			withRefusals(distributionUnauthorized),
			withHabit(Ping, Body(contentType, "{}")),
			withHabit(Blob, SetHeader("Content-Type", "application/octet-stream")),
			withHabit(Any, distributionErrors),
			// distribution/distribution registry/handlers/manifests.go
			withManifestHabit(needsAccept(string(types.OCIManifestSchema1), ociRefused)),
			withManifestHabit(needsAccept(string(types.OCIImageIndex), ociRefused)),
			withManifestHabit(etag),
			withoutRoutes(notInDistribution),
			withFinish(edit(func(recorder *httptest.ResponseRecorder) {
				recorder.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
				if strings.HasPrefix(recorder.Header().Get("Content-Type"), "application/json") {
					recorder.Header().Set("Content-Type", contentType)
				}
			})),
		} {
			opt(r)
		}
	}
}

// ociRefused is the message to those who do not accept what there is.
const ociRefused = "the header Accept has not the type of this OCI manifest"

// withManifestHabit changes the answers to HEAD and to GET of manifests.
func withManifestHabit(habit Fault) Option {
	return func(r *Registry) {
		withHabit(ManifestHead, habit)(r)
		withHabit(ManifestGet, habit)(r)
	}
}

// repositoryName matches the names that Distribution routes.
//
// Source: distribution/reference regexp.go
var repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

// notInDistribution reports whether Distribution has no route for a request:
// for referrers, and for names that are invalid.
//
// Source: distribution/distribution registry/api/v2/descriptors.go, #3859
func notInDistribution(req *http.Request) bool {
	kind := kindOf(req)
	return kind == Referrers || kind != Ping && !repositoryName.MatchString(repositoryOf(req))
}

// distributionUnauthorized returns the body of an answer with status 401.
//
// Source: distribution/distribution registry/handlers/app.go
func distributionUnauthorized(req *http.Request) string {
	type access struct{ Type, Class, Name, Action string }
	if repo := repositoryOf(req); repo != "" {
		return detailedError("UNAUTHORIZED", "authentication required", []access{{"repository", "", repo, "pull"}})
	}
	return detailedError("UNAUTHORIZED", "authentication required", nil)
}

// distributionErrors gives answers with status 404 the codes of Distribution,
// which looks for a manifest without looking for its repository.
//
// Source: distribution/distribution registry/handlers/{tags,manifests,blob}.go
func distributionErrors(w http.ResponseWriter, req *http.Request, next http.Handler) {
	edit(func(recorder *httptest.ResponseRecorder) {
		if recorder.Code != http.StatusNotFound {
			return
		}
		detail := map[string]string{"name": repositoryOf(req)}
		body := detailedError("MANIFEST_UNKNOWN", "manifest unknown", detail)
		switch kindOf(req) {
		case Tags:
			body = detailedError("NAME_UNKNOWN", "repository name not known to registry", detail)
		case Blob:
			body = detailedError("BLOB_UNKNOWN", "blob unknown to registry", detail)
		}
		rewrite(recorder, http.StatusNotFound, "application/json", body)
	})(w, req, next)
}

// accepts reports whether a request names a media type in its header Accept.
func accepts(req *http.Request, mediaType string) bool {
	for element := range strings.SplitSeq(strings.Join(req.Header.Values("Accept"), ","), ",") {
		if element, _, _ = strings.Cut(element, ";"); strings.TrimSpace(element) == mediaType {
			return true
		}
	}
	return false
}

// rewrite replaces an answer that was recorded.
func rewrite(recorder *httptest.ResponseRecorder, status int, contentType, body string) {
	recorder.Code = status
	recorder.Body.Reset()
	_, _ = recorder.Body.WriteString(body)
	for _, name := range []string{"Content-Length", "Docker-Content-Digest"} {
		recorder.Header().Del(name)
	}
	recorder.Header().Set("Content-Type", contentType)
}

// detailedError returns the body of an error with details.
func detailedError(code, message string, detail any) string {
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Detail  any    `json:"detail"`
	}
	body, _ := json.Marshal(map[string][]entry{"errors": {{code, message, detail}}}) // details are strings, which always encode
	return string(body)
}
