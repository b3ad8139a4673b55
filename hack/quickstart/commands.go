// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// commandTimeout bounds every command.
const commandTimeout = time.Minute

// command is a subcommand that acts on a running quickstart, such as push or retag.
type command struct {
	usage            string // of the arguments
	minArgs, maxArgs int
	do               func(ctx context.Context, run state, args []string) error
}

var commands = map[string]command{
	"push":      {"REPOSITORY:TAG", 1, 1, push},
	"retag":     {"FROM TO, each REPOSITORY:TAG", 2, 2, retag},
	"reconcile": {"[[KIND/][NAMESPACE/]NAME], such as imagepolicy/samples/podinfo", 0, 1, reconcile},
}

// execute parses the arguments of a command and executes it for the active run below base. If
// several are active, the flag -run selects one.
func execute(base, name string, args []string) error {
	c := commands[name]
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprintf(flags.Output(), "usage: quickstart %s [-run NUMBER] %s\n", name, c.usage) }
	number := flags.Int("run", 0, "number of the run")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() < c.minArgs || flags.NArg() > c.maxArgs {
		flags.Usage()
		return flag.ErrHelp
	}
	active, err := activeSlots(base)
	if err != nil {
		return err
	}
	selected, err := selectSlot(active, *number)
	if err != nil {
		return err
	}
	run, err := readState(selected.dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	return c.do(ctx, run, flags.Args())
}

// selectSlot returns the slot with the number. If number is 0, it returns the only slot.
func selectSlot(active []slot, number int) (slot, error) {
	var numbers []string
	for _, s := range active {
		if s.number == number || number == 0 && len(active) == 1 {
			return s, nil
		}
		numbers = append(numbers, strconv.Itoa(s.number))
	}
	switch {
	case len(active) == 0:
		return slot{}, errors.New("nothing runs: start it with make run")
	case number == 0:
		return slot{}, fmt.Errorf("several runs are up: choose one with -run (%s)", strings.Join(numbers, ", "))
	default:
		return slot{}, fmt.Errorf("there is no run %d: choose one of %s", number, strings.Join(numbers, ", "))
	}
}

// push pushes a new image with a unique digest to the registry of a run.
func push(ctx context.Context, run state, args []string) error {
	repository, tag, err := split(args[0])
	if err != nil {
		return err
	}
	artifact, err := sampleImage{repository: repository, tag: tag, content: time.Now().Format(time.RFC3339Nano)}.artifact()
	if err != nil {
		return err
	}
	registry := run.registry(repository)
	digest, err := registry.Push(ctx, args[0], artifact)
	if err != nil {
		return err
	}
	fmt.Printf("pushed %s with %s\n", registry.Image(args[0]), digest)
	return nil
}

// retag moves a tag to the image of another one.
func retag(ctx context.Context, run state, args []string) error {
	from, _, err := split(args[0])
	if err != nil {
		return err
	}
	to, _, err := split(args[1])
	if err != nil {
		return err
	}
	if from != to {
		return fmt.Errorf("'%s' and '%s' are in different repositories", args[0], args[1])
	}
	registry := run.registry(to)
	digest, err := registry.Retag(ctx, args[0], args[1])
	if err != nil {
		return err
	}
	fmt.Printf("%s now has %s\n", registry.Image(args[1]), digest)
	return nil
}

// reconcile requests a reconcile of all objects, or of those with the given name.
func reconcile(ctx context.Context, run state, args []string) error {
	cluster, err := run.client()
	if err != nil {
		return err
	}
	objects, err := listObjects(ctx, cluster)
	if err != nil {
		return err
	}
	now := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, time.Now().Format(time.RFC3339Nano))
	objects = slices.DeleteFunc(objects, func(obj conditions.Getter) bool { return len(args) > 0 && !rowOf(obj).matches(args[0]) })
	if len(objects) == 0 {
		return fmt.Errorf("there is no %s: write [KIND/][NAMESPACE/]NAME, such as imagerepository/samples/podinfo", strings.Join(args, ""))
	}
	for _, obj := range objects {
		if err := cluster.Patch(ctx, obj, client.RawPatch(types.MergePatchType, now)); err != nil {
			return err
		}
		fmt.Println("requested a reconcile of " + rowOf(obj).key())
	}
	return nil
}

// matches reports whether reference, [KIND/][NAMESPACE/]NAME, names the object.
func (r row) matches(reference string) bool {
	kind := strings.ToLower(r.kind) + "/"
	_, name, _ := strings.Cut(r.name, "/")
	return slices.Contains([]string{name, r.name, kind + name, kind + r.name}, reference)
}

// seed pushes the images of the samples to a registry of the user, with the credentials of
// docker login.
func seed(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: quickstart seed HOST, such as ghcr.io/you/samples")
	}
	_, err := pushSamples(ctx, func(ctx context.Context, image sampleImage, artifact testenv.Artifact) (string, error) {
		reference := args[0] + "/" + image.reference()
		digest, err := testenv.Push(ctx, reference, artifact, crane.WithAuthFromKeychain(authn.DefaultKeychain))
		if err == nil {
			fmt.Printf("pushed %s with %s\n", reference, digest)
		}
		return digest, err
	})
	return err
}

// split splits a reference such as podinfo:1.0.0 into repository and tag.
func split(reference string) (string, string, error) {
	repository, tag, found := strings.Cut(reference, ":")
	if !found || repository == "" || tag == "" {
		return "", "", fmt.Errorf("'%s' is not of the form REPOSITORY:TAG, such as podinfo:1.11.0", reference)
	}
	return repository, tag, nil
}
