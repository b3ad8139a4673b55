// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// Manifest is a manifest or an index.
type Manifest struct {
	// MediaType is the mediaType of the manifest, or else the Content-Type.
	MediaType string
	// Digest is the digest of Bytes, "sha256:…".
	Digest string
	// Bytes is the manifest. It is JSON of schema version 2.
	Bytes []byte
}

// Manifest returns the manifest, or the index, at a tag or a digest. It verifies the
// digest of the bytes against the requested one and the one in the response's header. It
// fails with an *Error, which is ErrNotFound if the registry has no such manifest.
func (r *Repository) Manifest(ctx context.Context, reference string) (Manifest, error) {
	op := operation{verb: opManifest, tag: reference}
	if image.IsDigest(reference) {
		op.tag, op.digest = "", reference
	}
	return run(ctx, r, op, func(ctx context.Context, r *reader) (Manifest, error) { return r.getManifest(ctx, reference) })
}

// Blob returns the blob with a digest, which it verifies. The blob must not exceed limit
// bytes, nor the Client's limit for bodies. It fails with an *Error, which is ErrNotFound
// if the registry has no such blob.
func (r *Repository) Blob(ctx context.Context, digest string, limit int64) ([]byte, error) {
	op := operation{verb: opBlob, digest: digest}
	return run(ctx, r, op, func(ctx context.Context, r *reader) ([]byte, error) { return r.blob(ctx, digest, limit) })
}

// errOtherDigest is the error about bytes that do not have the requested digest.
const errOtherDigest = transport.ProtocolError("its response does not have the digest that was requested")

// getManifest fetches the manifest of a tag or a digest. The digest of its bytes must
// be the one in the header of the response, if there is one.
func (r *reader) getManifest(ctx context.Context, reference string) (Manifest, error) {
	resp, err := r.requestManifest(ctx, http.MethodGet, reference)
	if err != nil {
		return Manifest{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := checkFound(resp); err != nil {
		return Manifest{}, err
	}
	body, err := r.read(ctx, resp, r.limits.ManifestBytes, "manifest")
	if err != nil {
		return Manifest{}, err
	}
	parsed, err := parseManifest(body)
	if err != nil {
		return Manifest{}, err
	}
	m := Manifest{MediaType: cmp.Or(parsed.MediaType, contentType(resp)), Digest: digestOf(body), Bytes: body}
	if digest := headerDigest(resp.Header); digest != "" && digest != m.Digest {
		return Manifest{}, transport.ProtocolError("the digest in its header is not the digest of the manifest that it sent")
	}
	if image.IsDigest(reference) && m.Digest != reference {
		return Manifest{}, errOtherDigest
	}
	// Some clients would interpret it as a manifest and others as an index, because the
	// digest does not cover the Content-Type.
	if parsed.Manifests != nil && (parsed.Config != nil || parsed.Layers != nil) {
		return Manifest{}, transport.ProtocolError("it sent a manifest that is an image and an index at the same time")
	}
	return m, nil
}

// contentType returns the media type in a response's header, "" if there is no valid
// one.
func contentType(resp *http.Response) string {
	mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return mediaType
}

// blob fetches a blob. Registries often redirect to a blob store on another host, to
// which no credentials are sent.
func (r *reader) blob(ctx context.Context, digest string, limit int64) ([]byte, error) {
	if !image.IsDigest(digest) {
		return nil, transport.ProtocolError("the digest is not a valid one")
	}
	resp, err := r.do(ctx, http.MethodGet, r.url("blobs/"+digest), "*/*")
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := checkFound(resp); err != nil {
		return nil, err
	}
	body, err := r.read(ctx, resp, limit, "blob")
	if err != nil {
		return nil, err
	}
	if digestOf(body) != digest {
		return nil, errOtherDigest
	}
	return body, nil
}

// read reads a body of at most limit bytes, within the budget of large operations. kind
// names the body in errors.
func (r *reader) read(ctx context.Context, resp *http.Response, limit int64, kind string) ([]byte, error) {
	budget := readBudget{ctx: ctx, large: r.large}
	defer budget.release()
	return readAtMost(budget.reader(resp.Body), limit, kind)
}

// readAtMost reads a body, and fails if it has more than limit bytes.
func readAtMost(body io.Reader, limit int64, kind string) ([]byte, error) {
	read, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(read)) > limit {
		return nil, transport.ProtocolErrorf("the %s has more than the %d bytes that are read", kind, limit)
	}
	return read, nil
}

// digestOf returns the digest of bytes.
func digestOf(b []byte) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256(b))
}
