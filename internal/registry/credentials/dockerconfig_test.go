// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	. "github.com/onsi/gomega"
)

// TestDockerConfig_MatchesEntries tests each rule for matching entries. The username of each entry
// is its key.
func TestDockerConfig_MatchesEntries(t *testing.T) {
	cases := map[string]struct {
		reason string
		image  string
		keys   []string
		want   string // "" is none
	}{
		"Host":              {reason: "equal hosts", image: "ghcr.io/org/app", keys: []string{"ghcr.io"}, want: "ghcr.io"},
		"HostCase":          {reason: "hosts are case-insensitive", image: "ghcr.io/org/app", keys: []string{"GHCR.io"}, want: "GHCR.io"},
		"Scheme":            {reason: "the scheme is ignored", image: "ghcr.io/org/app", keys: []string{"https://ghcr.io"}, want: "https://ghcr.io"},
		"PlainScheme":       {reason: "the scheme is ignored", image: "ghcr.io/org/app", keys: []string{"http://ghcr.io/"}, want: "http://ghcr.io/"},
		"Version":           {reason: "an API version is not part of the path", image: "ghcr.io/org/app", keys: []string{"https://ghcr.io/v2/"}, want: "https://ghcr.io/v2/"},
		"VersionAndPath":    {reason: "a path may follow the API version", image: "ghcr.io/org/app", keys: []string{"https://ghcr.io/v1/org"}, want: "https://ghcr.io/v1/org"},
		"OtherHost":         {reason: "another registry", image: "ghcr.io/org/app", keys: []string{"quay.io"}},
		"Suffix":            {reason: "a look-alike", image: "ghcr.io.evil.com/org/app", keys: []string{"ghcr.io"}},
		"Subdomain":         {reason: "a look-alike", image: "evil.ghcr.io/org/app", keys: []string{"ghcr.io"}},
		"HostPrefix":        {reason: "a look-alike", image: "ghcr.io/org/app", keys: []string{"ghcr.io.evil.com"}},
		"Port":              {reason: "equal ports", image: "localhost:5000/app", keys: []string{"localhost", "localhost:5000"}, want: "localhost:5000"},
		"OtherPort":         {reason: "another port is another registry", image: "localhost:5000/app", keys: []string{"localhost:50", "localhost"}},
		"Glob":              {reason: "a glob matches one label, like in the kubelet (portieris#456)", image: "team.azurecr.io/app", keys: []string{"*.azurecr.io"}, want: "*.azurecr.io"},
		"GlobTwice":         {reason: "each label may contain a glob (trivy-operator#148)", image: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app", keys: []string{"*.dkr.ecr.*.amazonaws.com"}, want: "*.dkr.ecr.*.amazonaws.com"},
		"GlobPart":          {reason: "a glob may match a part of a label", image: "ghcr.io/org/app", keys: []string{"g?cr.i*"}, want: "g?cr.i*"},
		"GlobCase":          {reason: "hosts are case-insensitive", image: "team.azurecr.io/app", keys: []string{"*.AzureCR.io"}, want: "*.AzureCR.io"},
		"GlobPath":          {reason: "a path may follow a glob", image: "team.azurecr.io/org/app", keys: []string{"*.azurecr.io", "*.azurecr.io/org"}, want: "*.azurecr.io/org"},
		"GlobURL":           {reason: "the scheme is ignored", image: "team.azurecr.io/app", keys: []string{"https://*.azurecr.io/v2/"}, want: "https://*.azurecr.io/v2/"},
		"GlobPort":          {reason: "equal ports", image: "r.example.com:5000/app", keys: []string{"*.example.com", "*.example.com:5000"}, want: "*.example.com:5000"},
		"GlobOrExact":       {reason: "an exact host takes precedence", image: "team.azurecr.io/app", keys: []string{"*.azurecr.io", "team.azurecr.io"}, want: "team.azurecr.io"},
		"GlobOrLonger":      {reason: "a longer path takes precedence", image: "team.azurecr.io/org/app", keys: []string{"team.azurecr.io", "*.azurecr.io/org"}, want: "*.azurecr.io/org"},
		"GlobLabels":        {reason: "a glob matches neither several labels nor none", image: "a.b.azurecr.io/app", keys: []string{"*.azurecr.io", "*", "*.io", "*.*.*.azurecr.io"}},
		"GlobOther":         {reason: "another registry", image: "ghcr.io/org/app", keys: []string{"*.azurecr.io", "ghcr.*.com"}},
		"GlobRange":         {reason: "ranges are not supported, as they look like IPv6 addresses", image: "ghcr.io/org/app", keys: []string{"[a-z]hcr.io"}},
		"GlobDockerHub":     {reason: "names of Docker Hub are normalized", image: "docker.io/org/app", keys: []string{"*.docker.io"}, want: "*.docker.io"},
		"EmptyKey":          {reason: "not a registry", image: "alpine", keys: []string{"", "/", "https://", "/library"}},
		"Path":              {reason: "the longest path takes precedence", image: "ghcr.io/org/app", keys: []string{"ghcr.io", "ghcr.io/org", "ghcr.io/org/app"}, want: "ghcr.io/org/app"},
		"PathOfParent":      {reason: "a path covers its subpaths", image: "ghcr.io/org/team/app", keys: []string{"ghcr.io", "ghcr.io/org/"}, want: "ghcr.io/org/"},
		"PathOfOther":       {reason: "another path", image: "ghcr.io/org/app", keys: []string{"ghcr.io/other", "ghcr.io"}, want: "ghcr.io"},
		"PathPrefix":        {reason: "paths are compared by elements", image: "ghcr.io/organisation/app", keys: []string{"ghcr.io/org"}},
		"PathBelow":         {reason: "an entry doesn't cover its parent path", image: "ghcr.io/org", keys: []string{"ghcr.io/org/app"}},
		"DockerHub":         {reason: "the key that docker login writes", image: "org/app", keys: []string{"https://index.docker.io/v1/"}, want: "https://index.docker.io/v1/"},
		"DockerHubLibrary":  {reason: "the key that docker login writes", image: "alpine", keys: []string{"https://index.docker.io/v1/"}, want: "https://index.docker.io/v1/"},
		"DockerHubShort":    {reason: "an alias of Docker Hub", image: "docker.io/org/app", keys: []string{"docker.io"}, want: "docker.io"},
		"DockerHubIndex":    {reason: "an alias of Docker Hub", image: "org/app", keys: []string{"index.docker.io"}, want: "index.docker.io"},
		"DockerHubRegistry": {reason: "an alias of Docker Hub", image: "org/app", keys: []string{"registry-1.docker.io"}, want: "registry-1.docker.io"},
		"DockerHubServer":   {reason: "the image may use an alias too", image: "registry-1.docker.io/org/app", keys: []string{"docker.io"}, want: "docker.io"},
		"DockerHubPath":     {reason: "aliases may have paths", image: "alpine", keys: []string{"docker.io", "docker.io/library"}, want: "docker.io/library"},
		"DockerHubAliases":  {reason: "with two aliases, the choice is deterministic", image: "alpine", keys: []string{"https://index.docker.io/v1/", "docker.io"}, want: "docker.io"},
		"DockerHubOther":    {reason: "not an alias", image: "alpine", keys: []string{"hub.docker.com", "evil.docker.io"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var entries []string
			for _, key := range tc.keys {
				entries = append(entries, fmt.Sprintf("%q:{%q:%q,%q:%q}", key, "username", key, "password", canary))
			}
			config, err := parseDockerConfig([]byte(`{"auths":{` + strings.Join(entries, ",") + `}}`))
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			match, found, err := config.find(parse(t, tc.image))
			if err != nil || match.credentials.Username != tc.want || found != (tc.want != "") {
				t.Errorf("%s: got %q (found %v, error %v), want %q", tc.reason, match.credentials.Username, found, err, tc.want)
			}
		})
	}
}

func TestDockerConfig_ParsesEntries(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	cases := map[string]struct {
		reason, entry string
		want          authn.AuthConfig
		wantErr       bool
	}{
		"Password":      {reason: "plain text", entry: `{"username":"u","password":"p"}`, want: authn.AuthConfig{Username: "u", Password: "p"}},
		"Auth":          {reason: "base64", entry: `{"auth":"` + b64([]byte("u:p")) + `"}`, want: authn.AuthConfig{Username: "u", Password: "p"}},
		"Unpadded":      {reason: "base64 without padding", entry: `{"auth":"` + strings.TrimRight(b64([]byte("us:pw")), "=") + `"}`, want: authn.AuthConfig{Username: "us", Password: "pw"}},
		"Newline":       {reason: "a trailing newline", entry: `{"auth":"` + b64([]byte("us:pw")) + `\n"}`, want: authn.AuthConfig{Username: "us", Password: "pw"}},
		"Colons":        {reason: "passwords may contain colons", entry: `{"auth":"` + b64([]byte("u:p:q")) + `"}`, want: authn.AuthConfig{Username: "u", Password: "p:q"}},
		"Both":          {reason: "auth takes precedence", entry: `{"username":"x","password":"y","auth":"` + b64([]byte("u:p")) + `"}`, want: authn.AuthConfig{Username: "u", Password: "p"}},
		"IdentityToken": {reason: "as written by docker login", entry: `{"auth":"` + b64([]byte("u:")) + `","identitytoken":"t"}`, want: authn.AuthConfig{Username: "u", IdentityToken: "t"}},
		"RegistryToken": {reason: "a token for the registry itself", entry: `{"registrytoken":"t"}`, want: authn.AuthConfig{RegistryToken: "t"}},
		"Unknown":       {reason: "other fields are ignored", entry: `{"username":"u","password":"p","email":"e"}`, want: authn.AuthConfig{Username: "u", Password: "p"}},
		"Empty":         {reason: "an empty entry, as written with a credential store, is ignored", entry: `{}`},
		"NotBase64":     {reason: "malformed", entry: `{"auth":"!` + canary + `"}`, wantErr: true},
		"NoColon":       {reason: "malformed", entry: `{"auth":"` + b64([]byte(canary)) + `"}`, wantErr: true},
		"Number":        {reason: "malformed", entry: `{"password":123456}`, wantErr: true},
		"String":        {reason: "malformed", entry: `"` + canary + `"`, wantErr: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			// A malformed entry of another registry must not matter.
			config, err := parseDockerConfig([]byte(`{"auths":{"ghcr.io":` + tc.entry + `,"quay.io":"broken"}}`))
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			match, found, err := config.find(parse(t, "ghcr.io/org/app"))
			if (err != nil) != tc.wantErr || err != nil && strings.Contains(err.Error(), canary) {
				t.Fatalf("%s: got error %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, match.credentials); diff != "" || found != (tc.want != authn.AuthConfig{}) {
				t.Errorf("%s: found %v, -want +got:\n%s", tc.reason, found, diff)
			}
		})
	}
}

// TestDockerConfig_BoundsAllocations tests that the search takes a few allocations per entry, for
// all kinds of entries. It runs in each reconciliation and all tenants share the CPU.
func TestDockerConfig_BoundsAllocations(t *testing.T) {
	const entries, limit = 5_000, 20
	cases := map[string]struct {
		reason string
		key    func(int) string
	}{
		"Names":    {reason: "names of other registries", key: func(i int) string { return fmt.Sprintf("registry-%d.example.com", i) }},
		"Globs":    {reason: "globs without a match", key: func(i int) string { return fmt.Sprintf("*-%d*.io", i) }},
		"Covering": {reason: "entries that match the image", key: func(i int) string { return strings.Repeat("*", i%60+1) + ".io/org" + strings.Repeat("/", i/60+1) }},
		"Garbage":  {reason: "invalid names", key: func(i int) string { return fmt.Sprintf("[%d*", i) }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			config := dockerConfig{"*.io/org": json.RawMessage(`{"registrytoken":"t"}`)}
			for i := range entries {
				config[tc.key(i)] = json.RawMessage(`{}`)
			}
			allocations := testing.AllocsPerRun(1, func() {
				match, found, err := config.find(parse(t, "ghcr.io/org/app"))
				if err != nil || !found || match.credentials.RegistryToken != "t" {
					t.Errorf("%s: got %v, %v", tc.reason, found, err)
				}
			})
			NewWithT(t).Expect(allocations).To(BeNumerically("<=", entries*limit), "%s: got %v allocations for %d entries, want at most %d", tc.reason, allocations, entries, entries*limit)
		})
	}
}

// FuzzDockerConfig tests that the parser doesn't panic or quote its input in errors, and that a
// found entry covers the image.
func FuzzDockerConfig(f *testing.F) {
	for _, seed := range []string{
		`{"auths":{"ghcr.io":{"auth":"dTpw"}}}`, `{"auths":{"https://ghcr.io/v2/org":{"password":"p"}}}`,
		`{"auths":[]}`, `{"auths":{"/":{}}}`, `null`, `{`, `{"auths":{"ghcr.io":1}}`,
	} {
		f.Add([]byte(seed))
	}
	img := parse(f, "ghcr.io/org/app")
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := parseDockerConfig(data)
		if err != nil && !errors.Is(err, errMalformedConfig) {
			t.Fatalf("got error %v", err)
		}
		match, found, err := config.find(img)
		if err != nil && !errors.Is(err, errMalformedEntry) {
			t.Fatalf("got error %v", err)
		}
		if found && !match.key.covers(img) {
			t.Fatalf("the entry %v doesn't cover the image", match.key)
		}
	})
}

// FuzzDockerConfig_MatchesOnlyRegistry tests that an entry is used for an image only if it names
// the image's registry.
func FuzzDockerConfig_MatchesOnlyRegistry(f *testing.F) {
	for _, seed := range []string{
		"ghcr.io", "GHCR.IO", "ghcr.io/", "ghcr.io/org", "ghcr.io/org/app", "ghcr.io/or", "ghcr.io/org/app2", "https://ghcr.io", "https://ghcr.io/v2/",
		"http://ghcr.io/v1/org", "ghcr.io:443", "ghcr.io.", "ghcr.io.evil.example", "evilghcr.io", "evil.example/ghcr.io", "ghcr.io@evil.example",
		"evil.example@ghcr.io", "ghcr.io:80@evil.example", "ghcr.io\\@evil.example", "ghcr.io?x", "ghcr.io#x", "*.io", "gh*.io", "g?cr.io", "*.*", "*", "gh*.i?/org", "", "/", "\uff47hcr.io", "ghcr\u3002io",
	} {
		f.Add(seed)
	}
	img := parse(f, "ghcr.io/org/app")
	f.Fuzz(func(t *testing.T, name string) {
		_, found, err := dockerConfig{name: json.RawMessage(`{"username":"u","password":"p"}`)}.find(img)
		if err != nil {
			t.Fatal(err)
		}
		if found && !namesHost(name, "ghcr.io") {
			t.Fatalf("the entry %q is used for ghcr.io", name)
		}
		if name == "ghcr.io" && !found {
			t.Fatal("no entry is found, so this tests nothing")
		}
	})
}

// namesHost reports whether a name, which may be a URL with a path, names a host, literally or by
// globs.
func namesHost(name, host string) bool {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "https://"), "http://")
	pattern, _, _ := strings.Cut(name, "/")
	if strings.ContainsFunc(pattern, func(r rune) bool { return r > 127 }) {
		return false
	}
	expression := strings.NewReplacer(`\*`, `[^.]*`, `\?`, `[^.]`).Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile("(?i)^" + expression + "$").MatchString(host)
}
