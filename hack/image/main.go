// SPDX-License-Identifier: Apache-2.0

// Command image creates an image of the controller for several platforms from static binaries,
// without a daemon. The same input results in the same digest.
//
//	go run ./hack/image -version v1.0.0 -layout build/oci amd64=bin/amd64 arm64=bin/arm64
//
// It writes an OCI image layout to a folder (-layout), pushes to a registry (-push, with the
// credentials of docker login), or both.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1) //nolint:gocritic // stop is not needed at exit
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	var c contents
	flags.StringVar(&c.version, "version", "dev", "the version of the binaries")
	flags.StringVar(&c.commit, "commit", "unknown", "the commit from which they were built")
	flags.StringVar(&c.license, "license", "LICENSE", "the file of the licence")
	created := flags.Int64("created", 0, "the creation time in the image, in seconds since 1970")
	folder := flags.String("layout", "", "the folder to write an OCI image layout to")
	reference := flags.String("push", "", "the registry, name and tag to push to")
	keep := flags.Bool("keep", false, "fail if the tag exists with another digest, instead of overwriting it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c.created = time.Unix(*created, 0).UTC()
	c.binaries = flags.Args()
	if *folder == "" && *reference == "" {
		return errors.New("no destination: set -layout or -push")
	}
	index, err := c.index()
	if err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	if *folder != "" {
		if _, err := layout.Write(*folder, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: index})); err != nil {
			return fmt.Errorf("writing the image to %s: %w", *folder, err)
		}
		fmt.Fprintf(out, "wrote %s@%s\n", *folder, digest)
	}
	if *reference != "" {
		return push(ctx, *reference, index, *keep, out)
	}
	return nil
}

// push pushes an index to a tag. If the tag is to be kept, it may exist only with the same digest.
func push(ctx context.Context, reference string, index v1.ImageIndex, keep bool, out io.Writer) error {
	tag, err := name.NewTag(reference, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("%q is not a reference to push to: write registry.example.com/name:tag (%w)", reference, err)
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	if keep {
		existing, err := digestOf(tag, options)
		switch {
		case err != nil:
			return fmt.Errorf("looking up %s, which must not be overwritten: %w", reference, err)
		case existing == digest.String():
			fmt.Fprintf(out, "already pushed %s@%s\n", reference, digest)
			return nil
		case existing != "":
			return fmt.Errorf("%s exists with the digest %s, and this image has %s: choose another version, or delete that tag",
				reference, existing, digest)
		}
	}
	if err := remote.WriteIndex(tag, index, options...); err != nil {
		return fmt.Errorf("pushing the image: %w", err)
	}
	fmt.Fprintf(out, "pushed %s@%s\n", reference, digest)
	return nil
}

// digestOf returns the digest of a tag, or "" if there is no such tag.
func digestOf(tag name.Tag, options []remote.Option) (string, error) {
	descriptor, err := remote.Head(tag, options...)
	var response *transport.Error
	switch {
	case errors.As(err, &response) && response.StatusCode == http.StatusNotFound:
		return "", nil
	case err != nil:
		return "", err
	}
	return descriptor.Digest.String(), nil
}
