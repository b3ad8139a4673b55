// SPDX-License-Identifier: Apache-2.0

package assets

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/build"
	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/gocmd"
)

const (
	// prebuiltEnv, if 0, false or no, forbids a download instead of a build. 1, true and yes are the
	// default.
	prebuiltEnv = "CONTROLPLANE_PREBUILT"
	// indexEnv contains the URL of another index, such as that of a mirror.
	indexEnv = "CONTROLPLANE_INDEX"
	// defaultIndex is remote.DefaultIndexURL of sigs.k8s.io/controller-runtime/tools/setup-envtest.
	defaultIndex = "https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/HEAD/envtest-releases.yaml"

	// indexTimeout bounds the time until the index answers.
	indexTimeout = 3 * time.Second
	// maxIndexSize bounds the index, which has 100 kB.
	maxIndexSize = 16 << 20
	// stallTimeout is how long a download may receive nothing, and how long the index, which is small,
	// may take to be read. A slow download is not aborted.
	stallTimeout = 20 * time.Second
	// pollInterval is the time between two checks of the size of a download.
	pollInterval = time.Second
	// logInterval is the time between two lines of progress.
	logInterval = 10 * time.Second
)

// prebuilt downloads programs with setup-envtest, which verifies their SHA-512 sums.
type prebuilt struct {
	module string // folder of the module that pins setup-envtest
	store  string // contains k8s/<version>-<os>-<arch>/, as setup-envtest lays it out
	index  string
	log    func(line string)

	indexTimeout, stallTimeout, pollInterval time.Duration
}

// newPrebuilt returns an error without the URL if it is invalid, because it may contain a password.
func newPrebuilt(module, store string, log func(line string)) (*prebuilt, error) {
	p := &prebuilt{module: module, store: store, index: defaultIndex, log: log,
		indexTimeout: indexTimeout, stallTimeout: stallTimeout, pollInterval: pollInterval}
	if index := os.Getenv(indexEnv); index != "" {
		p.index = index
	}
	if index, err := url.Parse(p.index); err != nil || index.Scheme != "https" && index.Scheme != "http" || index.Host == "" {
		return nil, fmt.Errorf("%s is not a URL with http:// or https://", indexEnv)
	}
	return p, nil
}

// nameOf returns an expression for the names of the minor version, between a prefix and a suffix. Its
// group is the patch version.
func nameOf(prefix, version, suffix string) *regexp.Regexp {
	return regexp.MustCompile(prefix + regexp.QuoteMeta(minor(version)) + `\.(\d+)-` + runtime.GOOS + "-" + runtime.GOARCH + suffix)
}

// archive returns an expression for archives, whose names are parsed as by versions.ArchiveRE of
// setup-envtest.
func archive(version string) *regexp.Regexp {
	return nameOf(`\benvtest-v`, version, `\.tar\.gz\b`)
}

// choose returns the version itself if it is one of the patch versions, or else the newest one.
func choose(version string, patches []string) string {
	newest := -1
	for _, patch := range patches {
		number, err := strconv.Atoi(patch)
		if err == nil && "v"+minor(version)+"."+patch == version {
			return version[1:]
		}
		newest = max(newest, number)
	}
	if newest < 0 {
		return ""
	}
	return fmt.Sprintf("%s.%d", minor(version), newest)
}

// installed returns the folder of an earlier download, or "".
func (p *prebuilt) installed(version string, programs []build.Program) string {
	folders, _ := os.ReadDir(filepath.Dir(p.folder(version)))
	var patches []string
	expression := nameOf("^", version, "$")
	for _, folder := range folders {
		found := expression.FindStringSubmatch(folder.Name())
		if found != nil && missing(p.folder(minor(version)+"."+found[1]), programs) == "" {
			patches = append(patches, found[1])
		}
	}
	if chosen := choose(version, patches); chosen != "" {
		return p.folder(chosen)
	}
	return ""
}

// folder returns the folder of a version, as in store.Item of setup-envtest.
func (p *prebuilt) folder(version string) string {
	return filepath.Join(p.store, "k8s", version+"-"+runtime.GOOS+"-"+runtime.GOARCH)
}

// prepare chooses a version of the index and builds setup-envtest. The returned function downloads
// that version and returns its folder. Without an answer of the index, nothing is built.
func (p *prebuilt) prepare(ctx context.Context, version string, programs []build.Program) (func(context.Context) (string, error), error) {
	index, err := p.fetchIndex(ctx)
	if err != nil {
		return nil, fmt.Errorf("the index of prebuilt programs can't be read: %w", err)
	}
	var patches []string
	for _, found := range archive(version).FindAllSubmatch(index, -1) {
		patches = append(patches, string(found[1]))
	}
	chosen := choose(version, patches)
	if chosen == "" {
		return nil, fmt.Errorf("%s has no %s.x for %s/%s", p.redacted(), minor(version), runtime.GOOS, runtime.GOARCH)
	}
	tool := build.Compilation{Name: "setup-envtest", Dir: p.module, Output: filepath.Join(p.store, "setup-envtest"),
		Flags: []string{"-mod=readonly", "-trimpath", "-ldflags=-s -w"}, Package: "tool"}
	if err := tool.Run(ctx, p.log); err != nil {
		return nil, err
	}
	note := ""
	if "v"+chosen != version {
		note = fmt.Sprintf(", because %s is not published", version)
	}
	p.log(fmt.Sprintf("downloading Kubernetes v%s%s", chosen, note))
	return func(ctx context.Context) (string, error) { return p.download(ctx, tool.Output, chosen, programs) }, nil
}

func (p *prebuilt) fetchIndex(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	bound := time.AfterFunc(p.indexTimeout, func() { cancel(fmt.Errorf("no answer within %s", p.indexTimeout)) })
	defer bound.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.index, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	var failed *url.Error
	if errors.As(err, &failed) {
		err = fmt.Errorf("GET %s: %w", p.redacted(), failed.Err) // the URL may contain a password
	}
	if err != nil {
		return nil, cmp.Or(context.Cause(ctx), err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", p.redacted(), response.Status)
	}
	bound.Stop()
	defer time.AfterFunc(p.stallTimeout, func() { cancel(fmt.Errorf("incomplete after %s", p.stallTimeout)) }).Stop()
	index, err := io.ReadAll(io.LimitReader(response.Body, maxIndexSize))
	if err != nil {
		return nil, cmp.Or(context.Cause(ctx), err)
	}
	return index, nil
}

// redacted returns the index without user and query, which may contain a password.
func (p *prebuilt) redacted() string {
	index, err := url.Parse(p.index)
	if err != nil {
		return indexEnv // newPrebuilt has rejected it
	}
	return (&url.URL{Scheme: index.Scheme, Host: index.Host, Path: index.Path}).String()
}

// download downloads a version into a temporary folder, from which it is renamed. Nothing else
// remains, also after a failure.
func (p *prebuilt) download(ctx context.Context, tool, version string, programs []build.Program) (string, error) {
	start := time.Now()
	work, err := build.WorkFolder(p.store, 0) // Get has locked it
	if err != nil {
		return "", err
	}
	defer func() { _ = build.RemoveAll(work) }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := gocmd.Process(ctx, "", tool, "use", version, "--index", p.index, "--bin-dir", work, "--print", "path")
	cmd.Env = append(cmd.Env, "TMPDIR="+work) // setup-envtest writes the archive there
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	go p.watch(ctx, work, cancel)
	if err := cmd.Run(); err != nil {
		output := strings.ReplaceAll(strings.TrimSpace(stderr.String()), p.index, p.redacted())
		return "", errors.Join(context.Cause(ctx), fmt.Errorf("setup-envtest: %w\n%s", err, output))
	}
	unpacked := stdout.String()
	if names := missing(unpacked, programs); names != "" {
		return "", fmt.Errorf("the archive of Kubernetes v%s does not contain %s", version, names)
	}
	for _, program := range programs {
		if err := gocmd.Process(ctx, "", filepath.Join(unpacked, program.Name), "--help").Run(); err != nil {
			return "", fmt.Errorf("%s of the archive of Kubernetes v%s does not run: %w", program.Name, version, err)
		}
	}
	// setup-envtest makes it read-only, and such a folder can't be moved.
	if err := os.Chmod(unpacked, 0o755); err != nil {
		return "", err
	}
	folder := p.folder(version)
	if err := errors.Join(os.MkdirAll(filepath.Dir(folder), 0o755), build.RemoveAll(folder), os.Rename(unpacked, folder)); err != nil {
		return "", err
	}
	took := time.Since(start)
	p.log(fmt.Sprintf("Kubernetes v%s: downloaded in %s", version, took.Round(time.Second)))
	build.RecordStep("download of Kubernetes v"+version, took)
	return folder, nil
}

// watch cancels a download whose folder does not grow, and logs the progress.
func (p *prebuilt) watch(ctx context.Context, work string, cancel context.CancelCauseFunc) {
	ticks := time.NewTicker(p.pollInterval)
	defer ticks.Stop()
	size, grown, logged := int64(0), time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticks.C:
			if current := sizeOf(work); current != size {
				size, grown = current, now
			}
			if now.Sub(grown) > p.stallTimeout {
				cancel(fmt.Errorf("it received nothing for %s", p.stallTimeout))
				return
			}
			if now.Sub(logged) >= logInterval {
				logged = now
				p.log(fmt.Sprintf("downloading: %d MB", size>>20))
			}
		}
	}
}

// sizeOf returns the size of all files in a folder.
func sizeOf(folder string) int64 {
	var size int64
	_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it was just removed
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	return size
}

var minorOf = regexp.MustCompile(`^v(\d+\.\d+)\..*$`)

// minor converts v1.36.3 to 1.36.
func minor(version string) string { return minorOf.ReplaceAllString(version, "$1") }
