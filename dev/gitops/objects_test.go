// Package gitops checks what gitops/ hands to Argo CD and Flux with the libraries that these use themselves, on objects that
// tests/e2e/recordings.rs has recorded from the operator.
//
// `UPDATE_RECORDINGS=1 go test ./...` writes the expectations that are derived from the recordings; what they must come to is in this file.
package gitops

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	gitops         = "../../gitops"
	customizations = gitops + "/argocd/resource_customizations/nuvo.dev"
)

// What a tool must make of a recorded object.
type expectation struct {
	health  string
	kstatus status.Status
	// The enabled actions in Argo CD, sorted.
	actions []string
}

var (
	active    = expectation{"Progressing", status.InProgressStatus, nil}
	waiting   = expectation{"Progressing", status.InProgressStatus, []string{"suspend"}}
	suspended = expectation{"Suspended", status.InProgressStatus, []string{"resume"}}
	succeeded = expectation{"Healthy", status.CurrentStatus, []string{"rerun"}}
	failed    = expectation{"Degraded", status.FailedStatus, []string{"rerun"}}
	// A pipeline that cannot be looked at for now. kstatus alone waits for it, Flux with our expressions does not.
	away      = expectation{"Healthy", status.InProgressStatus, nil}
	scheduled = expectation{"Healthy", status.CurrentStatus, []string{"run-now", "suspend"}}
	// A schedule with a slot that cannot start for now.
	held     = expectation{"Healthy", status.InProgressStatus, []string{"run-now", "suspend"}}
	stalled  = expectation{"Degraded", status.FailedStatus, []string{"run-now", "suspend"}}
	doubtful = expectation{"Degraded", status.FailedStatus, []string{"resolve-abandon", "resolve-adopt", "resolve-retry"}}
)

var expectations = map[string]map[string]expectation{
	"PipelineRun": {
		"abandoned":                 failed,
		"account-not-ready":         waiting,
		"deadline-exceeded":         failed,
		"deletion-blocked":          succeeded,
		"developer-mode":            succeeded,
		"execution-failed":          failed,
		"execution-lost":            failed,
		"files":                     succeeded,
		"fixed-in-nuvo":             succeeded,
		"invalid-spec":              {"Degraded", status.FailedStatus, nil},
		"nothing-to-process":        succeeded,
		"nothing-to-process-failed": failed,
		"nuvo-unavailable":          waiting,
		"observed-running":          active,
		"observed-succeeded":        {"Healthy", status.CurrentStatus, nil},
		"pending":                   waiting,
		"pipeline-busy":             waiting,
		"pipeline-running":          waiting,
		"quality-gate-failed":       failed,
		"rate-limited":              waiting,
		"rerun":                     succeeded,
		"retry-scheduled":           waiting,
		"running":                   active,
		"skipped":                   succeeded,
		"slot-not-claimed":          failed,
		"start-deadline-exceeded":   failed,
		"status-lost":               failed,
		"succeeded":                 succeeded,
		"suspended":                 suspended,
		"trigger-outcome-unknown":   doubtful,
		"trigger-rejected":          failed,
		"trigger-unconfirmed":       active,
		"unobserved":                waiting,
		"unwatched":                 active,
	},
	"NuvoAccount": {
		"credentials-rejected": {"Degraded", status.FailedStatus, nil},
		"nuvo-unavailable":     active,
		"origin-not-allowed":   {"Degraded", status.FailedStatus, nil},
		"permission-missing":   {"Degraded", status.FailedStatus, nil},
		"ready":                {"Healthy", status.CurrentStatus, nil},
		"secret-invalid":       {"Degraded", status.FailedStatus, nil},
		"secret-not-found":     {"Degraded", status.FailedStatus, nil},
		"unobserved":           active,
	},
	"NuvoPipeline": {
		"account-not-ready":   away,
		"catching-up":         {"Healthy", status.CurrentStatus, nil},
		"developer-mode":      {"Healthy", status.CurrentStatus, nil},
		"execution-failed":    {"Healthy", status.CurrentStatus, nil},
		"invalid-spec":        {"Degraded", status.FailedStatus, nil},
		"not-observed":        away,
		"observed":            {"Healthy", status.CurrentStatus, nil},
		"order-unknown":       away,
		"pending":             active,
		"pipeline-forbidden":  away,
		"pipeline-not-found":  {"Degraded", status.FailedStatus, nil},
		"quality-gate-failed": {"Healthy", status.CurrentStatus, nil},
		"stale":               {"Healthy", status.CurrentStatus, nil},
		"suspended":           {"Healthy", status.CurrentStatus, nil},
		"nuvo-unavailable":    away,
		"too-many-pipelines":  away,
		"unobserved":          active,
	},
	"PipelineSchedule": {
		"also-scheduled-in-nuvo": scheduled,
		"blocked-by-run":         scheduled,
		"clock-in-doubt":         held,
		"create-refused":         held,
		"invalid-schedule":       stalled,
		"invalid-time-zone":      stalled,
		"last-run-failed":        scheduled,
		"name-taken":             held,
		"never-due":              stalled,
		"not-selected":           stalled,
		"scheduled":              scheduled,
		"suspended":              {"Healthy", status.CurrentStatus, []string{"resume", "run-now"}},
		"too-many-unresolved":    held,
		"unobserved":             {"Progressing", status.InProgressStatus, []string{"run-now", "suspend"}},
	},
}

// Calls check with every recorded object of a kind, as a client of the API server would have decoded it.
func eachRecorded(t *testing.T, kind string, check func(t *testing.T, name string, object *unstructured.Unstructured, want expectation)) {
	t.Helper()
	wanted := expectations[kind]
	paths, err := filepath.Glob(filepath.Join(customizations, kind, "testdata", "*.yaml"))
	must(t, err)
	names := make([]string, 0, len(paths))
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		names = append(names, name)
		t.Run(kind+"/"+name, func(t *testing.T) { check(t, name, read(t, path), wanted[name]) })
	}
	slices.Sort(names)
	if listed := slices.Sorted(maps.Keys(wanted)); !slices.Equal(names, listed) {
		t.Errorf("recorded are %v, expected were %v", names, listed)
	}
}

func read(t *testing.T, path string) *unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return decode(t, text)
}

// The way through JSON keeps integers integers, as those of the API server are.
func decode(t *testing.T, text []byte) *unstructured.Unstructured {
	t.Helper()
	json, err := yaml.YAMLToJSON(text)
	must(t, err)
	object := &unstructured.Unstructured{}
	must(t, object.UnmarshalJSON(json))
	return object
}

func updating() bool { return os.Getenv("UPDATE_RECORDINGS") != "" }

// Compares a file that is derived from the recordings with what it has to be.
func derived(t *testing.T, path string, content any) {
	t.Helper()
	body, err := yaml.Marshal(content)
	must(t, err)
	text := append([]byte("# Derived from the recordings by dev/gitops. Do not edit.\n"), body...)
	if updating() {
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, text, 0o644))
		return
	}
	old, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(bytes.ReplaceAll(old, []byte("\r\n"), []byte("\n")), text) {
		t.Errorf("%s is stale: run `UPDATE_RECORDINGS=1 go test ./...` in dev/gitops, and look at the difference", path)
	}
}

// Calls check with the object less one field or one item, for each of them.
func eachMutilated(object map[string]any, check func(path string, mutilated map[string]any)) {
	var walk func(path string, value any, put func(any) map[string]any)
	walk = func(path string, value any, put func(any) map[string]any) {
		switch value := value.(type) {
		case map[string]any:
			for name, inner := range value {
				rest := maps.Clone(value)
				delete(rest, name)
				check(path+"."+name, put(rest))
				walk(path+"."+name, inner, func(changed any) map[string]any {
					other := maps.Clone(value)
					other[name] = changed
					return put(other)
				})
			}
		case []any:
			for index, inner := range value {
				check(path+"[]", put(slices.Delete(slices.Clone(value), index, index+1)))
				walk(path+"[]", inner, func(changed any) map[string]any {
					other := slices.Clone(value)
					other[index] = changed
					return put(other)
				})
			}
		}
	}
	walk("", object, func(changed any) map[string]any { return changed.(map[string]any) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
