// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"os"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/explain/source"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/mirrors"
	"github.com/fluxcd/image-reflector-controller/internal/repository"
	"github.com/fluxcd/image-reflector-controller/internal/terminal"
)

// request is the state of one run of the command.
type request struct {
	*options
	*explain.Case
	cluster        *source.Cluster // nil with --filename
	timeout        time.Duration   // of one operation in the registry, 0 for the client's timeout
	explainOptions explain.Options
	secrets        client.Reader

	mu        sync.Mutex // guards fallbacks
	fallbacks []registry.Fallback
}

// explain loads the objects and tags, and explains them.
func (o *options) explain(ctx context.Context, args []string) (*explain.Result, error) {
	q := &request{options: o, explainOptions: explain.Options{Top: o.top, All: o.all, Tag: o.tag, History: o.history, Now: time.Now()}}
	var err error
	if len(o.files) > 0 {
		err = q.readFiles(args)
	} else {
		err = q.readCluster(ctx, args[0])
	}
	if err != nil {
		return nil, err
	}
	err = q.Compile()
	if err == nil {
		err = source.CheckVerification(q.Policy)
	}
	if err == nil && (!o.gates || q.Times() != v1.TimeCreated) {
		err = q.SelectFromStatus()
	}
	if err != nil {
		return nil, source.Invalid(err)
	}
	var l explain.Listing
	switch {
	case o.tags != "":
		l, err = source.ReadTags(o.tags, os.Stdin)
	case o.fromStatus:
		l, err = source.StatusTags(q.Case)
	default:
		return q.queryRegistry(ctx)
	}
	if err != nil {
		return nil, err
	}
	return q.finish(ctx, l, nil), nil
}

func (q *request) readFiles(args []string) error {
	objects, err := source.ReadFiles(q.files, os.Stdin)
	if err != nil {
		return err
	}
	q.secrets = objects
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	q.Case, err = objects.Case(name, q.kube.overrides.Context.Namespace, q.image)
	if err == nil && q.RepositoryFile != "" {
		q.timeout = q.Repository.GetTimeout()
	}
	return err
}

func (q *request) readCluster(ctx context.Context, name string) error {
	cluster, namespace, err := q.openCluster()
	if err != nil {
		return err
	}
	q.cluster, q.secrets = cluster, cluster
	q.Case, err = cluster.Case(ctx, types.NamespacedName{Namespace: namespace, Name: name})
	if err == nil {
		q.timeout = q.Repository.GetTimeout()
	}
	return err
}

// openCluster returns the cluster and the namespace that the flags select.
func (o *options) openCluster() (*source.Cluster, string, error) {
	kube := o.kube.load()
	namespace, _, err := kube.Namespace()
	if err != nil {
		return nil, "", source.Invalid(err)
	}
	config, err := kube.ClientConfig()
	if err != nil {
		return nil, "", source.Invalid(err)
	}
	cluster, err := source.OpenCluster(config)
	return cluster, namespace, err
}

// queryRegistry lists the current tags, and reads times and evaluates gates if requested.
func (q *request) queryRegistry(ctx context.Context) (*explain.Result, error) {
	if q.Image.IsZero() {
		return nil, source.Invalidf("the image is not known: add a file with the ImageRepository, --image, or --tags with a list")
	}
	progress := terminal.NewProgress(os.Stderr, q.Image.String())
	defer progress.End()
	opts, err := q.clientOptions(progress)
	if err != nil {
		return nil, err
	}
	client := registry.NewClient(opts...)
	defer client.Close()

	remote := &source.RegistryReader{Client: client, Image: q.Image, Timeout: q.timeout}
	l, err := q.list(ctx, remote)
	if err != nil {
		return nil, err
	}
	if err := q.readTimes(ctx, remote, l.Tags, progress); err != nil {
		return nil, err
	}
	if err := q.checkTag(ctx, remote, &l); err != nil {
		return nil, err
	}
	if err := q.evaluateGates(ctx, remote, l); err != nil {
		return nil, err
	}
	return q.finish(ctx, l, remote), nil
}

// clientOptions returns the options of the registry client.
func (q *request) clientOptions(progress *terminal.Progress) ([]registry.ClientOption, error) {
	opts := []registry.ClientOption{registry.WithUserAgent(Controller + "-explain"), registry.WithProgress(progress.Show)}
	if q.mirrors == "" {
		return opts, nil
	}
	file, err := mirrors.Open(q.mirrors, func(error) {})
	if err != nil {
		return nil, source.Invalid(err)
	}
	return append(opts, registry.WithMirrors(file, q.addFallback)), nil
}

// addFallback adds the first failure of each mirror to the notes of the result.
func (q *request) addFallback(f registry.Fallback) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !slices.ContainsFunc(q.fallbacks, func(other registry.Fallback) bool { return other.Mirror == f.Mirror }) {
		q.fallbacks = append(q.fallbacks, f)
	}
}

// noteMirrors notes which mirrors failed.
func (q *request) noteMirrors(r *explain.Result) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, f := range q.fallbacks {
		r.Note(explain.NoteMirror, "mirror %s was tried before %s: %s", f.Mirror, f.Next, f.Err)
	}
}

// checkTag checks whether tags that the list lacks exist: the one in the status and that of --tag.
func (q *request) checkTag(ctx context.Context, remote *source.RegistryReader, l *explain.Listing) error {
	if unconfirmed := q.NeedsConfirmation(l.Tags, q.explainOptions.Now); unconfirmed != "" {
		exists, err := remote.Images(nil).Exists(ctx, unconfirmed)
		if err != nil {
			return err
		}
		if exists {
			l.Unlisted = unconfirmed
		}
	}
	if q.tag == "" || q.tag == l.Unlisted || !registry.IsTag(q.tag) || slices.Contains(l.Tags, q.tag) {
		return nil
	}
	var err error
	q.explainOptions.TagExists, err = remote.Images(nil).Exists(ctx, q.tag)
	return err
}

// list resolves the credentials and lists the tags.
func (q *request) list(ctx context.Context, remote *source.RegistryReader) (explain.Listing, error) {
	if q.timeout > 0 { // as in the controller, one timeout for the credentials and the list
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, q.timeout)
		defer cancel()
	}
	var err error
	if q.cluster != nil {
		remote.Auth, err = q.cluster.Identity(ctx, q.Repository)
		remote.MirrorAuth = func(ctx context.Context, mirror image.Name) (registry.AuthOptions, error) {
			return q.cluster.MirrorIdentity(ctx, q.Repository, mirror)
		}
	} else {
		remote.Auth, err = source.DockerIdentity(ctx, q.Image)
		remote.MirrorAuth = source.DockerIdentity
	}
	if err != nil {
		return explain.Listing{}, err
	}
	return remote.List(ctx)
}

// finish explains the tags and adds notes. remote is nil if no registry is used.
func (q *request) finish(ctx context.Context, l explain.Listing, remote *source.RegistryReader) *explain.Result {
	r := q.Explain(l, q.explainOptions)
	if remote != nil && r.Selected != nil && (!q.gates || r.Selected.Digest == "") && r.Selected.Verdict != v1.CandidateRetained {
		var err error
		if r.Selected.Digest, err = remote.Images(nil).Digest(ctx, r.Selected.Tag); err != nil {
			r.Note(explain.NoteDigestUnknown, "the digest is not known: %s", err)
		}
	}
	if remote != nil && r.History != nil {
		q.notePrevious(ctx, r, remote)
	}
	if q.cluster != nil {
		q.Compare(r, l)
		q.noteAccess(ctx, r)
		q.noteIdentity(r)
	} else {
		q.noteFiles(r, remote != nil)
	}
	q.noteMirrors(r)
	return r
}

// notePrevious notes if the tag to go back to was moved: only its present image can be selected.
func (q *request) notePrevious(ctx context.Context, r *explain.Result, remote *source.RegistryReader) {
	back := r.History.Rollback
	if back == nil || back.Command == "" || back.To.Digest == "" {
		return
	}
	digest, err := remote.Images(nil).Digest(ctx, back.To.Tag)
	switch {
	case err != nil:
		r.Note(explain.NoteDigestUnknown, "whether the tag %s was moved is not known: %s", back.To.Tag, err)
	case digest != back.To.Digest:
		r.Note(explain.NotePreviousMoved, "the tag %s was moved after the policy selected it: it had %s, and the registry has %s",
			back.To.Tag, back.To.Digest, digest)
	}
}

// noteAccess notes whether the policy may refer to the repository. RBAC lets the user read both,
// but the controller checks spec.accessFrom.
func (q *request) noteAccess(ctx context.Context, r *explain.Result) {
	key := repository.KeyOf(q.Policy)
	if key.Namespace == q.Policy.Namespace {
		return
	}
	admitted, err := q.cluster.Admits(ctx, q.Repository, q.Policy.Namespace)
	switch {
	case err != nil:
		r.Note(explain.NoteAccess, "whether spec.accessFrom of ImageRepository '%s' admits namespace '%s' is not known: %s",
			key, q.Policy.Namespace, err)
	case admitted:
		r.Note(explain.NoteAccess, "spec.accessFrom of ImageRepository '%s' admits namespace '%s', unless the controller forbids all "+
			"references to other namespaces", key, q.Policy.Namespace)
	default:
		r.Note(explain.NoteAccess, "spec.accessFrom of ImageRepository '%s' does not admit namespace '%s': the controller refuses this policy",
			key, q.Policy.Namespace)
	}
}

// noteIdentity notes if the identity may differ from the controller's.
func (q *request) noteIdentity(r *explain.Result) {
	spec := q.Repository.Spec
	if q.Repository.GetProvider() != v1.ProviderGeneric && spec.ServiceAccountName == "" && r.Tags.Source == explain.FromRegistry {
		r.Note(explain.NoteIdentity, "spec.provider %q uses the identity of the controller: here, the identity of this machine was used",
			spec.Provider)
	}
}

// noteFiles notes which settings files can't provide.
func (q *request) noteFiles(r *explain.Result, usesRegistry bool) {
	if q.RepositoryFile == "" {
		r.Note(explain.NoteDefaults, "there is no ImageRepository in the files: its defaults were used, such as spec.exclusionList")
	}
	spec := q.Repository.Spec
	if usesRegistry && (spec.SecretRef != nil || spec.ServiceAccountName != "" || spec.CertSecretRef != nil || spec.ProxySecretRef != nil ||
		q.Repository.GetProvider() != v1.ProviderGeneric) {
		r.Note(explain.NoteIdentity, "Secrets and identities that the ImageRepository names are in a cluster: "+
			"the registry was reached with the credentials of the docker configuration for %s, and without certificates and proxy", q.Image.Host())
	}
}
