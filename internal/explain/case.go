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

// Case is a policy, and the repository that it selects from.
type Case struct {
	Policy     *v1.ImagePolicy
	Repository *v1.ImageRepository
	// PolicyFile and RepositoryFile are where they were read from, empty for a
	// cluster.
	PolicyFile, RepositoryFile string
	// Image is that of the repository, zero where it names none.
	Image image.Name

	rule       *selection.Rule
	gates      admission.Gates
	exclusions scan.Exclusions
	// needsNoTimes says that the rule compares times which are not known.
	needsNoTimes bool
	// created has when the images were created, nil where that was not read.
	created map[string]admission.ImageInfo
}

// Live reports whether the objects were read from a cluster, which has a status.
func (c *Case) Live() bool { return c.PolicyFile == "" }

// Compile makes the rule of the policy and parses the repository. The error
// names the object, the field and the fix.
func (c *Case) Compile() error {
	rule, err := selection.Compile(&c.Policy.Spec)
	if err == nil {
		c.gates, err = admission.Compile(&c.Policy.Spec)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", title(v1.ImagePolicyKind, c.Policy.Namespace, c.Policy.Name, c.PolicyFile), err)
	}
	repo := c.Repository
	exclusions, err := scan.CompileExclusions(repo.GetExclusionList())
	if err == nil && repo.Spec.Image != "" {
		c.Image, err = image.Parse(repo.Spec.Image, repo.Spec.Insecure)
	}
	if err != nil && repo.Name == "" { // there is none in the files
		return fmt.Errorf("--image: %w", err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", title(v1.ImageRepositoryKind, repo.Namespace, repo.Name, c.RepositoryFile), err)
	}
	c.rule, c.exclusions = rule, exclusions
	return nil
}

// title names an object, and the file that holds it.
func title(kind, namespace, name, file string) string {
	if namespace != "" {
		name = namespace + "/" + name
	}
	if file == "" {
		return fmt.Sprintf("%s '%s'", kind, name)
	}
	return fmt.Sprintf("%s: %s '%s'", file, kind, name)
}

// Listing is the tags that a case is about.
type Listing struct {
	Source Source
	// Tags are those listed, and Invalid how many names were left out that no
	// tag can have.
	Tags    []string
	Invalid int
	// Unlisted is a tag that the registry has although its list lacks it, empty
	// for none.
	Unlisted string
	// Partial says that there are more.
	Partial bool
}

// NeedsConfirmation returns the tag that the registry has to be asked for, as the
// controller does before a policy moves down, empty for none.
func (c *Case) NeedsConfirmation(tags []string, now time.Time) string {
	current := c.Policy.Status.LatestRef
	if current == nil {
		return ""
	}
	scanned := c.scanned(tags, now)
	var choice *selection.Choice
	if best, found := c.rule.Select(scanned.Tags); found && !c.Policy.Spec.HasGates() { // with gates, the best need not pass
		choice = &best
	}
	if !repository.NeedsConfirmation(c.rule, c.Repository, scanned, choice, current) {
		return ""
	}
	return current.Tag
}

// scanned returns what a scan that lists these tags finds.
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
