// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/terminal"
)

// head prints the fields before the tables.
func (p *tableWriter) head(r *explain.Result) {
	repo := r.Repository
	p.field("Policy", object(r.Policy.Namespace, r.Policy.Name, r.Policy.File, r.Policy.Suspended))
	if repo.Name != "" {
		p.field("Repository", object(repo.Namespace, repo.Name, repo.File, repo.Suspended))
	}
	p.field("Image", p.image(repo))
	p.field("Rule", r.Rule)
	p.field("Gates", gates(r.Gates))
	p.field("Last scan", p.scan(repo.LastScan))
	p.field("Tags", tagCounts(r.Tags))
	p.painted("Selected", p.selected(r))
	p.field("Status", p.status(r))
}

func object(namespace, name, file string, suspended bool) string {
	if namespace != "" {
		name = namespace + "/" + name
	}
	if file != "" {
		name += " in " + file
	}
	if suspended {
		name += " (suspended)"
	}
	return name
}

func (p *tableWriter) image(repo explain.Repository) string {
	if p.wide && repo.CanonicalName != repo.Image {
		return repo.Image + ", which is " + repo.CanonicalName
	}
	return repo.Image
}

func (p *tableWriter) scan(last *explain.LastScan) string {
	if last == nil {
		return ""
	}
	line := last.Age + " ago"
	if p.wide {
		line += " (" + last.Time.Format(time.RFC3339) + ")"
	}
	line += fmt.Sprintf(", %s, revision %s", explain.Plural(last.TagCount, "tag"), p.short(last.Revision))
	if last.Due != "" {
		return line + "; a scan is due: " + last.Due
	}
	return line + "; the next one is due in " + last.NextIn
}

// sources are texts for the sources of tags.
var sources = map[explain.Source]string{
	explain.FromRegistry: "in the registry",
	explain.FromStatus:   "in the status",
	explain.FromList:     "in the list",
}

func tagCounts(tags explain.Tags) string {
	candidates := explain.Plural(tags.Candidates+tags.Unranked, "candidate")
	if tags.Unranked > 0 {
		candidates += fmt.Sprintf(" (%d of unknown rank)", tags.Unranked)
	}
	text := fmt.Sprintf("%d %s: %s, %d rejected, %d excluded", tags.Listed, sources[tags.Source], candidates, tags.Rejected, tags.Excluded)
	if !tags.Complete {
		text += "; there are more"
	}
	if tags.Invalid > 0 {
		text += fmt.Sprintf("; and %s that no tag can have", explain.Plural(tags.Invalid, "name"))
	}
	return text
}

func (p *tableWriter) selected(r *explain.Result) string {
	if r.Selected == nil {
		return p.style.Paint(text.FgYellow, "nothing")
	}
	line := p.style.Paint(text.FgGreen, terminal.Clean(r.Selected.Tag))
	if r.Selected.Digest != "" {
		line += " " + terminal.Clean(p.short(r.Selected.Digest))
	}
	if v := r.Selected.Verdict; v == explain.NotEvaluated || v == explain.Unknown {
		line += ", if it passes the gates"
	}
	return line
}

// status describes the image in the status, without its name if that is the repository's.
func (p *tableWriter) status(r *explain.Result) string {
	ref := r.Policy.LatestRef
	switch {
	case ref == nil && r.Policy.Agrees == nil:
		return ""
	case ref == nil:
		return "no image yet"
	}
	line := ref.Tag
	if ref.Name != r.Repository.Image {
		line = ref.Name + ":" + line
	}
	if ref.Digest != "" {
		line += " " + p.short(ref.Digest)
	}
	switch agrees := r.Policy.Agrees; {
	case agrees == nil:
		return line
	case *agrees:
		return line + ", as selected"
	default:
		return line + ", which differs"
	}
}

// digest matches a digest; its group is the part that is shown.
var digest = regexp.MustCompile(`(sha256:[0-9a-f]{12})[0-9a-f]{52}`)

// short truncates the digests in a text, unless the format is wide.
func (p *tableWriter) short(text string) string {
	if p.wide {
		return text
	}
	return digest.ReplaceAllString(text, "$1")
}

// gates describes the gates of a policy.
func gates(g *explain.Gates) string {
	if g == nil {
		return ""
	}
	var parts []string
	if g.MinimumAge != "" {
		parts = append(parts, "at least "+g.MinimumAge+" old")
	}
	if len(g.Platforms) > 0 {
		parts = append(parts, "for "+strings.Join(g.Platforms, ", "))
	}
	switch {
	case len(g.Attestations) > 0:
		parts = append(parts, "with attestations of "+strings.Join(g.Attestations, ", ")+", signed "+g.Verify)
	case g.Verify != "":
		parts = append(parts, "signed "+g.Verify)
	}
	return strings.Join(parts, "; ")
}
