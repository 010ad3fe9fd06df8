//! What `helm lint` and `helm template` say.

use std::{path::Path, time::Duration};

use nuvo_client::Origins;
use nuvo_operator::settings::{self, Command, LogFormat, LogLevel, Settings};
use serde_json::{Value, json};

use crate::{NAME, NAMESPACE, RELEASE, chart, deployment, everything, helm, kind, of_kind, read, render, rendered, value_sets};

#[test]
fn chart_passes_helm_lint() {
    for (name, values) in value_sets() {
        let chart = chart().display().to_string();
        let output = helm(&mut controlplane::helm().unwrap(), &["lint", "--strict", &chart, "--values", "-"], &values);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(!said.contains("[WARNING]") && !said.contains("[ERROR]"), "{name}: {said}");
    }
}

#[test]
fn wrong_values_are_refused_with_a_reason() {
    for (values, words) in [
        (json!({ "logFormat": "xml" }), &["/logFormat", "'json', 'text'"][..]),
        (json!({ "logLevel": "loud" }), &["/logLevel"]),
        (json!({ "replicas": "two" }), &["/replicas", "want integer"]),
        (json!({ "replica": 2 }), &["'replica' not allowed"]),
        (json!({ "enabled": false }), &["/enabled", "must be true"]),
        (json!({ "trigger": { "timeout": 60 } }), &["/trigger", "'timeout' not allowed"]),
        (json!({ "trigger": { "timeoutSeconds": 0 } }), &["/trigger/timeoutSeconds", "minimum"]),
        (json!({ "maxConcurrentReconciles": 1025 }), &["/maxConcurrentReconciles", "maximum"]),
        (json!({ "allowedBaseUrls": ["api.example.com"] }), &["/allowedBaseUrls/0", "does not match"]),
        (json!({ "allowedBaseUrls": [] }), &["/allowedBaseUrls", "minItems"]),
        (json!({ "watchNamespaces": ["Team"] }), &["/watchNamespaces/0", "does not match"]),
        (json!({ "watchNamespaces": "team" }), &["/watchNamespaces", "want array"]),
        (json!({ "image": { "digest": "sha256:12" } }), &["/image/digest"]),
        (json!({ "metrics": { "port": 80 } }), &["/metrics/port", "minimum"]),
        (json!({ "extraArgs": ["verbose"] }), &["/extraArgs/0"]),
        (json!({ "podLabels": { "a": 1 } }), &["/podLabels/a", "want string"]),
        (json!({ "replicas": 2, "leaderElection": { "enabled": false } }), &["Set replicas to 1 or enable the election"]),
        (json!({ "terminationGracePeriodSeconds": 60 }), &["longer than trigger.timeoutSeconds (60)"]),
        (json!({ "quarantineSeconds": 64.9 }), &["at least trigger.timeoutSeconds + trigger.fenceSeconds (65)"]),
        (json!({ "metrics": { "port": 8081 } }), &["another port"]),
        (json!({ "additionalCa": { "configMap": "a", "secret": "b" } }), &["leave one of them out"]),
        (json!({ "serviceAccount": { "create": false } }), &["serviceAccount.name is needed"]),
        (json!({ "operatorNamespace": "kube-system" }), &["cannot use the namespace kube-system"]),
        (json!({ "operatorNamespace": "kube-node-lease" }), &["cannot use the namespace kube-node-lease"]),
        (json!({ "watchNamespaces": ["a"], "rbac": { "secretNamespaces": ["b"] } }), &["rbac.secretNamespaces has b"]),
    ] {
        let error = render(&values).expect_err(&values.to_string());
        for word in words {
            assert!(error.contains(word), "{values}: {word} is not in {error}");
        }
    }
}

#[test]
fn release_in_a_namespace_of_kubernetes_is_refused() {
    for namespace in ["kube-system", "kube-public", "kube-node-lease"] {
        let chart = chart().display().to_string();
        let output = helm(&mut controlplane::helm().unwrap(), &["template", RELEASE, &chart, "--namespace", namespace], &json!({}));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(&format!("cannot use the namespace {namespace}")), "{said}");
    }
}

/// The chart in a chart of someone else, who switches it on and off as is usual.
#[test]
fn subchart_is_rendered_when_its_condition_is_true() {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).join("parent");
    std::fs::create_dir_all(&parent).unwrap();
    let version = &serde_yaml::from_str::<Value>(&read("charts/nuvo-operator/Chart.yaml")).unwrap()["version"];
    let metadata = json!({
        "apiVersion": "v2",
        "name": "platform",
        "version": "1.0.0",
        "dependencies": [{
            "name": "nuvo-operator",
            "version": version,
            "repository": format!("file://{}", chart().display()),
            "condition": "nuvo-operator.enabled",
        }],
    });
    std::fs::write(parent.join("Chart.yaml"), metadata.to_string()).unwrap();
    let folder = parent.display().to_string();
    let run = |arguments: &[&str], values: &Value| {
        let output = helm(&mut controlplane::helm().unwrap(), arguments, values);
        assert!(output.status.success(), "{values}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["dependency", "update", &folder], &json!({}));
    let deployments_of = |values: &Value| {
        let text = run(&["template", RELEASE, &folder, "--namespace", NAMESPACE, "--values", "-"], values);
        text.matches("kind: Deployment").count()
    };
    assert_eq!(deployments_of(&json!({})), 1, "a condition that is not set is true");
    for (enabled, deployments) in [(true, 1), (false, 0)] {
        let values = json!({
            "global": { "imageRegistry": "registry.example.com" },
            "nuvo-operator": { "enabled": enabled, "replicas": 1 },
        });
        assert_eq!(deployments_of(&values), deployments, "{values}");
    }
}

/// What Helm hands to the operator, as the operator understands it.
fn settings(values: &Value) -> Settings {
    let objects = rendered(values);
    let arguments = deployment(&objects)["spec"]["template"]["spec"]["containers"][0]["args"].clone();
    let arguments: Vec<String> = serde_json::from_value(arguments).unwrap();
    match settings::parse_from(std::iter::once("nuvo-operator".to_owned()).chain(arguments.iter().cloned())) {
        Ok(Command::Run(settings)) => *settings,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

#[test]
fn default_values_are_the_defaults_of_the_operator_with_json_logs() {
    let Command::Run(mut own) = settings::parse_from(["nuvo-operator"]).unwrap() else { panic!("no run") };
    own.log_format = LogFormat::Json;
    own.operator_namespace = Some(NAMESPACE.to_owned());
    own.termination_log = Some("/dev/termination-log".into());
    assert_eq!(settings(&json!({})), *own);
}

#[test]
fn flags_can_all_be_set_by_values() {
    let expected = Settings {
        allowed_origins: Origins::parse(["http://127.0.0.1:1", "https://nuvo.example.com"]).unwrap(),
        namespaces: vec!["team-a".to_owned(), "team-b".to_owned()],
        secret_namespaces: vec!["team-b".to_owned()],
        label_selector: Some("team=a,env in (dev,test)".to_owned()),
        operator_namespace: Some("locks".to_owned()),
        leader_elect: true,
        metrics_addr: "[::]:9080".parse().unwrap(),
        health_addr: "[::]:9081".parse().unwrap(),
        log_format: LogFormat::Text,
        log_level: LogLevel::Trace,
        trigger_timeout: Duration::from_millis(30_500),
        trigger_settle: Duration::from_secs(86_400),
        quarantine: Duration::from_secs(40),
        fence: Duration::from_millis(500),
        lock_retention: Duration::from_secs(86_400),
        adoption_confirm: Duration::from_secs(20),
        max_concurrent_reconciles: 64,
        hold_schedules: true,
        use_env_proxy: true,
        additional_ca_file: Some("/etc/nuvo-operator/additional-ca/private.pem".into()),
        termination_log: Some("/dev/termination-log".into()),
    };
    assert_eq!(settings(&everything()), expected);
    assert!(!settings(&json!({ "replicas": 1, "leaderElection": { "enabled": false } })).leader_elect);

    // A flag that is new has no value yet.
    let arguments = deployment(&rendered(&everything()))["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
    let command = settings::command_line();
    let run = command.find_subcommand("run").unwrap();
    for flag in run.get_arguments().filter_map(|argument| argument.get_long()).filter(|flag| *flag != "help") {
        assert!(arguments.contains(&format!("\"--{flag}=")), "no value sets --{flag}: {arguments}");
    }
}

/// `a.b=c` and `a={b,c}` between backticks in the table of docs/install.md.
#[test]
fn values_in_the_documentation_exist() {
    let text = read("docs/install.md");
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let settings: Vec<String> =
        rows.flat_map(|row| row.split('`').skip(1).step_by(2)).filter(|code| code.contains('=')).map(str::to_owned).collect();
    assert!(settings.len() >= 8, "{settings:?}");
    for setting in settings {
        let (chart, setting) = (chart().display().to_string(), setting.replace('…', &"a".repeat(64)));
        let arguments = ["template", "nuvo", &chart, "--set", &setting];
        let output = helm(&mut controlplane::helm().unwrap(), &arguments, &json!({}));
        assert!(output.status.success(), "{setting}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn extra_arguments_are_passed_on() {
    let settings = settings(&json!({ "extraArgs": ["--label-selector=a in (b, c)"] }));
    assert_eq!(settings.label_selector.as_deref(), Some("a in (b, c)"));
}

/// Also besides the volumes of the user.
#[test]
fn additional_authorities_are_mounted_where_the_operator_reads_them() {
    let sources = [
        (everything(), json!({ "name": "additional-ca", "configMap": { "name": "authorities" } })),
        (
            json!({ "additionalCa": { "secret": "authorities" } }),
            json!({ "name": "additional-ca", "secret": { "secretName": "authorities" } }),
        ),
    ];
    for (values, volume) in sources {
        let file = settings(&values).additional_ca_file.unwrap();
        let pod = deployment(&rendered(&values))["spec"]["template"]["spec"].clone();
        assert!(pod["volumes"].as_array().unwrap().contains(&volume), "{pod}");
        let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap().clone();
        let mount = mounts.iter().find(|mount| mount["name"] == "additional-ca").unwrap();
        assert_eq!(mount["mountPath"].as_str(), file.parent().unwrap().to_str());
        assert_eq!(mount["subPath"], Value::Null, "a file that is mounted by itself never changes");
    }
}

#[test]
fn pods_meet_the_restricted_pod_security_standard() {
    for (name, values) in value_sets() {
        let objects = rendered(&values);
        let mut pods = 0;
        for template in objects.iter().filter_map(|object| object["spec"].get("template")) {
            let pod = &template["spec"];
            assert_eq!(pod["securityContext"]["runAsNonRoot"], json!(true), "{name}");
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], json!("RuntimeDefault"), "{name}");
            assert_ne!(pod["securityContext"]["runAsUser"], json!(0), "{name}");
            for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
                assert!(pod.get(forbidden).is_none(), "{name}: {forbidden}");
            }
            assert!(pod["volumes"].as_array().into_iter().flatten().all(|volume| volume.get("hostPath").is_none()), "{name}");
            for container in pod["containers"].as_array().unwrap().iter().chain(pod["initContainers"].as_array().into_iter().flatten()) {
                let security = &container["securityContext"];
                assert_eq!(security["allowPrivilegeEscalation"], json!(false), "{name}");
                assert_eq!(security["readOnlyRootFilesystem"], json!(true), "{name}");
                assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }), "{name}");
                assert!(container["resources"]["limits"].get("memory").is_some(), "{name}");
                pods += 1;
            }
        }
        assert_eq!(pods, 1, "{name}");
    }
}

#[test]
fn termination_grace_period_exceeds_the_trigger_timeout() {
    for (values, seconds) in [
        (json!({}), 105),
        (json!({ "trigger": { "timeoutSeconds": 30.5 } }), 76),
        (json!({ "trigger": { "timeoutSeconds": 600 } }), 645),
        (json!({ "terminationGracePeriodSeconds": 61 }), 61),
    ] {
        let objects = rendered(&values);
        assert_eq!(deployment(&objects)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], json!(seconds), "{values}");
    }
}

#[test]
fn optional_objects_are_rendered_when_switched_on() {
    let kinds = |values: &Value| {
        let mut kinds: Vec<String> = rendered(values).iter().map(|object| kind(object).to_owned()).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    };
    let defaults = [
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "Deployment",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
    ];
    assert_eq!(kinds(&json!({})), defaults);
    let without = |without: &[&str]| defaults.into_iter().filter(|kind| !without.contains(kind)).collect::<Vec<_>>();
    assert_eq!(kinds(&json!({ "crds": { "enabled": false } })), without(&["CustomResourceDefinition"]));
    assert_eq!(kinds(&json!({ "replicas": 1 })), without(&["PodDisruptionBudget"]));
    assert_eq!(kinds(&json!({ "serviceAccount": { "create": false, "name": "given" } })), without(&["ServiceAccount"]));
    assert_eq!(
        kinds(&json!({ "rbac": { "aggregatedRoles": false }, "watchNamespaces": ["a"] })),
        without(&["ClusterRole", "ClusterRoleBinding"])
    );
    for (switch, kind) in [
        ("serviceMonitor", "ServiceMonitor"),
        ("prometheusRule", "PrometheusRule"),
        ("dashboard", "ConfigMap"),
        ("networkPolicy", "NetworkPolicy"),
    ] {
        let mut expected = [&defaults[..], &[kind]].concat();
        expected.sort_unstable();
        assert_eq!(kinds(&json!({ switch: { "enabled": true } })), expected);
    }
}

#[test]
fn objects_have_the_common_labels_and_no_hook() {
    for object in rendered(&everything()) {
        let show = || format!("{} {}", kind(&object), object["metadata"]["name"]);
        assert_eq!(object["metadata"]["labels"]["team"], json!("data"), "{}", show());
        assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/name"], json!("runs"), "{}", show());
        assert!(object["metadata"]["annotations"].get("helm.sh/hook").is_none(), "{}", show());
        let wide = ["ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"].contains(&kind(&object));
        assert_eq!(object["metadata"].get("namespace").is_none(), wide, "{}", show());
    }
    for entry in std::fs::read_dir(chart().join("templates")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            assert!(!std::fs::read_to_string(&path).unwrap().contains("lookup"), "{}", path.display());
        }
    }
}

#[test]
fn crds_are_those_of_the_operator_and_kept_by_default() {
    let own: Vec<Value> = nuvo_crds::crd_files().unwrap().iter().map(|(_, text)| serde_yaml::from_str(text).unwrap()).collect();
    for keep in [true, false] {
        let mut objects = rendered(&json!({ "crds": { "keep": keep } }));
        objects.retain(|object| kind(object) == "CustomResourceDefinition");
        for object in &mut objects {
            let metadata = object["metadata"].as_object_mut().unwrap();
            assert!(metadata.remove("labels").is_some());
            let kept = metadata.remove("annotations");
            assert_eq!(kept, keep.then(|| json!({ "helm.sh/resource-policy": "keep" })));
        }
        objects.sort_by_key(|object| object["metadata"]["name"].to_string());
        let mut own = own.clone();
        own.sort_by_key(|object| object["metadata"]["name"].to_string());
        assert_eq!(objects, own);
    }
}

#[test]
fn chart_version_is_the_version_of_the_operator() {
    let chart: Value = serde_yaml::from_str(&read("charts/nuvo-operator/Chart.yaml")).unwrap();
    assert_eq!((&chart["apiVersion"], &chart["appVersion"]), (&json!("v2"), &json!(env!("CARGO_PKG_VERSION"))));
    let objects = rendered(&json!({}));
    let image = |objects: &[Value]| deployment(objects)["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    assert_eq!(image(&objects), json!(format!("nuvo-operator:{}", env!("CARGO_PKG_VERSION"))));
    let digest = format!("registry.example.com:5000/nuvo/operator@sha256:{}", "a".repeat(64));
    assert_eq!(image(&rendered(&everything())), json!(digest), "a digest counts instead of the tag");
}

#[test]
fn scrapes_keep_the_namespace_label_of_an_account() {
    let objects = rendered(&json!({ "serviceMonitor": { "enabled": true } }));
    let monitor = of_kind(&objects, "ServiceMonitor")[0];
    assert_eq!(monitor["spec"]["endpoints"][0]["honorLabels"], json!(true));
    let service = of_kind(&objects, "Service")[0];
    assert_eq!(service["metadata"]["name"], json!(format!("{NAME}-metrics")));
    assert_eq!(service["spec"]["ports"][0]["name"], monitor["spec"]["endpoints"][0]["port"]);
    assert_eq!(service["spec"]["selector"], deployment(&objects)["spec"]["selector"]["matchLabels"]);
}

fn pod(values: &Value) -> Value {
    deployment(&rendered(values))["spec"]["template"]["spec"].clone()
}

/// Kubernetes otherwise counts the pods of the old version, too, and ignores nodes that lack one of the keys.
#[test]
fn pods_of_one_version_are_spread_over_nodes_only() {
    let objects = rendered(&json!({}));
    let expected = json!([{
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": deployment(&objects)["spec"]["selector"],
        "matchLabelKeys": ["pod-template-hash"],
    }]);
    assert_eq!(pod(&json!({}))["topologySpreadConstraints"], expected);
}

#[test]
fn spread_constraint_without_selector_gets_that_of_the_pods_of_one_version() {
    let given = &pod(&everything())["topologySpreadConstraints"][0];
    assert_eq!((&given["topologyKey"], &given["labelSelector"]["matchLabels"]["app.kubernetes.io/name"]), (&json!("rack"), &json!("runs")));
    assert_eq!(given["matchLabelKeys"], json!(["pod-template-hash"]));
    let own =
        json!({ "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": { "matchExpressions": [] } });
    assert_eq!(pod(&json!({ "topologySpreadConstraints": [own] }))["topologySpreadConstraints"], json!([own]), "a selector is not changed");
}

/// The default of Kubernetes is 300 s after the node was found to be gone.
#[test]
fn pods_leave_a_node_that_is_gone_within_a_minute_unless_values_say_otherwise() {
    let gone = |seconds: u32| {
        ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]
            .map(|key| json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds }))
            .to_vec()
    };
    assert_eq!(pod(&json!({}))["tolerations"], json!(gone(30)));
    let mut both = vec![json!({ "key": "spot", "operator": "Exists" })];
    both.extend(gone(10));
    assert_eq!(pod(&everything())["tolerations"], json!(both), "besides those of the user");
    assert!(pod(&json!({ "nodeFailureTolerationSeconds": null })).get("tolerations").is_none());
}

/// The readiness probe alone would look again only after its period, because the first look meets a port that is not open yet.
#[test]
fn start_is_noticed_within_a_second() {
    let container = &pod(&json!({}))["containers"][0];
    let (startup, liveness) = (&container["startupProbe"], &container["livenessProbe"]);
    assert_eq!(startup["periodSeconds"], json!(1));
    assert_eq!(startup["httpGet"], liveness["httpGet"], "not /readyz: while the API server is away, a restart does not help");
    let patience = |probe: &Value| probe["periodSeconds"].as_u64().unwrap() * probe["failureThreshold"].as_u64().unwrap();
    assert_eq!(patience(startup), patience(liveness));
}

/// With the five dots that are the default, each name is first looked up in all domains of the cluster.
#[test]
fn names_with_two_dots_are_looked_up_as_they_are() {
    assert_eq!(pod(&json!({}))["dnsConfig"], json!({ "options": [{ "name": "ndots", "value": "2" }] }));
    assert!(pod(&json!({ "dnsConfig": null })).get("dnsConfig").is_none());
}

#[test]
fn reason_of_a_failed_start_is_the_termination_message() {
    let values = json!({});
    let container = &pod(&values)["containers"][0];
    assert_eq!(settings(&values).termination_log.unwrap().to_str(), container["terminationMessagePath"].as_str());
    assert_eq!(container["terminationMessagePolicy"], json!("FallbackToLogsOnError"), "for an end without a reason, such as wrong flags");
}

/// A budget that lets one pod be away keeps the second one on the only node for good, because the first has nowhere to go.
#[test]
fn disruption_budget_is_left_out_where_documentation_says_so_for_one_node() {
    let text = read("docs/install.md");
    let row = text.lines().find(|line| line.starts_with("| run in a cluster with one node")).unwrap();
    assert!(row.contains("`replicas=1`"), "{row}");
    assert_eq!(of_kind(&rendered(&json!({ "replicas": 1 })), "PodDisruptionBudget").len(), 0);
    let values = read("charts/nuvo-operator/values.yaml").replace("\n  # ", " ");
    assert!(!values.contains("never blocks a drain") && values.contains("With one node"), "what values say of the budget");
}
