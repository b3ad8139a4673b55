// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/authn"
)

// ecr imitates a private registry of Amazon ECR. Its realm and its response to an expired password
// are not published.
func ecr() Product {
	const host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
	return Product{
		Name:       "ECR",
		Host:       host,
		Repository: "team/app",
		// https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html:
		// the password is a token that is valid for 12 hours.
		Password:  authn.AuthConfig{Username: "AWS", Password: "ecr-password"},
		Referrers: true, // https://aws.amazon.com/about-aws/whats-new/2024/06/amazon-ecr-oci-image-distribution-version-1-1
		install: func(f *FakeRegistries, p Product) {
			f.add(p,
				WithReferrers(),
				func(r *Registry) {
					r.login = &basicLogin{
						username: p.Password.Username,
						password: p.Password.Password,
						body:     "Not Authorized", // mdlavin/copy-docker-image#5
					}
				},
				withPaging(paging{
					size: 100, // genuinetools/reg#206
					max:  1000,
					// renovatebot/renovate#3800; 405 is the status of this code in distribution/distribution registry/api/errcode.
					tooLarge: &errorResponse{http.StatusMethodNotAllowed, errorBody("UNSUPPORTED", "Invalid parameter at 'maxResults' failed to "+
						"satisfy constraint: 'Member must have value less than or equal to 1000'")},
					// The cursors of its API are opaque:
					// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImages.html
					encode: func(tag string) string { return base64.URLEncoding.EncodeToString([]byte(tag)) },
					decode: decodeCursor,
					link:   absoluteLink, // genuinetools/reg#206: the header contains a URL
				}),
				withBehavior(Any, SetHeader("Docker-Distribution-Api-Version", "registry/2.0")), // argoproj-labs/argocd-image-updater#216
				// https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html: the bucket with the layers.
				withBlobStore("prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com", func(hex string) string {
					return "/layers/" + hex + "?X-Amz-Signature=1"
				}),
			)
		},
	}
}

// absoluteLink writes the Link header with an absolute URL.
func absoluteLink(req *http.Request, next url.Values) string {
	return fmt.Sprintf(`<https://%s%s?%s>; rel="next"`, req.Host, req.URL.Path, next.Encode())
}
