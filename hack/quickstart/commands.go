// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
	run, args, err := choose(base, "push", args, 1, 1, "REPOSITORY:TAG")
	if err != nil {
		return err
	}
	repository, tag, err := split(args[0])
	if err != nil {
		return err
	}
	image := sampleImage{repository: repository, tag: tag, content: time.Now().Format(time.RFC3339Nano)}
	artifact, err := image.artifact()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	registry := run.registry(repository)
	digest, err := registry.Push(ctx, image.reference(), artifact)
	if err != nil {
		return err
	}
	fmt.Printf("pushed %s with %s\n", registry.Image(image.reference()), digest)
	return nil
}

// retag has a tag point to what another one points to.
func retag(base string, args []string) error {
	run, args, err := choose(base, "retag", args, 2, 2, "FROM TO, each REPOSITORY:TAG")
	if err != nil {
		return err
	}
	from, _, err := split(args[0])
	if err != nil {
		return err
	}
	to, _, err := split(args[1])
	if err != nil {
		return err
	}
	if from != to {
		return fmt.Errorf("'%s' and '%s' are of different repositories", args[0], args[1])
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	registry := run.registry(to)
	digest, err := registry.Retag(ctx, args[0], args[1])
	if err != nil {
		return err
	}
	fmt.Printf("%s now has %s\n", registry.Image(args[1]), digest)
	return nil
}

// reconcile has the controller look now, not at the interval: at all objects, or at
// those whose kind, namespace and name are given.
func reconcile(base string, args []string) error {
	run, args, err := choose(base, "reconcile", args, 0, 1, "[[KIND/][NAMESPACE/]NAME], such as imagepolicy/samples/podinfo")
	if err != nil {
		return err
	}
	cluster, err := run.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	objects, err := listObjects(ctx, cluster)
	if err != nil {
		return err
	}
	now := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, time.Now().Format(time.RFC3339Nano))
	objects = slices.DeleteFunc(objects, func(obj conditions.Getter) bool { return len(args) > 0 && !rowOf(obj).isNamed(args[0]) })
	if len(objects) == 0 {
		return fmt.Errorf("there is no %s: write [KIND/][NAMESPACE/]NAME, such as imagerepository/samples/podinfo", strings.Join(args, ""))
	}
	for _, obj := range objects {
		if err := cluster.Patch(ctx, obj, client.RawPatch(types.MergePatchType, now)); err != nil {
			return err
		}
		fmt.Println("asked for a reconcile of " + rowOf(obj).key())
	}
	return nil
}

// isNamed reports whether a text names the object: [KIND/][NAMESPACE/]NAME.
func (r row) isNamed(named string) bool {
	kind := strings.ToLower(r.kind) + "/"
	_, name, _ := strings.Cut(r.name, "/")
	return slices.Contains([]string{name, r.name, kind + name, kind + r.name}, named)
}

// seed pushes the images of the samples to a registry that is not ours, with the
// credentials of docker login.
func seed(_ string, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: quickstart seed HOST, such as ghcr.io/you/samples")
	}
	ctx := context.Background() // a registry far away may take its time
	_, err := pushSamples(ctx, func(ctx context.Context, image sampleImage, artifact stage.Artifact) (string, error) {
		ref, err := name.ParseReference(args[0] + "/" + image.reference())
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
func choose(base, command string, args []string, least, most int, usage string) (state, []string, error) {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprintf(flags.Output(), "usage: quickstart %s [-run NUMBER] %s\n", command, usage) }
	number := flags.Int("run", 0, "number of the run")
	if err := flags.Parse(args); err != nil {
		return state{}, nil, err
	}
	if flags.NArg() < least || flags.NArg() > most {
		flags.Usage()
		return state{}, nil, flag.ErrHelp
	}
	held, err := heldSlots(base)
	if err != nil {
		return state{}, nil, err
	}
	mine, err := pick(held, *number)
	if err != nil {
		return state{}, nil, err
	}
	run, err := readState(mine.dir)
	return run, flags.Args(), err
}

func pick(held []slot, number int) (slot, error) {
	if number == 0 && len(held) == 1 {
		return held[0], nil
	}
	var numbers []string
	for _, one := range held {
		if one.number == number {
			return one, nil
		}
		numbers = append(numbers, fmt.Sprint(one.number))
	}
	switch {
	case len(held) == 0:
		return slot{}, fmt.Errorf("nothing runs: start it with make run")
	case number == 0:
		return slot{}, fmt.Errorf("several runs are up: choose one with -run (%s)", strings.Join(numbers, ", "))
	default:
		return slot{}, fmt.Errorf("there is no run %d: choose one of %s", number, strings.Join(numbers, ", "))
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
