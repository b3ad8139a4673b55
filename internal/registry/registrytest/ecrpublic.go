// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// ecrPublic imitates Amazon ECR Public. The most tags of its pages, and how
// it cuts them, are not published.
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
		install: func(z *Zoo, p Product) {
			z.add(p,
				WithReferrers(),
				withTokens(&tokenLogin{
					// dependabot/dependabot-core#4212: one scope for everything; aws/containers-roadmap#2091: none is needed.
					realm:     "https://" + host + "/token/",
					service:   host,
					pingScope: "aws",
					unbound:   true,
					life:      12 * time.Hour, // the page above
					accounts:  []authn.AuthConfig{p.Password},
					anonymous: true,
					fields:    onlyToken,
					// aws/containers-roadmap#2835: not a challenge.
					invalid: &refusal{http.StatusBadRequest, errorBody("DENIED", "Your authorization token has expired. Reauthenticate and try again.")},
				}),
				withPaging(paging{}),
			)
		},
	}
}
