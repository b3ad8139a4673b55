// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// ecrPublic imitates Amazon ECR Public. Its maximum page size and its paging are not published.
func ecrPublic() Product {
	const host = "public.ecr.aws"
	return Product{
		Name:       "ECR Public",
		Host:       host,
		Repository: "docker/library/nginx",
		Anonymous:  true,
		// https://docs.aws.amazon.com/AmazonECR/latest/public/public-registry-auth.html
		Password: authn.AuthConfig{Username: "AWS", Password: "ecr-public-password"},
		// https://aws.amazon.com/about-aws/whats-new/2024/06/amazon-ecr-oci-image-distribution-version-1-1
		Referrers: true,
		install: func(f *FakeRegistries, p Product) {
			f.add(p,
				WithReferrers(),
				withTokens(&tokenLogin{
					// dependabot/dependabot-core#4212: one scope for all repositories
					// aws/containers-roadmap#2091: it is optional
					realm:     "https://" + host + "/token/",
					service:   host,
					pingScope: "aws",
					unbound:   true,
					lifetime:  12 * time.Hour, // see the URL above
					accounts:  []authn.AuthConfig{p.Password},
					anonymous: true,
					fields:    onlyToken,
					// aws/containers-roadmap#2835: not a challenge.
					invalid: &errorResponse{
						http.StatusBadRequest, errorBody("DENIED", "Your authorization token has expired. Reauthenticate and try again."),
					},
				}),
				withPaging(paging{}),
			)
		},
	}
}
