// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/explain/terminal"
)

// head prints the fields that come before the tables.
func (p *page) head(r *explain.Result) {
	p.field("Policy", object(r.Policy.Namespace, r.Policy.Name, r.Policy.File)+suspended(r.Policy.Suspended))
	if r.Repository.Name != "" {
		p.field("Repository", object(r.Repository.Namespace, r.Repository.Name, r.Repository.File)+suspended(r.Repository.Suspended))
	}
	if r.Repository.Image != "" {
		p.field("Image", p.image(r.Repository))
	}
	p.field("Rule", terminal.Clean(r.Rule))
	if r.Gates != nil {
		p.field("Gates", terminal.Clean(gates(r.Gates)))
	}
	if r.Repository.LastScan != nil {
		p.field("Last scan", p.scan(r.Repository.LastScan))
	}
	p.field("Tags", counts(r.Tags))
	p.field("Selected", p.selected(r))
	if r.Policy.Agrees != nil || r.Policy.LatestRef != nil {
		p.field("Status", p.status(r))
	}
}

func object(namespace, name, file string) string {
	if namespace != "" {
		name = namespace + "/" + name
	}
	if file != "" {
		name += " in " + file
	}
	return terminal.Clean(name)
}

func suspended(is bool) string {
	if is {
		return " (suspended)"
	}
	return ""
}

func (p *page) image(repo explain.Repository) string {
	text := repo.Image
	if p.wide && repo.CanonicalName != repo.Image {
		text += ", which is " + repo.CanonicalName
	}
	return terminal.Clean(text)
}

func (p *page) scan(last *explain.LastScan) string {
	text := last.Age + " ago"
	if p.wide {
		text += " (" + last.Time.Format(time.RFC3339) + ")"
	}
	text += fmt.Sprintf(", %s, revision %s", plural(last.TagCount, "tag"), p.short(last.Revision))
	if last.Due != "" {
		text += "; a scan is due: " + last.Due
	} else {
		text += "; the next one is due in " + last.NextIn
	}
	return terminal.Clean(text)
}

// sources say where tags are from.
var sources = map[explain.Source]string{
	explain.FromRegistry: "in the registry",
	explain.FromStatus:   "in the status",
	explain.FromList:     "in the list",
}

func counts(tags explain.Tags) string {
	candidates := plural(tags.Candidates+tags.Unranked, "candidate")
	if tags.Unranked > 0 {
		candidates += fmt.Sprintf(" (%d of unknown rank)", tags.Unranked)
	}
	text := fmt.Sprintf("%d %s: %s, %d rejected, %d excluded", tags.Listed, sources[tags.Source], candidates, tags.Rejected, tags.Excluded)
	if !tags.Complete {
		text += "; there are more"
	}
	if tags.Invalid > 0 {
		text += fmt.Sprintf("; and %s that no tag can have", plural(tags.Invalid, "name"))
	}
	return text
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (p *page) selected(r *explain.Result) string {
	if r.Selected == nil {
		return p.style.Paint(terminal.Yellow, "nothing")
	}
	text := p.style.Paint(terminal.Green, terminal.Clean(r.Selected.Tag))
	if r.Selected.Digest != "" {
		text += " " + p.short(r.Selected.Digest)
	}
	if v := r.Selected.Verdict; v == explain.Unjudged || v == explain.Unknown {
		text += ", if it passes the gates"
	}
	return text
}

// status tells the image of the status: as much of it as differs from what is
// known already.
func (p *page) status(r *explain.Result) string {
	ref := r.Policy.LatestRef
	if ref == nil {
		return "no image yet"
	}
	text := ref.Tag
	if ref.Name != r.Repository.Image {
		text = ref.Name + ":" + text
	}
	if ref.Digest != "" {
		text += " " + p.short(ref.Digest)
	}
	switch agrees := r.Policy.Agrees; {
	case agrees == nil:
	case *agrees:
		text += ", as selected"
	default:
		text += ", which differs"
	}
	return terminal.Clean(text)
}

// short shortens a digest, unless there is room.
func (p *page) short(digest string) string {
	const length = len("sha256:") + 12
	if p.wide || len(digest) <= length || !strings.HasPrefix(digest, "sha256:") {
		return terminal.Clean(digest)
	}
	return terminal.Clean(digest[:length])
}

// gates tells what images have to pass.
func gates(g *explain.Gates) string {
	var all []string
	if g.MinimumAge != "" {
		all = append(all, "at least "+g.MinimumAge+" old")
	}
	if len(g.Platforms) > 0 {
		all = append(all, "for "+strings.Join(g.Platforms, ", "))
	}
	if g.Verify != "" {
		all = append(all, "signed "+g.Verify)
	}
	return strings.Join(all, "; ")
}
