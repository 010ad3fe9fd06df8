//go:build flux

// Command flux-apply does once what the controller of Flux does for the Kustomization in gitops/flux, with its libraries: it applies manifests,
// takes back what kubectl has changed, and waits for them with the health checks of the sample.
//
// The tag keeps it, and what it is made of, out of ./...
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/kstatus/polling/engine"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"github.com/fluxcd/pkg/ssa"
	ssautils "github.com/fluxcd/pkg/ssa/utils"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"
)

const (
	controller = "kustomize-controller"
	group      = "kustomize.toolkit.fluxcd.io"
	// Of the controller: 5 s.
	lookEvery = 100 * time.Millisecond
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	flags := flag.NewFlagSet("flux-apply", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "the kubeconfig")
	namespace := flags.String("namespace", "", "spec.targetNamespace")
	timeout := flags.Duration("timeout", time.Minute, "spec.timeout")
	sample := flags.String("kustomization", "gitops/flux/kustomization.yaml", "the file with the health checks")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	// It looks more often than the controller.
	config.QPS = -1
	manager, err := resourceManager(config, *sample)
	if err != nil {
		return err
	}
	ctx := context.Background()
	set := ssa.NewChangeSet()
	for _, path := range flags.Args() {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		objects, err := ssautils.ReadObjects(bytes.NewReader(text))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, object := range objects {
			object.SetNamespace(*namespace)
		}
		manager.SetOwnerLabels(objects, "pipelines", "flux-system")
		changes, err := manager.ApplyAllStaged(ctx, objects, applyOptions())
		if err != nil {
			return err
		}
		set.Append(changes.Entries)
	}
	fmt.Println(set)
	return manager.WaitForSetWithContext(ctx, set.ToObjMetadataSet(), ssa.WaitOptions{Interval: lookEvery, Timeout: *timeout, FailFast: true})
}

func resourceManager(config *rest.Config, sample string) (*ssa.ResourceManager, error) {
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, http)
	if err != nil {
		return nil, err
	}
	api, err := client.New(config, client.Options{Mapper: mapper})
	if err != nil {
		return nil, err
	}
	checks, err := healthChecks(sample)
	if err != nil {
		return nil, err
	}
	reader, err := cel.NewStatusReader(checks)
	if err != nil {
		return nil, err
	}
	poller := polling.NewStatusPoller(api, mapper, polling.Options{CustomStatusReaders: []engine.StatusReader{reader(mapper)}})
	return ssa.NewResourceManager(api, poller, ssa.Owner{Field: controller, Group: group}), nil
}

func healthChecks(path string) ([]kustomize.CustomHealthCheck, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var found []kustomize.CustomHealthCheck
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var object struct {
			Spec struct {
				Checks []kustomize.CustomHealthCheck `json:"healthCheckExprs"`
			} `json:"spec"`
		}
		body, err := yaml.YAMLToJSON(document)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(body, &object); err != nil {
			return nil, err
		}
		found = append(found, object.Spec.Checks...)
	}
	return found, nil
}

// applyOptions are those of kustomize-controller.
func applyOptions() ssa.ApplyOptions {
	options := ssa.DefaultApplyOptions()
	options.Cleanup.FieldManagers = []ssa.FieldManager{
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
		{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
		{Name: controller, OperationType: metav1.ManagedFieldsOperationUpdate},
	}
	options.Cleanup.Exclusions = map[string]string{group + "/ssa": "Merge"}
	return options
}
