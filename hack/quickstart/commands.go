// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/image-reflector-controller/hack/quickstart/internal/demo"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/internal/session"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/internal/slot"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
)

// commandTimeout bounds every command.
const commandTimeout = time.Minute

// commands are done beside a run. Each gets the folder of the runs, and its
// arguments.
var commands = map[string]func(base string, args []string) error{
	"push":      push,
	"retag":     retag,
	"reconcile": reconcile,
	"seed":      seed,
}

// push pushes a new image, different from all others, to the registry of a run.
func push(base string, args []string) error {
	state, args, err := choose(base, "push", args, 1, 1, "REPOSITORY:TAG")
	if err != nil {
		return err
	}
	repository, tag, err := split(args[0])
	if err != nil {
		return err
	}
	image := demo.Image{Repository: repository, Tag: tag, Content: time.Now().Format(time.RFC3339Nano)}
	artifact, err := image.Artifact()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	registry := state.Registry(repository)
	digest, err := registry.Push(ctx, image.Reference(), artifact)
	if err != nil {
		return err
	}
	fmt.Printf("pushed %s with %s\n", registry.Image(image.Reference()), digest)
	return nil
}

// retag has a tag point to what another one points to.
func retag(base string, args []string) error {
	state, args, err := choose(base, "retag", args, 2, 2, "FROM TO, each REPOSITORY:TAG")
	if err != nil {
		return err
	}
	var repositories [2]string
	for i, reference := range args {
		if repositories[i], _, err = split(reference); err != nil {
			return err
		}
	}
	if repositories[0] != repositories[1] {
		return fmt.Errorf("'%s' and '%s' are of different repositories", args[0], args[1])
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	registry := state.Registry(repositories[0])
	digest, err := registry.Retag(ctx, args[0], args[1])
	if err != nil {
		return err
	}
	fmt.Printf("%s now has %s\n", registry.Image(args[1]), digest)
	return nil
}

// reconcile has the controller look at an object, or at all of them, now.
func reconcile(base string, args []string) error {
	state, args, err := choose(base, "reconcile", args, 0, 1, "[[KIND/][NAMESPACE/]NAME], such as imagepolicy/samples/podinfo")
	if err != nil {
		return err
	}
	cluster, err := state.Client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	objects, err := targets(ctx, cluster, args)
	if err != nil {
		return err
	}
	now := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, time.Now().Format(time.RFC3339Nano))
	for _, obj := range objects {
		if err := cluster.Patch(ctx, obj, client.RawPatch(types.MergePatchType, now)); err != nil {
			return err
		}
		fmt.Printf("asked for a reconcile of %s %s/%s\n", obj.GetKind(), obj.GetNamespace(), obj.GetName())
	}
	return nil
}

// seed pushes the images of the samples to a registry that is not ours, with the
// credentials of docker login.
func seed(_ string, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: quickstart seed HOST, such as ghcr.io/you/samples")
	}
	ctx := context.Background() // a registry far away may take its time
	_, err := demo.Push(ctx, func(ctx context.Context, image demo.Image, artifact stage.Artifact) (string, error) {
		ref, err := name.ParseReference(args[0] + "/" + image.Reference())
		if err != nil {
			return "", err
		}
		if err := remote.Push(ref, artifact, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
			return "", err
		}
		digest, err := artifact.Digest()
		fmt.Printf("pushed %s with %s\n", ref, digest)
		return digest.String(), err
	})
	return err
}

// choose parses the arguments of a command, and returns the state of the run
// that it is for: the one that is up, unless there are several.
func choose(base, command string, args []string, least, most int, usage string) (session.State, []string, error) {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprintf(flags.Output(), "usage: quickstart %s [-run NUMBER] %s\n", command, usage) }
	number := flags.Int("run", 0, "number of the run")
	if err := flags.Parse(args); err != nil {
		return session.State{}, nil, err
	}
	if flags.NArg() < least || flags.NArg() > most {
		flags.Usage()
		return session.State{}, nil, flag.ErrHelp
	}
	held, err := slot.Held(base)
	if err != nil {
		return session.State{}, nil, err
	}
	mine, err := pick(held, *number)
	if err != nil {
		return session.State{}, nil, err
	}
	state, err := session.ReadState(mine.Dir)
	return state, flags.Args(), err
}

func pick(held []slot.Slot, number int) (slot.Slot, error) {
	if number == 0 && len(held) == 1 {
		return held[0], nil
	}
	var numbers []string
	for _, slot := range held {
		if slot.Number == number {
			return slot, nil
		}
		numbers = append(numbers, fmt.Sprint(slot.Number))
	}
	switch {
	case len(held) == 0:
		return slot.Slot{}, fmt.Errorf("nothing runs: start it with make run")
	case number == 0:
		return slot.Slot{}, fmt.Errorf("several runs are up: choose one with -run (%s)", strings.Join(numbers, ", "))
	default:
		return slot.Slot{}, fmt.Errorf("there is no run %d: choose one of %s", number, strings.Join(numbers, ", "))
	}
}

// split takes a reference such as podinfo:1.0.0 apart, into repository and tag.
func split(reference string) (string, string, error) {
	repository, tag, found := strings.Cut(reference, ":")
	if !found || repository == "" || tag == "" {
		return "", "", fmt.Errorf("'%s' is not of the form REPOSITORY:TAG, such as podinfo:1.11.0", reference)
	}
	return repository, tag, nil
}
