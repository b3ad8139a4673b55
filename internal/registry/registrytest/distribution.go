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

// distributionBehavior is the behavior of all versions of Distribution. A test of
// internal/registry/integration compares it with the real servers. contentType is the Content-Type
// of JSON.
func distributionBehavior(contentType string) Option {
	return func(r *Registry) {
		for _, opt := range []Option{
			// distribution/distribution registry/handlers/app.go
			withUnauthorizedBody(distributionUnauthorized),
			withBehavior(Ping, Body(contentType, "{}")),
			withBehavior(Blob, SetHeader("Content-Type", "application/octet-stream")),
			withBehavior(Any, distributionErrors),
			// distribution/distribution registry/handlers/manifests.go
			withManifestBehavior(needsAccept(string(types.OCIManifestSchema1), ociRejected)),
			withManifestBehavior(needsAccept(string(types.OCIImageIndex), ociRejected)),
			withManifestBehavior(etag),
			withoutRoutes(notInDistribution),
			withResponseEdit(edit(func(recorder *httptest.ResponseRecorder) {
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

// ociRejected is the error message if the client doesn't accept an OCI manifest.
const ociRejected = "the Accept header lacks the media type of this OCI manifest"

// withManifestBehavior changes the responses to HEAD and GET of manifests.
func withManifestBehavior(behavior Fault) Option {
	return func(r *Registry) {
		withBehavior(ManifestHead, behavior)(r)
		withBehavior(ManifestGet, behavior)(r)
	}
}

// repositoryName matches the repository names that Distribution routes.
//
// Source: distribution/reference regexp.go
var repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

// notInDistribution reports whether Distribution has no route for a request: for referrers, and
// for invalid names.
//
// Source: distribution/distribution registry/api/v2/descriptors.go, #3859
func notInDistribution(req *http.Request) bool {
	kind := kindOf(req)
	return kind == Referrers || kind != Ping && !repositoryName.MatchString(repositoryOf(req))
}

// distributionUnauthorized returns the body of a response with status 401.
//
// Source: distribution/distribution registry/handlers/app.go
func distributionUnauthorized(req *http.Request) string {
	type access struct{ Type, Class, Name, Action string }
	if repo := repositoryOf(req); repo != "" {
		return detailedError("UNAUTHORIZED", "authentication required", []access{{"repository", "", repo, "pull"}})
	}
	return detailedError("UNAUTHORIZED", "authentication required", nil)
}

// distributionErrors sets the error codes of responses with status 404. Distribution looks up a
// manifest without checking that its repository exists.
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

// accepts reports whether the Accept header of a request contains a media type.
func accepts(req *http.Request, mediaType string) bool {
	for element := range strings.SplitSeq(strings.Join(req.Header.Values("Accept"), ","), ",") {
		if element, _, _ = strings.Cut(element, ";"); strings.TrimSpace(element) == mediaType {
			return true
		}
	}
	return false
}

// rewrite replaces a recorded response.
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
	body, _ := json.Marshal(map[string][]entry{"errors": {{code, message, detail}}}) // details consist of strings, so encoding can't fail
	return string(body)
}
