// SPDX-License-Identifier: Apache-2.0

package mirrors

import (
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// noFiles is a reader of certificate authorities of which there are none.
func noFiles(path string) ([]byte, error) {
	return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
}

func parsed(t testing.TB, name string) image.Name {
	t.Helper()
	img, err := image.Parse(name, false)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return img
}

// describe formats hosts as "name capabilities", with "origin" or the namespace.
func describe(hosts []Host) []string {
	if hosts == nil {
		return nil
	}
	all := []string{}
	for _, h := range hosts {
		words := []string{h.Image.Canonical()}
		if transport.PlainHTTP(h.Image.Repository().Registry) {
			words = append(words, "http")
		}
		if h.Resolve {
			words = append(words, "resolve")
		}
		if h.Pull {
			words = append(words, "pull")
		}
		if h.Origin {
			words = append(words, "origin")
		}
		if h.Namespace != "" {
			words = append(words, "ns="+h.Namespace)
		}
		all = append(all, strings.Join(words, " "))
	}
	return all
}

func TestHosts_FollowTheFile(t *testing.T) {
	const origin = "index.docker.io/library/alpine resolve pull origin"
	cases := map[string]struct {
		reason, file, image string
		want                []string
	}{
		"Empty":    {reason: "no tables", image: "alpine"},
		"Other":    {reason: "another registry", file: `["quay.io".host."https://m.example.com"]`, image: "alpine"},
		"Root":     {reason: "without a path", file: `["docker.io".host."https://m.example.com"]`, image: "alpine", want: []string{"m.example.com/library/alpine resolve pull ns=docker.io", origin}},
		"Alias":    {reason: "another name of Docker Hub", file: `["registry-1.docker.io".host."https://m.example.com"]`, image: "index.docker.io/library/alpine", want: []string{"m.example.com/library/alpine resolve pull ns=docker.io", origin}},
		"NoScheme": {reason: "https is the default, as in containerd", file: `["docker.io".host."m.example.com"]`, image: "alpine", want: []string{"m.example.com/library/alpine resolve pull ns=docker.io", origin}},
		"Version":  {reason: "the path of the API", file: `["docker.io".host."https://m.example.com/v2/"]`, image: "alpine", want: []string{"m.example.com/library/alpine resolve pull ns=docker.io", origin}},
		"Prefix": {
			reason: "a path is a prefix", file: "[\"docker.io\".host.\"https://m.example.com/v2/dockerhub\"]\noverride_path = true", image: "alpine",
			want: []string{"m.example.com/dockerhub/library/alpine resolve pull ns=docker.io", origin},
		},
		"Order": {
			reason: "the order of the file, not of the names",
			file: "[\"docker.io\".host.\"https://z.example.com\"]\ncapabilities = [\"pull\"]\n[\"docker.io\".host.\"http://a.example.com:5000\"]\ncapabilities = [\"Resolve\"]\n" +
				"[\"docker.io\".host.\"https://m.example.com\"]\ncapabilities = [\"push\", \"pull\"]\n",
			image: "alpine",
			want: []string{
				"z.example.com/library/alpine pull ns=docker.io", "a.example.com:5000/library/alpine http resolve ns=docker.io",
				"m.example.com/library/alpine pull ns=docker.io", origin,
			},
		},
		"Inline": {
			reason: "inline tables have an order, too",
			file:   `"docker.io" = {host = {"https://z.example.com" = {capabilities = ["pull"]}, "https://a.example.com" = {}}}`, image: "alpine",
			want: []string{"z.example.com/library/alpine pull ns=docker.io", "a.example.com/library/alpine resolve pull ns=docker.io", origin},
		},
		"TooLong": {
			reason: "the name is not valid at any host, which is not the same as no table",
			file:   "[\"r.example.com\"]\nserver = \"https://s.example.com/v2/prefix\"\noverride_path = true", image: "r.example.com/" + strings.Repeat("a", 250), want: []string{},
		},
		"Server": {
			reason: "the server is the last one", file: "[\"docker.io\"]\nserver = \"https://s.example.com\"\n[\"docker.io\".host.\"https://m.example.com\"]", image: "alpine",
			want: []string{"m.example.com/library/alpine resolve pull ns=docker.io", "s.example.com/library/alpine resolve pull ns=docker.io"},
		},
		"ServerIsOrigin": {
			reason: "an alias of the registry", file: "[\"docker.io\"]\nserver = \"https://registry-1.docker.io\"\ncapabilities = [\"pull\"]", image: "alpine",
			want: []string{"index.docker.io/library/alpine pull origin"},
		},
		"Default": {
			reason: "registries without a table", file: `["_default".host."https://m.example.com"]`, image: "quay.io:8443/a/b",
			want: []string{"m.example.com/a/b resolve pull ns=quay.io:8443", "quay.io:8443/a/b resolve pull origin"},
		},
		"DefaultIsOrigin": {
			reason: "images of the mirror itself", file: `["_default".host."https://m.example.com"]`, image: "m.example.com/a/b",
			want: []string{"m.example.com/a/b resolve pull origin", "m.example.com/a/b resolve pull origin"},
		},
		"Port": {
			reason: "the port belongs to the registry", file: `["r.example.com:5000".host."https://m.example.com"]`, image: "r.example.com:5000/aa",
			want: []string{"m.example.com/aa resolve pull ns=r.example.com:5000", "r.example.com:5000/aa resolve pull origin"},
		},
		"OtherPort": {reason: "another registry", file: `["r.example.com:5000".host."https://m.example.com"]`, image: "r.example.com/aa"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			config, err := Parse([]byte(tc.file), noFiles)
			g.Expect(err).NotTo(HaveOccurred(), tc.reason)
			g.Expect(describe(config.Hosts(parsed(t, tc.image)))).To(Equal(tc.want), tc.reason)
		})
	}
}

func TestParse_RejectsInvalidFiles(t *testing.T) {
	host := func(keys string) string { return "[\"docker.io\".host.\"https://m.example.com\"]\n" + keys }
	for name, tc := range map[string]struct{ file, want string }{
		"Syntax":        {"[\"docker.io\"\n", "line 2: expected"},
		"HostsToml":     {`server = "https://docker.io"`, "put the content of a hosts.toml into the table of its registry"},
		"HostsTomlHost": {`[host."https://m.example.com"]`, "put the content of a hosts.toml into the table of its registry"},
		"SkipVerify":    {host("skip_verify = true"), `["docker.io".host."https://m.example.com"] has the key "skip_verify", which is not supported: certificates are always verified`},
		"Client":        {host(`client = "a.pem"`), `remove it`},
		"Header":        {host(`header = {x = "y"}`), `has the key "header", which is not supported: mirrors get no extra headers`},
		"DialTimeout":   {host(`dial_timeout = "1s"`), `each host gets a share of spec.timeout`},
		"Proxy":         {host(`proxy = "http://p:1"`), `set HTTPS_PROXY`},
		"Case":          {"[\"docker.io\"]\nserver = \"https://a.example.com\"\nServer = \"https://b.example.com\"", `["docker.io"] has the key "Server", which is not known`},
		"CaseHost":      {`["docker.io".Host."https://m.example.com"]`, `the key "Host", which is not known`},
		"CaseInHost":    {host(`Override_path = true`), `the key "Override_path", which is not known`},
		"PushOnly":      {host(`capabilities = ["push"]`), `has only the capability "push", and the controller never pushes: add "pull" or "resolve", or remove the table`},
		"Unquoted":      {`[docker.io.host."https://m.example.com"]`, `quote the registry: ["docker.io".host."https://mirror.example.com"]`},
		"UnquotedTable": {"[quay.io]\nserver = \"https://m.example.com\"", `quote the registry: ["quay.io".host.`},
		"Hosts":         {`["docker.io".hosts."https://m.example.com"]`, `["docker.io"] has the key "hosts": write "host"`},
		"HostsTop":      {`[hosts."https://m.example.com"]`, "has no registry"},
		"HostText":      {"[\"docker.io\".host]\n\"https://m.example.com\" = 1", "is not a table: write a table"},
		"ServerInHost":  {host(`server = "https://m.example.com"`), `the key "server", which is not known`},
		"PullText":      {host(`capabilities = "pull"`), `has the wrong type of value in "capabilities": write a list: ["pull"]`},
		"PullNumber":    {host(`capabilities = [1]`), "line 2: each element of the list must be text in quotes"},
		"OverrideText":  {host(`override_path = "true"`), "write true or false, without quotes"},
		"CATable":       {host(`ca = {x = 1}`), "write the path of a file in quotes"},
		"YAML":          {"docker.io:\n  host: x\n", "the file must be TOML"},
		"Unknown":       {host(`capability = ["pull"]`), `has the key "capability", which is not known`},
		"UnknownServer": {"[\"docker.io\"]\nservers = []", `["docker.io"] has the key "servers", which is not known`},
		"Capability":    {host(`capabilities = ["read"]`), `has the capability "read": write one or more of pull, resolve and push`},
		"Path":          {`["docker.io".host."https://m.example.com/dockerhub"]`, "write https://m.example.com/v2/dockerhub and override_path = true"},
		"PathVersion":   {`["docker.io".host."https://m.example.com/dockerhub/v2"]`, "write https://m.example.com/v2/dockerhub and override_path = true"},
		"PathUnneeded":  {`["docker.io".host."https://m.example.com/v2/hub"]`, "write https://m.example.com/v2/hub and override_path = true"},
		"Override":      {"[\"docker.io\".host.\"https://m.example.com/hub\"]\noverride_path = true", "requests begin with /v2/, write https://m.example.com/v2/hub"},
		"OverrideNone":  {host("override_path = true"), "requests begin with /v2/, write https://m.example.com/v2"},
		"OverrideUpper": {"[\"docker.io\".host.\"https://m.example.com/v2/Hub\"]\noverride_path = true", "which is not valid in names of images"},
		"Scheme":        {`["docker.io".host."ftp://m.example.com"]`, `has the address "ftp://m.example.com": write only scheme, host, port and path, without query, such as https://mirror.example.com`},
		"Query":         {`["docker.io".host."https://m.example.com?x=y"]`, "without query"},
		"Bare":          {`["docker.io".host."https://mirror"]`, "add the port, as in https://mirror:443"},
		"NoHost":        {`["docker.io".host."https://:5000"]`, "write a domain name"},
		"RegistryURL":   {`["https://docker.io"]`, `write its host, such as "docker.io"`},
		"RegistryPath":  {`["quay.io/org"]`, "is not the table of a registry"},
		"Twice":         {"[\"docker.io\"]\n[\"index.docker.io\"]", `["index.docker.io"] is another table of registry docker.io: merge the two`},
		"CA":            {host(`ca = "ca.pem"`), `has a "ca" that can't be read: open ca.pem`},
		"CAType":        {host(`ca = 1`), `has the wrong type of value in "ca": write the path of a file in quotes, or a list of paths`},
		"OriginCA":      {"[\"r.example.com\"]\nca = \"ca.pem\"", "name the authority in spec.certSecretRef"},
		"OriginHTTP":    {"[\"r.example.com\"]\nserver = \"http://r.example.com\"", "set spec.insecure of the ImageRepositories"},
		"OriginPath":    {"[\"r.example.com\"]\noverride_path = true", `has "override_path" but no "server"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(tc.file), noFiles)
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(tc.want)))
		})
	}
}

func TestParse_LoadsAuthorities(t *testing.T) {
	g := NewWithT(t)
	server := httptest.NewTLSServer(nil)
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	read := func(path string) ([]byte, error) {
		return map[string][]byte{"ca.pem": ca, "b.pem": []byte("no certificate")}[path], nil
	}
	const file = "[\"docker.io\".host.\"https://m.example.com\"]\nca = "
	config, err := Parse([]byte(file+`["ca.pem"]`), read)
	g.Expect(err).NotTo(HaveOccurred())
	hosts := config.Hosts(parsed(t, "alpine"))
	g.Expect(hosts).To(HaveLen(2))
	g.Expect(hosts[0].Transport.TLS.RootCAs).NotTo(BeNil())
	g.Expect(hosts[0].Transport.Key).NotTo(BeEmpty(), "other connections than those without the authority")
	g.Expect(hosts[1].Transport).To(Equal(transport.Config{}), "the origin has its own authorities")
	_, err = Parse([]byte(file+`"b.pem"`), read)
	g.Expect(err).To(MatchError(ContainSubstring(`has the "ca" "b.pem" without any certificate in PEM form`)))
}

// TestFile_ReloadsAndKeepsLastValidVersion replaces the file as the kubelet replaces those of a
// ConfigMap: by changing a symbolic link.
func TestFile_ReloadsAndKeepsLastValidVersion(t *testing.T) {
	g := NewWithT(t)
	dir, versions := t.TempDir(), 0
	write := func(content string) {
		versions++
		version := filepath.Join(dir, "..data"+strings.Repeat("x", versions))
		g.Expect(os.Mkdir(version, 0o700)).To(Succeed())
		g.Expect(os.WriteFile(filepath.Join(version, "mirrors.toml"), []byte(content), 0o600)).To(Succeed())
		g.Expect(os.Symlink(version, filepath.Join(dir, "next"))).To(Succeed())
		g.Expect(os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "..data"))).To(Succeed())
	}
	_, err := Open(filepath.Join(dir, "mirrors.toml"), nil)
	g.Expect(err).To(MatchError(And(ContainSubstring("--registry-mirrors: open "), ContainSubstring("create it, or correct --registry-mirrors"))))

	write(`["docker.io".host."https://a.example.com"]`)
	g.Expect(os.Symlink(filepath.Join("..data", "mirrors.toml"), filepath.Join(dir, "mirrors.toml"))).To(Succeed())
	var reports []error
	file, err := Open(filepath.Join(dir, "mirrors.toml"), func(err error) { reports = append(reports, err) })
	g.Expect(err).NotTo(HaveOccurred())
	mirror := func() string { return file.Hosts(parsed(t, "alpine"))[0].Image.Host() }
	g.Expect(mirror()).To(Equal("a.example.com"))
	file.reload()
	g.Expect(reports).To(BeEmpty(), "nothing has changed")

	write(`["docker.io".host."https://b.example.com"]`)
	file.reload()
	g.Expect(reports).To(Equal([]error{nil}))
	g.Expect(mirror()).To(Equal("b.example.com"))

	write(`["docker.io".host."https://c.example.com/hub"]`)
	file.reload()
	file.reload()
	g.Expect(reports).To(HaveLen(2), "an invalid version is reported once")
	g.Expect(reports[1]).To(MatchError(ContainSubstring("override_path = true")))
	g.Expect(testutil.ToFloat64(NewMetric(file))).To(BeZero())
	g.Expect(mirror()).To(Equal("b.example.com"), "the previous version stays in use")

	write(`["docker.io".host."https://b.example.com"]`)
	file.reload()
	g.Expect(testutil.ToFloat64(NewMetric(file))).To(Equal(1.0))
	g.Expect(reports).To(HaveLen(3))
}

func TestReadFile_RejectsLargeFiles(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "large")
	g.Expect(os.WriteFile(path, make([]byte, maxFileBytes+1), 0o600)).To(Succeed())
	_, err := readFile(path)
	g.Expect(err).To(MatchError(ContainSubstring("more than the 1048576 bytes")))
}

// FuzzParse checks that every accepted file has hosts with valid names for each of its registries,
// and that only its own registry is an origin.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", `["docker.io".host."https://m.example.com"]`, "[\"docker.io\"]\nserver = \"https://s.example.com\"",
		"[\"_default\".host.\"http://[::1]:5000/v2/a/b\"]\noverride_path = true\ncapabilities = [\"pull\", \"resolve\"]\nca = [\"ca.pem\"]",
		`"docker.io" = {host = {"https://z.example.com" = {}, "m.example.com:1" = {}}}`, `server = "https://docker.io"`, `[host."https://m"]`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		config, err := Parse([]byte(content), func(string) ([]byte, error) { return nil, errors.New("no such file") })
		if err != nil {
			return
		}
		for registry, entries := range config.registries {
			img, err := image.Parse(registry+"/a/b", false)
			if err != nil {
				continue // _default, or a host that no image can have
			}
			hosts := config.Hosts(img)
			if len(hosts) > len(entries) {
				t.Errorf("%d hosts for %d entries", len(hosts), len(entries))
			}
			for _, host := range hosts {
				if isOrigin := host.Image.Canonical() == img.Canonical(); isOrigin != host.Origin {
					t.Errorf("%q has host %q, origin %t", registry, host.Image, host.Origin)
				}
				if !strings.HasSuffix(host.Image.Canonical(), "a/b") {
					t.Errorf("the name at the mirror is %q", host.Image)
				}
			}
		}
	})
}
