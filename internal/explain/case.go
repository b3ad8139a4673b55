// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"iter"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/repository"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// Case is a policy and the repository whose tags it selects.
type Case struct {
	Policy     *v1.ImagePolicy
	Repository *v1.ImageRepository
	// PolicyFile and RepositoryFile are the files of the objects; empty if read from a cluster.
	PolicyFile, RepositoryFile string
	// Image is the image of the repository; zero if it has none.
	Image image.Name

	rule       *selection.Rule
	gates      admission.Gates
	exclusions scan.Exclusions
	// timesUnknown is set if the rule compares times that were not read.
	timesUnknown bool
	// created has the creation times of the images, by tag; nil if they were not read.
	created map[string]admission.ImageInfo
}

// Live reports whether the objects were read from a cluster, and so have a status.
func (c *Case) Live() bool { return c.PolicyFile == "" }

// Compile compiles the rule and the gates of the policy, and parses the repository. Errors name
// the object, the field and the fix.
func (c *Case) Compile() error {
	rule, err := selection.Compile(&c.Policy.Spec)
	if err == nil {
		c.gates, err = admission.Compile(&c.Policy.Spec)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", objectTitle(v1.ImagePolicyKind, c.Policy.Namespace, c.Policy.Name, c.PolicyFile), err)
	}
	repo := c.Repository
	exclusions, err := scan.CompileExclusions(repo.GetExclusionList())
	if err == nil && repo.Spec.Image != "" {
		c.Image, err = image.Parse(repo.Spec.Image, repo.Spec.Insecure)
	}
	if err != nil && repo.Name == "" { // the files contain no ImageRepository
		return fmt.Errorf("--image: %w", err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", objectTitle(v1.ImageRepositoryKind, repo.Namespace, repo.Name, c.RepositoryFile), err)
	}
	c.rule, c.exclusions = rule, exclusions
	return nil
}

// objectTitle returns the kind and name of an object, and its file.
func objectTitle(kind, namespace, name, file string) string {
	if namespace != "" {
		name = namespace + "/" + name
	}
	if file == "" {
		return fmt.Sprintf("%s '%s'", kind, name)
	}
	return fmt.Sprintf("%s: %s '%s'", file, kind, name)
}

// Listing is a list of tags and its source.
type Listing struct {
	Source Source
	// Tags are the listed tags; Invalid is the number of names left out because they are not
	// valid tags.
	Tags    []string
	Invalid int
	// Unlisted is a tag that exists in the registry although its list lacks it; may be empty.
	Unlisted string
	// Partial is set if there are more tags.
	Partial bool
}

// NeedsConfirmation returns the tag whose absence from the list has to be confirmed by the
// registry, as the controller does before it selects a lower tag; empty if there is none.
func (c *Case) NeedsConfirmation(tags []string, now time.Time) string {
	current := c.Policy.Status.LatestRef
	if current == nil {
		return ""
	}
	scanned := c.scanned(tags, now)
	var choice *selection.Choice
	if best, found := c.rule.Select(scanned.Tags); found && !c.Policy.Spec.HasGates() { // with gates, the best candidate may not pass
		choice = &best
	}
	if !repository.NeedsConfirmation(c.rule, c.Repository, scanned, choice, current) {
		return ""
	}
	return current.Tag
}

// scanned returns the snapshot of a scan that lists tags.
func (c *Case) scanned(tags []string, now time.Time) scan.Snapshot {
	return scan.Next(scan.Snapshot{}, c.Repository.Spec.Image, c.exclusions.AppendRemaining(nil, tags), now)
}

// Ranking returns the candidates, best first.
func (c *Case) Ranking(l Listing) iter.Seq[selection.Choice] {
	considered := c.exclusions.AppendRemaining(nil, l.Tags)
	if l.Unlisted != "" {
		considered = append(considered, l.Unlisted)
	}
	return c.rule.Ranking(considered)
}
