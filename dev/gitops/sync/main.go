//go:build sync

// Command argocd-sync carries out one sync operation with the engine of Argo CD and the health scripts of gitops/argocd: what the
// controller of Argo CD does for an Application, without the Application. It says how each try of the operation ended, and fails if the
// last one has failed.
//
// The tag keeps it, and the thousand packages that it is made of, out of ./...
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync/common"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"nuvo.dev/gitops/lua"
	"sigs.k8s.io/yaml"
)

const (
	// Argo CD looks at a running operation again when an object of it changes.
	lookEvery  = 100 * time.Millisecond
	tracking   = "argocd.argoproj.io/tracking-id"
	trackingOf = "pipelines:"
)

var kinds = map[string]schema.GroupVersionResource{
	"PipelineRun":      {Group: "nuvo.dev", Version: "v1alpha1", Resource: "pipelineruns"},
	"PipelineSchedule": {Group: "nuvo.dev", Version: "v1alpha1", Resource: "pipelineschedules"},
	"NuvoAccount":      {Group: "nuvo.dev", Version: "v1alpha1", Resource: "nuvoaccounts"},
}

type operation struct {
	config                     *rest.Config
	client                     dynamic.Interface
	namespace, revision        string
	retries                    int
	replace, force, serverSide bool
	targets                    []*unstructured.Unstructured
	scripts                    map[string]string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet("argocd-sync", flag.ContinueOnError)
	var op operation
	kubeconfig := flags.String("kubeconfig", "", "the kubeconfig")
	settings := flags.String("settings", "gitops/argocd/argocd-cm.yaml", "the ConfigMap with the health scripts")
	within := flags.Duration("within", 2*time.Minute, "how long the operation may take")
	flags.StringVar(&op.namespace, "namespace", "", "the namespace of the Application's destination")
	flags.StringVar(&op.revision, "revision", "0123456789abcdef", "the commit")
	flags.IntVar(&op.retries, "retries", 0, "syncPolicy.retry.limit. There is no backoff")
	flags.BoolVar(&op.replace, "replace", false, "the sync option Replace=true, or argocd app sync --replace")
	flags.BoolVar(&op.force, "force", false, "argocd app sync --force")
	flags.BoolVar(&op.serverSide, "server-side", false, "the sync option ServerSideApply=true")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	var err error
	if op.config, err = clientcmd.BuildConfigFromFlags("", *kubeconfig); err != nil {
		return err
	}
	if op.client, err = dynamic.NewForConfig(op.config); err != nil {
		return err
	}
	if op.scripts, err = healthScripts(*settings); err != nil {
		return err
	}
	for _, path := range flags.Args() {
		objects, err := manifests(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		op.targets = append(op.targets, objects...)
	}
	ctx, cancel := context.WithTimeout(ctx, *within)
	defer cancel()
	return op.carryOut(ctx)
}

func healthScripts(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var configMap struct {
		Data map[string]string `json:"data"`
	}
	if err := yaml.Unmarshal(text, &configMap); err != nil {
		return nil, err
	}
	scripts := map[string]string{}
	for kind := range kinds {
		scripts[kind] = configMap.Data["resource.customizations.health.nuvo.dev_"+kind]
	}
	return scripts, nil
}

// manifests are the objects in a file, as Argo CD applies them: marked as those of the Application.
func manifests(path string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for documents := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), len(text)); ; {
		object := &unstructured.Unstructured{}
		if err := documents.Decode(object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		if _, known := kinds[object.GetKind()]; !known {
			return nil, fmt.Errorf("the kind %s is not ours", object.GetKind())
		}
		annotations := object.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[tracking] = trackingOf + object.GetKind() + "/" + object.GetName()
		object.SetAnnotations(annotations)
		objects = append(objects, object)
	}
}

// carryOut repeats the operation as the controller does: with the time of its start, and without what the try before has found.
func (op *operation) carryOut(ctx context.Context) error {
	started := metav1.Now()
	for try := 0; ; try++ {
		phase, message, err := op.try(ctx, started)
		if err != nil {
			return err
		}
		fmt.Printf("try %d: %s: %s\n", try+1, phase, message)
		if phase.Successful() {
			return nil
		}
		if try >= op.retries {
			return fmt.Errorf("the operation has %s after %d retries", strings.ToLower(string(phase)), try)
		}
	}
}

func (op *operation) try(ctx context.Context, started metav1.Time) (common.OperationPhase, string, error) {
	phase, message := common.OperationRunning, ""
	var results []common.ResourceSyncResult
	looks := time.NewTicker(lookEvery)
	defer looks.Stop()
	for {
		live, err := op.live(ctx)
		if err != nil {
			return phase, message, err
		}
		engine, done, err := sync.NewSyncContext(op.revision, sync.Reconcile(copies(op.targets), live, op.namespace, namespaced{}), op.config, op.config,
			&kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}, op.namespace, op.options(phase, message, results, started)...)
		if err != nil {
			return phase, message, err
		}
		engine.Sync()
		phase, message, results = engine.GetState()
		done()
		if phase.Completed() {
			return phase, message, nil
		}
		select {
		case <-looks.C:
		case <-ctx.Done():
			return phase, message, fmt.Errorf("%s: %s: %w", phase, message, ctx.Err())
		}
	}
}

func (op *operation) options(phase common.OperationPhase, message string, results []common.ResourceSyncResult, started metav1.Time) []sync.SyncOpt {
	// There need not be a garbage collector, without which a deletion in the foreground never ends.
	deletion := metav1.DeletePropagationBackground
	return []sync.SyncOpt{
		sync.WithLogr(logr.Discard()),
		sync.WithHealthOverride(health.HealthOverride(op)),
		sync.WithOperationSettings(false, false, op.force, false),
		sync.WithInitialState(phase, message, results, started),
		sync.WithPrunePropagationPolicy(&deletion),
		sync.WithReplace(op.replace),
		sync.WithServerSideApply(op.serverSide),
		sync.WithServerSideApplyManager("argocd-controller"),
	}
}

// live are the objects of the Application in the cluster.
func (op *operation) live(ctx context.Context) (map[kube.ResourceKey]*unstructured.Unstructured, error) {
	live := map[kube.ResourceKey]*unstructured.Unstructured{}
	for _, resource := range kinds {
		list, err := op.client.Resource(resource).Namespace(op.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			object := &list.Items[i]
			if strings.HasPrefix(object.GetAnnotations()[tracking], trackingOf) {
				live[kube.GetResourceKey(object)] = object
			}
		}
	}
	return live, nil
}

// GetResourceHealth is what the script of a kind says.
func (op *operation) GetResourceHealth(object *unstructured.Unstructured) (*health.HealthStatus, error) {
	script := op.scripts[object.GetKind()]
	if script == "" {
		return nil, nil
	}
	answer, err := lua.Run(script, object.Object, nil)
	if err != nil {
		return nil, err
	}
	found := &health.HealthStatus{}
	return found, json.Unmarshal(answer, found)
}

type namespaced struct{}

func (namespaced) IsNamespaced(schema.GroupKind) (bool, error) { return true, nil }

func copies(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	copied := make([]*unstructured.Unstructured, 0, len(objects))
	for _, object := range objects {
		copied = append(copied, object.DeepCopy())
	}
	return copied
}
