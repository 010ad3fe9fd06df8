package gitops

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"nuvo.dev/gitops/lua"
)

// With the annotation, a last run that failed is Degraded. A slot that cannot start for now still is not, and nothing is healthier than without.
func TestTheLastRunOfAScheduleCountsIfAsked(t *testing.T) {
	script := installed(t, "PipelineSchedule").health
	degraded := 0
	eachRecorded(t, "PipelineSchedule", func(t *testing.T, _ string, object *unstructured.Unstructured, want expectation) {
		wanted := want.health
		if condition(object, "LastRunSucceeded")["status"] == "False" {
			wanted = "Degraded"
			degraded++
		}
		for annotation, wanted := range map[string]string{"last-run": wanted, "data": want.health} {
			object.SetAnnotations(map[string]string{"nuvo.dev/health": annotation})
			found, err := health(script, object.Object)
			must(t, err)
			if found.Status != wanted {
				t.Errorf("with %s it is %s, not %s", annotation, found.Status, wanted)
			}
		}
	})
	if degraded == 0 {
		t.Error("no object with a last run that failed")
	}
}

// What an action creates, as Argo CD reads it.
type impacted struct {
	Resource  map[string]any `json:"resource"`
	Operation string         `json:"operation"`
}

// The form in which Argo CD keeps it for its tests.
type expectedImpact struct {
	K8SOperation    string         `json:"k8sOperation"`
	UnstructuredObj map[string]any `json:"unstructuredObj"`
}

func runNow(t *testing.T, script string, object map[string]any) map[string]any {
	t.Helper()
	answer, err := lua.Run(script, object, nil)
	must(t, err)
	var all []impacted
	must(t, json.Unmarshal(answer, &all))
	if len(all) != 1 || all[0].Operation != "create" {
		t.Fatalf("the answer is %s", answer)
	}
	return all[0].Resource
}

func TestActionsOfASchedule(t *testing.T) {
	s := installed(t, "PipelineSchedule")
	actions := filepath.Join(customizations, "PipelineSchedule", "actions")
	var tests actionTests
	eachRecorded(t, "PipelineSchedule", func(t *testing.T, name string, object *unstructured.Unstructured, want expectation) {
		offers, err := discover(s.discovery, object.Object)
		must(t, err)
		input := "../testdata/" + name + ".yaml"
		tests.DiscoveryTests = append(tests.DiscoveryTests, discoveryTest{input, offers})
		var enabled []string
		for _, offer := range offers {
			if !offer.Disabled {
				enabled = append(enabled, offer.Name)
			}
		}
		if !slices.Equal(enabled, want.actions) {
			t.Errorf("enabled are %v, not %v", enabled, want.actions)
		}
		for action, suspended := range map[string]bool{"suspend": true, "resume": false} {
			after, err := runAction(s.actions[action], object.Object, nil)
			must(t, err)
			changed := changes("", object.Object, after)
			if found, _, _ := unstructured.NestedBool(after, "spec", "suspend"); found != suspended || slices.Contains(enabled, action) != slices.Equal(changed, []string{".spec.suspend"}) {
				t.Errorf("%s changes %v", action, changed)
			}
		}
		before := plain(object.Object)
		run := runNow(t, s.actions["run-now"], object.Object)
		checkRun(t, object, run)
		if len(changes("", before, object.Object)) > 0 {
			t.Error("run-now changes the schedule")
		}
		if name == "scheduled" {
			output := "testdata/scheduled-run-now.yaml"
			must(t, unstructured.SetNestedField(run, name+"-now-0", "metadata", "name"))
			derived(t, filepath.Join(actions, output), []expectedImpact{{"create", run}})
			tests.ActionTests = append(tests.ActionTests, actionTest{"run-now", input, nil, output, ""})
		}
		for _, kept := range []struct{ action, name string }{{"resume", "suspended"}, {"suspend", "scheduled"}} {
			if kept.name != name {
				continue
			}
			after, err := runAction(s.actions[kept.action], object.Object, nil)
			must(t, err)
			output := "testdata/" + name + "-" + kept.action + ".yaml"
			derived(t, filepath.Join(actions, output), after)
			tests.ActionTests = append(tests.ActionTests, actionTest{kept.action, input, nil, output, ""})
		}
	})
	derived(t, filepath.Join(actions, "action_test.yaml"), tests)
}

// The run is that of the template, of this schedule, and of no application.
func checkRun(t *testing.T, schedule *unstructured.Unstructured, made map[string]any) {
	t.Helper()
	run := unstructured.Unstructured{Object: made}
	seconds := regexp.MustCompile("^" + regexp.QuoteMeta(schedule.GetName()) + `-now-(\d+)$`).FindStringSubmatch(run.GetName())
	if seconds == nil {
		t.Fatalf("its name is %s", run.GetName())
	}
	at, err := strconv.ParseInt(seconds[1], 10, 64)
	must(t, err)
	if age := time.Since(time.Unix(at, 0)); age < -time.Second || age > time.Minute {
		t.Errorf("the time in its name is %s ago", age)
	}
	if run.GetKind() != "PipelineRun" || run.GetAPIVersion() != "nuvo.dev/v1alpha1" || run.GetNamespace() != schedule.GetNamespace() {
		t.Errorf("it is %s %s in %s", run.GetAPIVersion(), run.GetKind(), run.GetNamespace())
	}
	owner := fmt.Sprint(made["metadata"].(map[string]any)["ownerReferences"])
	wanted := fmt.Sprintf("[map[apiVersion:nuvo.dev/v1alpha1 blockOwnerDeletion:false controller:true kind:PipelineSchedule name:%s uid:%s]]", schedule.GetName(), schedule.GetUID())
	if owner != wanted {
		t.Errorf("its owners are %s, not %s", owner, wanted)
	}
	template, _, err := unstructured.NestedMap(schedule.Object, "spec", "runTemplate")
	must(t, err)
	if changed := changes("", template["spec"], made["spec"]); len(changed) > 0 {
		t.Errorf("its spec differs from the template at %v", changed)
	}
	labels, _, _ := unstructured.NestedStringMap(template, "metadata", "labels")
	if len(run.GetLabels()) != len(labels)+1 || run.GetLabels()["nuvo.dev/schedule"] != schedule.GetName() {
		t.Errorf("its labels are %v", run.GetLabels())
	}
	if annotations, _, _ := unstructured.NestedMap(template, "metadata", "annotations"); len(run.GetAnnotations()) != len(annotations) {
		t.Errorf("its annotations are %v", run.GetAnnotations())
	}
}

// What Argo CD marks the schedule with stays with the schedule. What the template says is taken over.
func TestRunNowTakesItsLabelsFromTheTemplateOnly(t *testing.T) {
	s := installed(t, "PipelineSchedule")
	object := read(t, filepath.Join(customizations, "PipelineSchedule", "testdata", "scheduled.yaml"))
	object.SetLabels(map[string]string{"app.kubernetes.io/instance": "pipelines"})
	object.SetAnnotations(map[string]string{"argocd.argoproj.io/tracking-id": "pipelines:nuvo.dev/PipelineSchedule:team/scheduled"})
	template := map[string]any{"labels": map[string]any{"team": "data"}, "annotations": map[string]any{}}
	must(t, unstructured.SetNestedMap(object.Object, template, "spec", "runTemplate", "metadata"))
	run := unstructured.Unstructured{Object: runNow(t, s.actions["run-now"], object.Object)}
	if labels := run.GetLabels(); len(labels) != 2 || labels["team"] != "data" || labels["nuvo.dev/schedule"] != "scheduled" {
		t.Errorf("its labels are %v", labels)
	}
	if _, has := run.Object["metadata"].(map[string]any)["annotations"]; has {
		t.Errorf("an empty table became %v", run.Object["metadata"])
	}
	must(t, unstructured.SetNestedField(object.Object, map[string]any{"example.com/why": "nightly"}, "spec", "runTemplate", "metadata", "annotations"))
	run = unstructured.Unstructured{Object: runNow(t, s.actions["run-now"], object.Object)}
	if annotations := run.GetAnnotations(); len(annotations) != 1 || annotations["example.com/why"] != "nightly" {
		t.Errorf("its annotations are %v", annotations)
	}
	unstructured.RemoveNestedField(object.Object, "spec", "runTemplate", "spec")
	if _, err := lua.Run(s.actions["run-now"], object.Object, nil); err == nil || !strings.Contains(err.Error(), "runTemplate") {
		t.Errorf("without a template: %v", err)
	}
}
