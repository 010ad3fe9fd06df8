package gitops

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// What Flux, and Helm with --wait, see without being told anything of these kinds.
func TestKstatus(t *testing.T) {
	for kind := range expectations {
		eachRecorded(t, kind, func(t *testing.T, _ string, object *unstructured.Unstructured, want expectation) {
			found, err := status.Compute(object)
			must(t, err)
			if found.Status != want.kstatus {
				t.Errorf("it is %s (%s), not %s", found.Status, found.Message, want.kstatus)
			}
			object.SetGeneration(object.GetGeneration() + 1)
			if found, err = status.Compute(object); err != nil || found.Status != status.InProgressStatus {
				t.Errorf("after a change it is %v, %v", found, err)
			}
		})
	}
}

func healthChecks(t *testing.T) map[string]*cel.StatusEvaluator {
	t.Helper()
	text, err := os.ReadFile(gitops + "/flux/kustomization.yaml")
	must(t, err)
	evaluators := map[string]*cel.StatusEvaluator{}
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var object struct {
			Spec struct {
				Wait   bool              `json:"wait"`
				Checks []json.RawMessage `json:"healthCheckExprs"`
			} `json:"spec"`
		}
		must(t, yaml.Unmarshal(document, &object))
		if len(object.Spec.Checks) > 0 && !object.Spec.Wait {
			t.Error("a Kustomization that does not wait looks at no health check")
		}
		for _, text := range object.Spec.Checks {
			var check kustomize.CustomHealthCheck
			must(t, yaml.UnmarshalStrict(text, &check))
			if check.APIVersion != "nuvo.dev/v1alpha1" {
				t.Errorf("%s is not ours", check.APIVersion)
			}
			evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
			must(t, err)
			evaluators[check.Kind] = evaluator
		}
	}
	return evaluators
}

func TestHealthCheckExpressions(t *testing.T) {
	evaluators := healthChecks(t)
	for kind := range expectations {
		evaluator := evaluators[kind]
		if evaluator == nil {
			t.Fatalf("no health check of %s", kind)
		}
		eachRecorded(t, kind, func(t *testing.T, _ string, object *unstructured.Unstructured, want expectation) {
			found, err := evaluator.Evaluate(context.Background(), object)
			must(t, err)
			wanted := want.kstatus
			if want.health == "Healthy" {
				wanted = status.CurrentStatus
			}
			if found.Status != wanted {
				t.Errorf("it is %s, not %s", found.Status, wanted)
			}
			// What a condition has, the API server requires.
			for name := range object.Object["status"].(map[string]any) {
				less := object.DeepCopy()
				unstructured.RemoveNestedField(less.Object, "status", name)
				found, err := evaluator.Evaluate(context.Background(), less)
				if err != nil {
					t.Errorf("without status.%s: %v", name, err)
				} else if found.Status == status.CurrentStatus && wanted != status.CurrentStatus {
					t.Errorf("without status.%s it is %s", name, found.Status)
				}
			}
		})
	}
}
