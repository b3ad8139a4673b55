// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"cmp"
	"slices"
	"strings"
)

// Platform returns the normalized name of a platform as containerd normalizes it, such as
// "linux/arm64" for "linux/arm64/v8". It returns "" if os or architecture is missing or unknown, as
// for attestations, or if a part has invalid characters.
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
	architecture, variant = normalizeMachine(architecture, variant)
	return strings.TrimSuffix(os+"/"+architecture+"/"+variant, "/")
}

// isName reports whether s is empty or a valid part of a platform's name.
func isName(s string) bool {
	return len(s) <= maxName && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == ""
}

// maxName is the maximum length of such a part. The longest in use have about ten characters.
const maxName = 32

// normalizeMachine returns the normalized architecture and variant. The default variant of an
// architecture is omitted, except for arm.
func normalizeMachine(architecture, variant string) (string, string) {
	switch architecture {
	case "i386", "i486", "i586", "i686":
		return "386", ""
	case "x86_64", "x86-64", "amd64":
		return "amd64", omitDefault("v1", withPrefix(variant))
	case "aarch64", "arm64":
		return "arm64", omitDefault("v8", withoutRevision(withPrefix(variant)))
	case "armhf":
		return "arm", "v7"
	case "armel":
		return "arm", "v6"
	case "arm":
		return "arm", cmp.Or(withPrefix(variant), "v7")
	default:
		return architecture, variant
	}
}

// withPrefix returns a variant with the prefix "v", which some tools omit.
func withPrefix(variant string) string {
	if variant != "" && variant[0] >= '0' && variant[0] <= '9' {
		return "v" + variant
	}
	return variant
}

// withoutRevision returns a variant such as "v9.0" without the ".0" of the first revision.
func withoutRevision(variant string) string {
	if base, found := strings.CutSuffix(variant, ".0"); found && !strings.Contains(base, ".") {
		return base
	}
	return variant
}

// omitDefault returns a variant, or "" if it is the default one.
func omitDefault(defaultVariant, variant string) string {
	if variant == defaultVariant {
		return ""
	}
	return variant
}

// ParsePlatform returns the normalized name of a platform that is written as "os/architecture" or
// "os/architecture/variant", or "" if s is invalid.
func ParsePlatform(s string) string {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return ""
	}
	return Platform(parts[0], parts[1], strings.Join(parts[2:], ""))
}

// missing returns the required platforms that are not provided.
func missing(required, provided []string) []string {
	return slices.DeleteFunc(slices.Clone(required), func(p string) bool { return slices.Contains(provided, p) })
}

// maxListed is the maximum number of items that a message lists.
const maxListed = 8

// list joins at least one item to a text such as "a, b and c".
func list(items []string) string {
	switch {
	case len(items) == 1:
		return items[0]
	case len(items) > maxListed:
		items = append(items[:maxListed:maxListed], "others")
	}
	return strings.Join(items[:len(items)-1], ", ") + " and " + items[len(items)-1]
}
