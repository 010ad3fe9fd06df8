package gitops

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"nuvo.dev/gitops/lua"
	"sigs.k8s.io/yaml"
)

// The scripts of a kind, as Argo CD reads them from argocd-cm.
type scripts struct {
	health    string
	discovery string
	actions   map[string]string
}

func installed(t *testing.T, kind string) scripts {
	t.Helper()
	var configMap struct {
		Data map[string]string `json:"data"`
	}
	text, err := os.ReadFile(gitops + "/argocd/argocd-cm.yaml")
	must(t, err)
	must(t, yaml.Unmarshal(text, &configMap))
	found := scripts{health: configMap.Data["resource.customizations.health.nuvo.dev_"+kind], actions: map[string]string{}}
	var actions struct {
		Discovery   string `json:"discovery.lua"`
		Definitions []struct {
			Name   string `json:"name"`
			Action string `json:"action.lua"`
		} `json:"definitions"`
	}
	must(t, yaml.UnmarshalStrict([]byte(configMap.Data["resource.customizations.actions.nuvo.dev_"+kind]), &actions))
	found.discovery = actions.Discovery
	for _, definition := range actions.Definitions {
		found.actions[definition.Name] = definition.Action
	}
	return found
}

func (s scripts) all() map[string]string {
	all := map[string]string{"health": s.health}
	if s.discovery != "" {
		all["discovery"] = s.discovery
	}
	maps.Copy(all, s.actions)
	return all
}

func TestTheConfigMapHasTheScriptsOfTheFolder(t *testing.T) {
	for kind := range expectations {
		s := installed(t, kind)
		paths, err := filepath.Glob(filepath.Join(customizations, kind, "actions", "*", "action.lua"))
		must(t, err)
		of := map[string]string{"health": filepath.Join(customizations, kind, "health.lua")}
		for _, path := range paths {
			of[filepath.Base(filepath.Dir(path))] = path
		}
		if len(paths) > 0 {
			of["discovery"] = filepath.Join(customizations, kind, "actions", "discovery.lua")
		}
		if names, there := slices.Sorted(maps.Keys(s.all())), slices.Sorted(maps.Keys(of)); !slices.Equal(names, there) {
			t.Errorf("%s: the ConfigMap has %v, the folder %v", kind, names, there)
		}
		for name, script := range s.all() {
			text, err := os.ReadFile(of[name])
			must(t, err)
			if string(text) != script {
				t.Errorf("%s: %s is not the same in the ConfigMap; run `cargo xtask generate`", kind, name)
			}
		}
	}
}

// A rule for an action that does not exist would allow nothing, silently.
func TestTheRulesNameActionsThatExist(t *testing.T) {
	text, err := os.ReadFile(gitops + "/argocd/argocd-rbac-cm.yaml")
	must(t, err)
	rules := regexp.MustCompile(`action/nuvo\.dev/(\w+)/([\w*-]+)`).FindAllStringSubmatch(string(text), -1)
	if len(rules) == 0 {
		t.Error("no rules")
	}
	for _, rule := range rules {
		actions := installed(t, rule[1]).actions
		if _, ok := actions[rule[2]]; !ok && (rule[2] != "*" || len(actions) == 0) {
			t.Errorf("%s is no action", rule[0])
		}
	}
}

// An unopened library makes only that line fail which is reached.
func TestNoScriptNeedsALibraryThatIsNotOpened(t *testing.T) {
	library := regexp.MustCompile(`\b(string|math|io|debug|coroutine|channel|bit32|utf8)\s*[.\[]|["\w)\]]:\w+\s*\(`)
	for kind := range expectations {
		for name, script := range installed(t, kind).all() {
			if found := library.FindString(script); found != "" {
				t.Errorf("%s: %s uses %q", kind, name, found)
			}
		}
	}
}

type healthStatus struct {
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

func health(script string, object map[string]any) (healthStatus, error) {
	answer, err := lua.Run(script, object, nil)
	if err != nil {
		return healthStatus{}, err
	}
	var found healthStatus
	if err := json.Unmarshal(answer, &found); err != nil {
		return healthStatus{}, fmt.Errorf("the answer %s is no health: %w", answer, err)
	}
	// Missing is one of Argo CD's words, too, but makes a hook succeed; an unknown one makes it fail.
	if !slices.Contains([]string{"Healthy", "Progressing", "Degraded", "Suspended"}, found.Status) {
		return found, fmt.Errorf("the answer is %s", answer)
	}
	if found.Message == "" {
		return found, fmt.Errorf("no message in %s", answer)
	}
	return found, nil
}

func condition(object *unstructured.Unstructured, kind string) map[string]any {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, item := range conditions {
		if condition, ok := item.(map[string]any); ok && condition["type"] == kind {
			return condition
		}
	}
	return nil
}

type healthTest struct {
	InputPath    string       `json:"inputPath"`
	HealthStatus healthStatus `json:"healthStatus"`
}

type healthTests struct {
	Tests []healthTest `json:"tests"`
}

func TestHealth(t *testing.T) {
	for kind, outcome := range map[string]string{"PipelineRun": "Succeeded", "NuvoAccount": "Ready", "NuvoPipeline": "Ready", "PipelineSchedule": "Ready"} {
		script := installed(t, kind).health
		var tests healthTests
		eachRecorded(t, kind, func(t *testing.T, name string, object *unstructured.Unstructured, want expectation) {
			found, err := health(script, object.Object)
			must(t, err)
			if found.Status != want.health {
				t.Errorf("it is %s, not %s", found.Status, want.health)
			}
			tests.Tests = append(tests.Tests, healthTest{"testdata/" + name + ".yaml", found})
			var told []string
			for _, kind := range []string{outcome, "DeveloperMode", "DeletionBlocked", "Unwatched", "AlsoScheduledInNuvo"} {
				condition := condition(object, kind)
				message, ok := condition["message"].(string)
				if ok && message == "" && condition["reason"] == "Scheduled" {
					message = "Each slot starts a run when it is due."
				}
				if ok {
					told = append(told, message)
				}
			}
			for _, kind := range append([]string{"LastRunSucceeded"}, aboutData...) {
				if condition := condition(object, kind); condition["status"] == "False" {
					told = append(told, condition["message"].(string))
				}
			}
			// The outcome comes first, the others in the order of the conditions.
			said := len(told) == 0 || strings.HasPrefix(found.Message, told[0]) && len(found.Message) == len(strings.Join(told, " "))
			for _, message := range told {
				said = said && strings.Contains(found.Message, message)
			}
			if !said {
				t.Errorf("the message is %q, and the conditions say %q", found.Message, told)
			}
		})
		derived(t, filepath.Join(customizations, kind, "health_test.yaml"), tests)
	}
}

// The conditions of a NuvoPipeline that say something about its data.
var aboutData = []string{"Fresh", "LastExecutionSucceeded", "QualityGatePassed"}

// With the annotation, data that is stale or wrong is Degraded. An account that is away still is not, and nothing is healthier than without.
func TestTheDataOfAPipelineCountsIfAsked(t *testing.T) {
	script := installed(t, "NuvoPipeline").health
	degraded := 0
	eachRecorded(t, "NuvoPipeline", func(t *testing.T, _ string, object *unstructured.Unstructured, want expectation) {
		wanted := want.health
		for _, kind := range aboutData {
			if condition(object, kind)["status"] == "False" {
				wanted = "Degraded"
				degraded++
			}
		}
		for annotation, wanted := range map[string]string{"data": wanted, "runs": want.health} {
			object.SetAnnotations(map[string]string{"nuvo.dev/health": annotation})
			found, err := health(script, object.Object)
			must(t, err)
			if found.Status != wanted {
				t.Errorf("with %s it is %s, not %s", annotation, found.Status, wanted)
			}
		}
	})
	if degraded < 3 {
		t.Errorf("only %d objects with data that is not as it should be", degraded)
	}
}

func TestAnObjectThatHasChangedSinceIsProgressing(t *testing.T) {
	for kind := range expectations {
		script := installed(t, kind).health
		eachRecorded(t, kind, func(t *testing.T, _ string, object *unstructured.Unstructured, _ expectation) {
			object.SetGeneration(object.GetGeneration() + 1)
			if found, err := health(script, object.Object); err != nil || found.Status != "Progressing" {
				t.Errorf("it is %v, %v", found, err)
			}
		})
	}
}

func TestHealthAndDiscoverySurviveWhatIsMissing(t *testing.T) {
	for kind := range expectations {
		s := installed(t, kind)
		check := func(t *testing.T, path string, object map[string]any, want expectation) {
			found, err := health(s.health, object)
			if err != nil {
				t.Errorf("without %s: %v", path, err)
			}
			if found.Status == "Healthy" && want.health != "Healthy" {
				t.Errorf("without %s it is Healthy", path)
			}
			if s.discovery == "" {
				return
			}
			if _, err := discover(s.discovery, object); err != nil {
				t.Errorf("without %s: %v", path, err)
			}
		}
		eachRecorded(t, kind, func(t *testing.T, _ string, object *unstructured.Unstructured, want expectation) {
			mutilated := 0
			eachMutilated(object.Object, func(path string, object map[string]any) {
				mutilated++
				check(t, path, object, want)
			})
			if mutilated < 10 {
				t.Errorf("only %d fields", mutilated)
			}
		})
		check(t, "everything", map[string]any{}, expectation{})
	}
}

// The largest status that the operator writes: 64 executions with 10 log runs each, and 1,000 ids.
func TestALargeObjectTakesNoTime(t *testing.T) {
	s := installed(t, "PipelineRun")
	object := read(t, filepath.Join(customizations, "PipelineRun", "testdata", "files.yaml"))
	executions, _, err := unstructured.NestedSlice(object.Object, "status", "executions")
	must(t, err)
	execution := executions[0].(map[string]any)
	runs := execution["runs"].([]any)
	execution["runs"] = slices.Repeat(runs[:1], 10)
	must(t, unstructured.SetNestedSlice(object.Object, slices.Repeat([]any{execution}, 64), "status", "executions"))
	must(t, unstructured.SetNestedSlice(object.Object, slices.Repeat([]any{execution["id"]}, 1000), "status", "executionIds"))
	found, err := health(s.health, object.Object)
	must(t, err)
	if found.Status != "Healthy" {
		t.Errorf("it is %v", found)
	}
	if changed := run(t, s.actions["rerun"], object, nil); !slices.Equal(changed, []string{".spec.rerunToken"}) {
		t.Errorf("rerun changes %v", changed)
	}
}

type parameter struct {
	Name string `json:"name"`
}

type offer struct {
	Name        string      `json:"name"`
	Params      []parameter `json:"params,omitempty"`
	Disabled    bool        `json:"disabled,omitempty"`
	IconClass   string      `json:"iconClass,omitempty"`
	DisplayName string      `json:"displayName,omitempty"`
}

func discover(script string, object map[string]any) ([]offer, error) {
	answer, err := lua.Run(script, object, nil)
	if err != nil {
		return nil, err
	}
	named := map[string]offer{}
	if err := json.Unmarshal(answer, &named); err != nil {
		return nil, fmt.Errorf("the answer %s is no set of actions: %w", answer, err)
	}
	var offers []offer
	for _, name := range slices.Sorted(maps.Keys(named)) {
		offer := named[name]
		offer.Name = name
		offers = append(offers, offer)
	}
	return offers, nil
}

// Runs an action and returns what it changes.
func run(t *testing.T, script string, object *unstructured.Unstructured, parameters map[string]string) []string {
	t.Helper()
	after, err := runAction(script, object.Object, parameters)
	must(t, err)
	return changes("", object.Object, after)
}

func runAction(script string, object map[string]any, parameters map[string]string) (map[string]any, error) {
	answer, err := lua.Run(script, object, parameters)
	if err != nil {
		return nil, err
	}
	var after map[string]any
	if err := json.Unmarshal(answer, &after); err != nil {
		return nil, fmt.Errorf("the answer is no object: %w", err)
	}
	return lua.Restored(after, object).(map[string]any), nil
}

// The paths at which two objects differ.
func changes(path string, before, after any) []string {
	a, isMap := before.(map[string]any)
	b, areMaps := after.(map[string]any)
	if !isMap || !areMaps {
		if reflect.DeepEqual(plain(before), plain(after)) {
			return nil
		}
		return []string{path}
	}
	var found []string
	names := maps.Clone(a)
	maps.Copy(names, b)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		_, had := a[name]
		_, has := b[name]
		inner := path + "." + name
		if had && has {
			found = append(found, changes(inner, a[name], b[name])...)
		} else {
			found = append(found, inner)
		}
	}
	return found
}

// The same without the difference between integers and floats, which Lua does not know.
func plain(value any) any {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	var same any
	if err := json.Unmarshal(text, &same); err != nil {
		return err
	}
	return same
}

type actionTests struct {
	DiscoveryTests []discoveryTest `json:"discoveryTests"`
	ActionTests    []actionTest    `json:"actionTests"`
}

type discoveryTest struct {
	InputPath string  `json:"inputPath"`
	Result    []offer `json:"result"`
}

type actionTest struct {
	Action               string            `json:"action"`
	InputPath            string            `json:"inputPath"`
	Parameters           map[string]string `json:"parameters,omitempty"`
	ExpectedOutputPath   string            `json:"expectedOutputPath,omitempty"`
	ExpectedErrorMessage string            `json:"expectedErrorMessage,omitempty"`
}

// Every enabled action changes its one field, and each refuses what discovery has disabled, because Argo CD runs it all the same. Only
// resume does not: it can make nothing worse.
func TestActions(t *testing.T) {
	s := installed(t, "PipelineRun")
	actions := filepath.Join(customizations, "PipelineRun", "actions")
	changed := map[string]string{
		"rerun": ".spec.rerunToken", "suspend": ".spec.suspend", "resume": ".spec.suspend",
		"resolve-retry": ".metadata.annotations.nuvo.dev/resolve", "resolve-adopt": ".metadata.annotations.nuvo.dev/resolve",
		"resolve-abandon": ".metadata.annotations.nuvo.dev/resolve",
	}
	// These become tests in the form of Argo CD, the others would repeat them.
	kept := map[string][]string{
		"rerun": {"execution-failed", "observed-succeeded", "running", "trigger-outcome-unknown"}, "suspend": {"account-not-ready", "observed-running", "running", "succeeded", "suspended"},
		"resume": {"suspended"}, "resolve-retry": {"running", "trigger-outcome-unknown"}, "resolve-adopt": {"trigger-outcome-unknown"},
		"resolve-abandon": {"trigger-outcome-unknown"},
	}
	if names, there := slices.Sorted(maps.Keys(changed)), slices.Sorted(maps.Keys(s.actions)); !slices.Equal(names, there) {
		t.Fatalf("the actions are %v", there)
	}
	var tests actionTests
	eachRecorded(t, "PipelineRun", func(t *testing.T, name string, object *unstructured.Unstructured, want expectation) {
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
		for _, action := range slices.Sorted(maps.Keys(s.actions)) {
			var parameters map[string]string
			if action == "resolve-adopt" {
				parameters = map[string]string{"executionIds": "one,two"}
			}
			if !slices.Contains(enabled, action) {
				if action == "resume" {
					continue
				}
				_, err := runAction(s.actions[action], object.Object, parameters)
				if err == nil {
					t.Fatalf("%s does not refuse what discovery has disabled", action)
				}
				if slices.Contains(kept[action], name) {
					tests.ActionTests = append(tests.ActionTests, actionTest{action, input, parameters, "", err.Error()})
				}
				continue
			}
			after, err := runAction(s.actions[action], object.Object, parameters)
			must(t, err)
			if found := changes("", object.Object, after); !slices.Equal(found, []string{changed[action]}) {
				t.Errorf("%s changes %v", action, found)
			}
			checkValue(t, action, object, after)
			if !slices.Contains(kept[action], name) {
				continue
			}
			output := "testdata/" + name + "-" + action + ".yaml"
			derived(t, filepath.Join(actions, output), after)
			tests.ActionTests = append(tests.ActionTests, actionTest{action, input, parameters, output, ""})
		}
	})
	derived(t, filepath.Join(actions, "action_test.yaml"), tests)
	var outputs []string
	for _, test := range tests.ActionTests {
		if test.ExpectedOutputPath != "" {
			outputs = append(outputs, filepath.Join(actions, test.ExpectedOutputPath))
		}
	}
	there, err := filepath.Glob(filepath.Join(actions, "testdata", "*"))
	must(t, err)
	if slices.Sort(outputs); !slices.Equal(outputs, there) {
		t.Errorf("no action has the outputs %v", there)
	}
}

// What an action writes is what it was asked for. A time is then replaced by one that stays the same.
func checkValue(t *testing.T, action string, before *unstructured.Unstructured, after map[string]any) {
	t.Helper()
	nonce, _, _ := unstructured.NestedString(before.Object, "status", "trigger", "nonce")
	answer, _, _ := unstructured.NestedString(after, "metadata", "annotations", "nuvo.dev/resolve")
	suspend, _, _ := unstructured.NestedBool(after, "spec", "suspend")
	right := true
	switch action {
	case "rerun":
		token, _, _ := unstructured.NestedString(after, "spec", "rerunToken")
		at, err := time.Parse("2006-01-02T15:04:05Z", token)
		right = err == nil && time.Since(at) < time.Minute && time.Since(at) > -time.Minute
		must(t, unstructured.SetNestedField(after, "0001-01-01T00:00:00Z", "spec", "rerunToken"))
	case "suspend":
		right = suspend
	case "resume":
		right = !suspend
	case "resolve-adopt":
		right = answer == nonce+":adopt=one,two"
	case "resolve-retry", "resolve-abandon":
		right = nonce != "" && answer == nonce+":"+strings.TrimPrefix(action, "resolve-")
	}
	if !right {
		t.Errorf("%s writes %v", action, after)
	}
}

// Versions of Argo CD before parameters, and its command line, run the action without them.
func TestAdoptAsksForTheExecutions(t *testing.T) {
	adopt := installed(t, "PipelineRun").actions["resolve-adopt"]
	object := read(t, filepath.Join(customizations, "PipelineRun", "testdata", "trigger-outcome-unknown.yaml"))
	for _, parameters := range []map[string]string{nil, {}, {"executionIds": ""}} {
		if _, err := runAction(adopt, object.Object, parameters); err == nil || !strings.Contains(err.Error(), "executionIds") {
			t.Errorf("with %v: %v", parameters, err)
		}
	}
}
