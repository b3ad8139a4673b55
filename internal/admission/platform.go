// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"cmp"
	"slices"
	"strings"
)

// Platform returns the one spelling of a platform, such as "linux/arm64" for
// "linux/arm64/v8", after the normalisation of containerd, and "" where os or
// architecture is missing or unknown, as it is for attestations, or where a part
// has characters that no name of a platform has.
func Platform(os, architecture, variant string) string {
	if !isName(os) || !isName(architecture) || !isName(variant) {
		return ""
	}
	os, architecture, variant = strings.ToLower(os), strings.ToLower(architecture), strings.ToLower(variant)
	if os == "" || architecture == "" || os == "unknown" || architecture == "unknown" {
		return ""
	}
	if os == "macos" {
		os = "darwin"
	}
	architecture, variant = machine(architecture, variant)
	return strings.TrimSuffix(os+"/"+architecture+"/"+variant, "/")
}

// isName reports whether something may be a part of a platform's name, or none.
func isName(s string) bool {
	return len(s) <= maxName && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == ""
}

// maxName is how long such a part may be. The longest in use have about ten letters.
const maxName = 32

// machine returns the one spelling of an architecture and its variant. The
// variant that an architecture has by itself is left out, but for that of arm.
func machine(architecture, variant string) (string, string) {
	switch architecture {
	case "i386", "i486", "i586", "i686":
		return "386", ""
	case "x86_64", "x86-64", "amd64":
		return "amd64", unless("v1", numbered(variant))
	case "aarch64", "arm64":
		return "arm64", unless("v8", whole(numbered(variant)))
	case "armhf":
		return "arm", "v7"
	case "armel":
		return "arm", "v6"
	case "arm":
		return "arm", cmp.Or(numbered(variant), "v7")
	default:
		return architecture, variant
	}
}

// numbered returns a variant with its "v": some leave it out.
func numbered(variant string) string {
	if variant != "" && variant[0] >= '0' && variant[0] <= '9' {
		return "v" + variant
	}
	return variant
}

// whole returns a variant such as "v9.0" without the ".0" of its first revision.
func whole(variant string) string {
	if base, found := strings.CutSuffix(variant, ".0"); found && !strings.Contains(base, ".") {
		return base
	}
	return variant
}

// unless returns a variant, "" for the one that is implied.
func unless(implied, variant string) string {
	if variant == implied {
		return ""
	}
	return variant
}

// ParsePlatform returns the one spelling of a platform that is written as
// "os/architecture" or "os/architecture/variant", and "" for what is none.
func ParsePlatform(s string) string {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return ""
	}
	return Platform(parts[0], parts[1], strings.Join(parts[2:], ""))
}

// missing returns those of the wanted platforms that are not among the others.
func missing(wanted, provided []string) []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(p string) bool { return slices.Contains(provided, p) })
}

// maxListed is how many items of a list a message names.
const maxListed = 8

// list returns the items, of which there is at least one, in words, such as "a, b and c".
func list(items []string) string {
	switch {
	case len(items) == 1:
		return items[0]
	case len(items) > maxListed:
		items = append(items[:maxListed:maxListed], "others")
	}
	return strings.Join(items[:len(items)-1], ", ") + " and " + items[len(items)-1]
}
