//! How `kubectl nuvo` finds its API server: as the real kubectl does, which runs beside it.

use std::{io::Read as _, process::Command};

use controlplane::Tunnel;
use kube::config::Kubeconfig;
use nuvo_operator::rbac;
use serde_json::{Value, json};

use crate::environment::{Environment, WITHIN, kubectl_nuvo};

/// Lists runs with kubectl and with the plugin. Both must succeed, or both must fail.
struct Both<'a> {
    env: &'a Environment,
    variables: Vec<(&'a str, String)>,
    wrapper: Vec<String>,
}

impl<'a> Both<'a> {
    /// As the admin.
    fn new(env: &'a Environment) -> Self {
        Self { env, variables: Vec::new(), wrapper: Vec::new() }
    }

    /// With this environment variable.
    fn env(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Started by this command, which gets the program and its arguments after its own.
    fn wrapped(mut self, words: &[&str]) -> Self {
        self.wrapper = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Whether they succeeded, and what they said.
    #[track_caller]
    fn list(&self, flags: &[&str]) -> (bool, String) {
        let mut kubectl = self.env.server.kubectl_command();
        kubectl.args(["get", "pipelineruns.nuvo.dev"]);
        let mut plugin = Command::new(kubectl_nuvo());
        plugin.arg("list").env("KUBECONFIG", self.env.server.admin_kubeconfig());
        let [kubectl, plugin] = [kubectl, plugin].map(|command| {
            let output = self.wrap(command).args(flags).envs(self.variables.iter().cloned()).output().unwrap();
            let text = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8(text).unwrap())
        });
        assert_eq!(plugin.0, kubectl.0, "{flags:?}: the plugin says\n{}\nand kubectl\n{}", plugin.1, kubectl.1);
        (plugin.0, format!("{}{}", plugin.1, kubectl.1))
    }

    fn wrap(&self, command: Command) -> Command {
        let Some((program, words)) = self.wrapper.split_first() else { return command };
        let mut wrapped = Command::new(program);
        wrapped.args(words).arg(command.get_program()).args(command.get_args());
        wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        wrapped
    }

    #[track_caller]
    fn succeed(&self, flags: &[&str]) {
        let (success, text) = self.list(flags);
        assert!(success, "{flags:?}: {text}");
    }

    #[track_caller]
    fn fail(&self, flags: &[&str]) {
        self.fails(flags);
    }

    /// What both say about their failure.
    #[track_caller]
    fn fails(&self, flags: &[&str]) -> String {
        let (success, text) = self.list(flags);
        assert!(!success, "{flags:?}: {text}");
        text
    }
}

#[test]
fn kubeconfig_list_with_a_missing_file_uses_the_others() {
    let env = Environment::new("plugin-kubeconfig", []);
    let missing = env.server.folder().join("no-such-kubeconfig").display().to_string();
    let there = env.server.admin_kubeconfig().display();
    for list in [format!("{missing}:{there}"), format!("{there}:{missing}"), format!(":{there}:")] {
        Both::new(&env).env("KUBECONFIG", list).succeed(&[]);
    }
    Both::new(&env).env("KUBECONFIG", missing.clone()).fail(&[]);
    // A file that is named alone has to be there.
    Both::new(&env).fail(&["--kubeconfig", &missing]);
}

/// The files of a pod's ServiceAccount are at a fixed path. A mount namespace shows them to one process, and leaves the machine as it is.
#[test]
fn pod_without_a_kubeconfig_uses_its_service_account_and_namespace() {
    if !Command::new("unshare").args(["--map-root-user", "--mount", "true"]).status().is_ok_and(|status| status.success()) {
        println!("not tested: unshare cannot make a mount namespace here");
        return;
    }
    let env = Environment::new("plugin-pod", []);
    let kubeconfig = Kubeconfig::read_from(&env.kubeconfig).unwrap();
    let (cluster, user) = (kubeconfig.clusters[0].cluster.clone().unwrap(), kubeconfig.auth_infos[0].auth_info.clone().unwrap());
    let user: Value = serde_json::to_value(user).unwrap();
    let pod = env.server.folder().join("pod");
    std::fs::create_dir_all(&pod).unwrap();
    std::fs::copy(cluster.certificate_authority.unwrap(), pod.join("ca.crt")).unwrap();
    std::fs::write(pod.join("token"), user["token"].as_str().unwrap()).unwrap();
    std::fs::write(pod.join("namespace"), &env.namespace).unwrap();
    let (_, port) = env.server.url().rsplit_once(':').unwrap();
    let mounts = "mount -t tmpfs tmpfs /run && mkdir -p /var/run/secrets/kubernetes.io/serviceaccount && \
        cp \"$POD\"/* /var/run/secrets/kubernetes.io/serviceaccount/ && exec \"$@\"";
    let in_pod = || {
        Both::new(&env)
            .wrapped(&["unshare", "--map-root-user", "--mount", "sh", "-c", mounts, "sh"])
            .env("POD", pod.display().to_string())
            .env("KUBECONFIG", pod.join("no-such-file").display().to_string())
            .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
            .env("KUBERNETES_SERVICE_PORT", port)
    };
    let (success, text) = in_pod().list(&[]);
    assert!(success && text.matches(&format!("in namespace {}", env.namespace)).count() == 1, "{text}");
    assert!(text.contains(&format!("in {} namespace", env.namespace)), "kubectl, too: {text}");
    in_pod().fail(&["--context", "nowhere"]);
    in_pod().fail(&["--token", "unknown"]);
    in_pod().env("KUBERNETES_SERVICE_PORT", "1").fail(&[]);
    // A kubeconfig comes first.
    in_pod().env("KUBECONFIG", env.server.admin_kubeconfig().display().to_string()).env("KUBERNETES_SERVICE_PORT", "1").succeed(&[]);
}

#[test]
fn flags_of_kubectl_select_server_user_and_trust() {
    let env = Environment::new("plugin-flags", []);
    let server = env.server;
    let both = Both::new(&env);
    // Impersonation: kubectl and the plugin need the rights of the other user.
    let rights = rbac::rules();
    server.service_account_kubeconfig(&env.namespace, "reader", &rights).unwrap();
    server.service_account_kubeconfig(&env.namespace, "stranger", &[]).unwrap();
    let account = |name: &str| format!("system:serviceaccount:{}:{name}", env.namespace);
    both.succeed(&["--as", &account("reader")]);
    both.fail(&["--as", &account("stranger")]);
    both.succeed(&["--as", &account("stranger"), "--as-uid", "1", "--as-group", "of-nothing", "--as-group", "system:masters"]);
    both.fail(&["--as-group", "system:masters"]);
    let (_, text) = both.list(&["--as", "jane", "--as-group", "a,b"]);
    assert_eq!(text.matches("\"jane\" cannot list resource").count(), 2, "{text}");

    let token = server.kubectl(&["create", "token", "reader", "--namespace", &env.namespace]).unwrap();
    both.succeed(&["--token", token.trim()]);
    both.fail(&["--token", "unknown"]);

    let port = server.url().rsplit_once(':').unwrap().1;
    let other_name = format!("https://localhost:{port}");
    let ca = Kubeconfig::read_from(server.admin_kubeconfig()).unwrap().clusters[0].cluster.clone().unwrap().certificate_authority.unwrap();
    both.succeed(&["--server", &other_name]);
    // Without a scheme, it is http.
    both.fail(&["-s", &format!("127.0.0.1:{port}")]);
    both.fail(&["--server", "https://127.0.0.1:1"]);
    both.fail(&["--tls-server-name", "elsewhere.example"]);
    both.succeed(&["--tls-server-name", "elsewhere.example", "--insecure-skip-tls-verify"]);
    both.fail(&["--certificate-authority", "/there/is/no/such/file"]);
    both.fail(&["--insecure-skip-tls-verify", "--certificate-authority", &ca]);

    // Without any kubeconfig, the flags have to say everything.
    let nothing = || Both::new(&env).env("KUBECONFIG", server.folder().join("nothing").display().to_string());
    let all = ["--server", server.url(), "--token", token.trim(), "--namespace", &env.namespace];
    nothing().fail(&all);
    nothing().succeed(&[&all[..], &["--certificate-authority", &ca]].concat());
    nothing().succeed(&[&all[..], &["--insecure-skip-tls-verify=true"]].concat());
    nothing().fail(&[&all[..], &["--insecure-skip-tls-verify=false"]].concat());
    nothing().fail(&[]);

    // The same for what the flags select in a kubeconfig.
    let mut kubeconfig: Value = serde_yaml::from_str(&std::fs::read_to_string(server.admin_kubeconfig()).unwrap()).unwrap();
    kubeconfig["clusters"].as_array_mut().unwrap().push(json!({ "name": "gone", "cluster": { "server": "https://127.0.0.1:1" } }));
    kubeconfig["clusters"].as_array_mut().unwrap().push(json!({
        "name": "misnamed", "cluster": { "server": server.url(), "certificate-authority": ca, "tls-server-name": "elsewhere.example" },
    }));
    kubeconfig["users"].as_array_mut().unwrap().push(json!({ "name": "unknown", "user": { "token": "unknown" } }));
    let path = server.folder().join("flags.kubeconfig");
    let several = |kubeconfig: &Value| {
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        Both::new(&env).env("KUBECONFIG", path.display().to_string())
    };
    let both = several(&kubeconfig);
    both.succeed(&[]);
    both.fail(&["--cluster", "gone"]);
    both.fail(&["--cluster", "nowhere"]);
    both.fail(&["--cluster", "misnamed"]);
    both.succeed(&["--cluster", "misnamed", "--server", server.url()]);
    both.succeed(&["--cluster", "misnamed", "--tls-server-name", "localhost"]);
    both.fail(&["--user", "unknown"]);
    both.fail(&["--user", "nowhere"]);
    both.succeed(&["--user", "unknown", "--token", token.trim()]);
    kubeconfig["current-context"] = json!("");
    let both = several(&kubeconfig);
    both.fail(&[]);
    both.succeed(&["--cluster", "controlplane", "--user", "admin"]);
}

/// A kubeconfig of the admin for another address of the server, with these further fields of the cluster.
fn kubeconfig_for(env: &Environment, name: &str, server: &str, fields: &Value) -> String {
    let mut kubeconfig: Value = serde_yaml::from_str(&std::fs::read_to_string(env.server.admin_kubeconfig()).unwrap()).unwrap();
    let cluster = kubeconfig["clusters"][0]["cluster"].as_object_mut().unwrap();
    cluster.insert("server".to_owned(), json!(server));
    cluster.extend(fields.as_object().unwrap().clone());
    let path = env.server.folder().join(format!("{name}.kubeconfig"));
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    path.display().to_string()
}

/// 0.0.0.0 is this machine, as is LOCALHOST, but Go takes neither for it.
#[test]
fn proxy_of_the_environment_is_used_where_kubectl_uses_it() {
    let env = Environment::new("plugin-proxy", []);
    let (tunnel, encrypted) = (Tunnel::start().unwrap(), Tunnel::with_tls(env.server).unwrap());
    let port = env.server.url().rsplit_once(':').unwrap().1;
    let by_name = kubeconfig_for(&env, "by-name", &format!("https://LOCALHOST:{port}"), &json!({}));
    let by_address = kubeconfig_for(&env, "by-address", &format!("https://0.0.0.0:{port}"), &json!({ "tls-server-name": "localhost" }));
    let far = kubeconfig_for(&env, "far", &format!("https://kubernetes.default.svc:{port}"), &json!({}));
    let plain = kubeconfig_for(&env, "plain", &format!("http://LOCALHOST:{port}"), &json!({}));
    let loopback = [
        kubeconfig_for(&env, "localhost", &format!("https://localhost:{port}"), &json!({})),
        kubeconfig_for(&env, "loopback", &format!("https://127.0.0.1:{port}"), &json!({})),
    ];
    // What both ask for, each at least once: kubectl asks for the kinds first.
    let asked = |kubeconfig: &str, variables: &[(&'static str, String)]| {
        let both = Both { variables: variables.to_vec(), ..Both::new(&env) }.env("KUBECONFIG", kubeconfig);
        let (success, text) = both.list(&[]);
        let mut asked = [tunnel.asked(), encrypted.asked()].concat();
        let count = asked.len();
        asked.sort();
        asked.dedup();
        assert!(count == 0 || count >= 2 * asked.len(), "{variables:?}: {count} of {asked:?}: {text}");
        (success, asked)
    };
    let (http, socks5) = (format!("http://{}", tunnel.address()), format!("socks5://{}", tunnel.address()));
    let connect = |host: &str| (true, vec![format!("CONNECT {host}:{port}")]);
    let direct = || (true, Vec::new());

    // The schemes. A name is for the proxy to look up.
    assert_eq!(asked(&far, &[("HTTPS_PROXY", http.clone())]), connect("kubernetes.default.svc"));
    assert_eq!(asked(&far, &[("https_proxy", tunnel.address().to_owned())]), connect("kubernetes.default.svc"));
    let socks = (true, vec![format!("SOCKS5 kubernetes.default.svc:{port}")]);
    assert_eq!(asked(&far, &[("HTTPS_PROXY", socks5.clone())]), socks);
    assert_eq!(asked(&far, &[("HTTPS_PROXY", socks5.replace("socks5", "socks5h"))]), socks);
    assert_eq!(asked(&far, &[("HTTPS_PROXY", format!("https://{}", encrypted.address()))]), connect("kubernetes.default.svc"));
    let credentials = format!("http://me:p%40ss@{}", tunnel.address());
    let with_credentials = format!("CONNECT kubernetes.default.svc:{port} Basic bWU6cEBzcw==");
    assert_eq!(asked(&far, &[("HTTPS_PROXY", credentials)]), (true, vec![with_credentials]));

    // The variables.
    let nowhere = "http://127.0.0.1:1".to_owned();
    assert_eq!(asked(&by_name, &[("HTTPS_PROXY", nowhere.clone())]), (false, vec![]));
    // Which of both comes first depends on the version of Go, unless one is empty.
    assert_eq!(asked(&by_name, &[("HTTPS_PROXY", http.clone()), ("https_proxy", String::new())]), connect("LOCALHOST"));
    assert_eq!(asked(&by_name, &[("HTTPS_PROXY", String::new()), ("https_proxy", http.clone())]), connect("LOCALHOST"));
    assert_eq!(
        asked(&by_name, &[("HTTP_PROXY", nowhere.clone()), ("ALL_PROXY", nowhere.clone()), ("all_proxy", nowhere.clone())]),
        direct()
    );
    assert_eq!(asked(&by_name, &[("HTTPS_PROXY", "[::bad".to_owned())]), direct());
    for kubeconfig in &loopback {
        assert_eq!(asked(kubeconfig, &[("HTTPS_PROXY", nowhere.clone())]), direct());
    }
    // kubectl asks an HTTP proxy for the whole URL of a plain server.
    let (success, lines) = asked(&plain, &[("HTTP_PROXY", socks5.clone()), ("HTTPS_PROXY", nowhere.clone())]);
    assert!(!success && lines == [format!("SOCKS5 LOCALHOST:{port}")], "{lines:?}");

    // NO_PROXY is about the server, not about the proxy.
    let exempt = |kubeconfig: &str, list: &str| asked(kubeconfig, &[("HTTPS_PROXY", http.clone()), ("NO_PROXY", list.to_owned())]);
    for list in ["*", "localhost", "elsewhere.example, Localhost ,", &format!("localhost:{port}"), "example,,localhost"] {
        assert_eq!(exempt(&by_name, list), direct(), "{list}");
    }
    for list in ["127.0.0.1", "127.0.0.0/8", ".localhost", "*.localhost", "localhost:1", "host", "http://localhost", "[", ""] {
        assert_eq!(exempt(&by_name, list), connect("LOCALHOST"), "{list}");
    }
    for list in ["0.0.0.0", "0.0.0.0/8", &format!("0.0.0.0:{port}"), "10.0.0.0/8,0.0.0.0/30"] {
        assert_eq!(exempt(&by_address, list), direct(), "{list}");
    }
    for list in ["127.0.0.1", "0.0.0.0:1", "10.0.0.0/8", "0.0.0", "0.0.0.0/33", "localhost"] {
        assert_eq!(exempt(&by_address, list), connect("0.0.0.0"), "{list}");
    }
    assert_eq!(asked(&by_name, &[("HTTPS_PROXY", http.clone()), ("no_proxy", "localhost".to_owned())]), direct());
}

#[test]
fn proxy_of_the_kubeconfig_comes_first_and_is_always_used() {
    let env = Environment::new("plugin-proxy-url", []);
    let (tunnel, encrypted) = (Tunnel::start().unwrap(), Tunnel::with_tls(env.server).unwrap());
    let port = env.server.url().rsplit_once(':').unwrap().1;
    let list = |server: &str, proxy: &str, flags: &[&str], variables: &[(&'static str, &str)]| {
        let variables = variables.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        let kubeconfig = kubeconfig_for(&env, "proxied", server, &json!({ "proxy-url": proxy }));
        let (success, text) = Both { variables, ..Both::new(&env) }.env("KUBECONFIG", kubeconfig).list(flags);
        (success, [tunnel.asked(), encrypted.asked()].concat(), text)
    };
    let (name, loopback) = (format!("https://kubernetes.default.svc:{port}"), format!("https://127.0.0.1:{port}"));
    let (http, socks5) = (format!("http://{}", tunnel.address()), format!("socks5://{}", tunnel.address()));
    let https = format!("https://{}", encrypted.address());
    for proxy in [&http, &socks5, &https] {
        for server in [&name, &loopback] {
            let environment = [("HTTPS_PROXY", "http://127.0.0.1:1"), ("NO_PROXY", "*,,")];
            let (success, asked, text) = list(server, proxy, &[], &environment);
            let host = server.strip_prefix("https://").unwrap();
            assert!(success && asked.len() >= 2 && asked.iter().all(|line| line.ends_with(host)), "{proxy} {server}: {asked:?} {text}");
        }
    }
    // It stays when a flag names another server.
    let (success, asked, text) = list("https://127.0.0.1:1", &http, &["--server", &name], &[]);
    assert!(success && asked.len() >= 2, "{asked:?} {text}");
    for proxy in ["http://127.0.0.1:1", "socks5://127.0.0.1:1", "ftp://127.0.0.1:1", "127.0.0.1:1", "socks5h://127.0.0.1:1"] {
        let (success, asked, text) = list(&loopback, proxy, &[], &[]);
        assert!(!success && asked.is_empty(), "{proxy}: {asked:?} {text}");
    }
    // An empty one is none.
    let (success, asked, text) = list(&loopback, "", &[], &[]);
    assert!(success && asked.is_empty(), "{asked:?} {text}");
}

#[test]
fn client_certificate_of_the_flags_identifies_the_user() {
    let env = Environment::new("plugin-certificate", []);
    let file = |path: std::path::PathBuf| path.display().to_string();
    let [of_flags, of_kubeconfig] = ["flags", "kubeconfig"].map(|name| {
        let (certificate, key) = env.server.client_certificate(&format!("{}-{name}", env.namespace)).unwrap();
        (file(certificate), file(key))
    });
    let (certificate, key) = (of_flags.0.as_str(), of_flags.1.as_str());
    let seen = |both: &Both, flags: &[&str], user: &str| {
        let text = both.fails(flags);
        assert_eq!(text.matches(&format!("\"{}-{user}\" cannot list resource", env.namespace)).count(), 2, "{flags:?}: {text}");
    };
    // A token in the kubeconfig does not matter.
    let both = Both::new(&env);
    seen(&both, &["--client-certificate", certificate, "--client-key", key], "flags");
    both.fail(&["--client-certificate", certificate]);
    both.succeed(&["--client-key", key]);
    both.fail(&["--client-certificate", "/there/is/no/such/file", "--client-key", key]);
    both.fail(&["--client-certificate", certificate, "--client-key", &of_kubeconfig.1]);

    // The flags replace the certificate of a kubeconfig, whether it is a file or data.
    let mut kubeconfig: Value = serde_yaml::from_str(&std::fs::read_to_string(env.server.admin_kubeconfig()).unwrap()).unwrap();
    let data = |path: &str| k8s_openapi::ByteString(std::fs::read(path).unwrap());
    for user in [
        json!({ "client-certificate": of_kubeconfig.0, "client-key": of_kubeconfig.1 }),
        json!({ "client-certificate-data": data(&of_kubeconfig.0), "client-key-data": data(&of_kubeconfig.1) }),
    ] {
        kubeconfig["users"][0]["user"] = user;
        let path = env.server.folder().join("certificate.kubeconfig");
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        let both = Both::new(&env).env("KUBECONFIG", path.display().to_string());
        seen(&both, &[], "kubeconfig");
        seen(&both, &["--client-certificate", certificate, "--client-key", key], "flags");
        both.fail(&["--client-certificate", certificate]);
    }
}

/// What the server has got by then holds no credentials: they are not for plain HTTP.
#[test]
fn request_timeout_ends_a_request_that_is_not_answered() {
    let env = Environment::new("plugin-timeout", []);
    // It accepts connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", silent.local_addr().unwrap());
    let begun = std::time::Instant::now();
    let both = Both::new(&env);
    both.fail(&["--server", &server, "--request-timeout", "1s"]);
    both.fail(&["--request-timeout", "soon"]);
    silent.set_nonblocking(true).unwrap();
    let mut programs = std::collections::BTreeSet::new();
    while let Ok((mut connection, _)) = silent.accept() {
        let mut request = String::new();
        connection.read_to_string(&mut request).unwrap();
        let request = request.to_lowercase();
        assert!(!request.contains("authorization"), "credentials in the clear: {request}");
        programs.insert(request.contains("/apis/nuvo.dev/v1alpha1/namespaces/default/pipelineruns"));
    }
    assert_eq!(programs.len(), 2, "kubectl asks for the kinds first");
    for unlimited in ["0", "60", "1m"] {
        both.succeed(&["--request-timeout", unlimited]);
    }
    // kubectl tries the discovery of kinds more than once.
    assert!(begun.elapsed() < WITHIN, "{:?}", begun.elapsed());
}
